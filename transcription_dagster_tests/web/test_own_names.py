from __future__ import annotations

import socket

import pytest

from transcription_dagster.web.guard import OwnNames

LOCAL = OwnNames.of_server("127.0.0.1")
EVERYWHERE = OwnNames.of_server("0.0.0.0")
PROXIED = OwnNames.of_server("127.0.0.1", ["Speech.example.org", "other.example.org:8443", "[2001:db8::7]:8443"])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "127.0.0.1:3000", "127.0.0.2", "[::1]:3000", "LOCALHOST"]
)
def test_a_loopback_name_is_always_accepted(host: str):
    assert LOCAL.is_own_host(host)
    assert EVERYWHERE.is_own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("attacker.example", "attacker.example:3000", "localhost.attacker.example", "127.0.0.1.attacker.example"),
        *("10.0.0.5", "[2001:db8::1]", "", ":3000", "localhost:http", "user@localhost", "localhost/x", "localhost "),
        *("[::1", "0x7f000001", "127.1"),
    ],
)
def test_other_names_are_refused(host: str):
    assert not LOCAL.is_own_host(host)


def test_a_server_on_every_interface_is_reached_by_any_address_and_its_machines_name():
    assert EVERYWHERE.is_own_host("10.0.0.5:3000")
    assert EVERYWHERE.is_own_host(f"{socket.gethostname()}:3000")
    assert not EVERYWHERE.is_own_host("attacker.example:3000")


def test_the_bound_address_and_configured_names_are_accepted():
    assert OwnNames.of_server("10.0.0.5").is_own_host("10.0.0.5:3000")
    assert not OwnNames.of_server("10.0.0.5").is_own_host("10.0.0.6:3000")
    assert PROXIED.is_own_host("speech.example.org")
    assert PROXIED.is_own_host("other.example.org:8443")


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://localhost:3000", "localhost:3000", "http"),
        ("http://[::1]:3000", "[::1]:3000", "http"),
        ("http://localhost", "localhost", "http"),
        ("http://localhost:80", "localhost", "http"),
        ("https://speech.example.org", "speech.example.org", "https"),
        # A TLS proxy in front of us that does not say so, or that changes the Host header.
        ("https://speech.example.org", "speech.example.org", "http"),
        ("https://speech.example.org", "127.0.0.1:3000", "http"),
        ("https://other.example.org:8443", "127.0.0.1:3000", "http"),
        ("https://[2001:db8::7]:8443", "127.0.0.1:3000", "http"),
    ],
)
def test_requests_of_own_pages_are_recognised(origin: str, host: str, scheme: str):
    assert PROXIED.is_own_origin(origin, host=host, scheme=scheme)


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://attacker.example", "localhost:3000", "http"),
        ("http://localhost:8080", "localhost:3000", "http"),
        ("http://localhost", "localhost:3000", "http"),
        ("http://127.0.0.1:3000", "localhost:3000", "http"),
        ("https://speech.example.org:8443", "127.0.0.1:3000", "http"),
        ("https://other.example.org", "127.0.0.1:3000", "http"),
        ("http://speech.example.org", "speech.example.org", "https"),
        ("http://speech.example.org", "speech.example.org", "wss"),
        ("null", "localhost:3000", "http"),
        ("", "localhost:3000", "http"),
        ("file://", "localhost:3000", "http"),
        ("http://localhost:3000.attacker.example", "localhost:3000", "http"),
        ("http://localhost:3000@attacker.example", "localhost:3000", "http"),
    ],
)
def test_requests_of_other_sites_are_recognised(origin: str, host: str, scheme: str):
    assert not PROXIED.is_own_origin(origin, host=host, scheme=scheme)
