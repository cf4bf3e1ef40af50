"""HTTP sources only reach allowed hosts at allowed addresses, and the secrets of addresses are kept from sight."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine, update

from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.database.tables import RecordingRow
from transcription_dagster.errors import InvalidSetting, SourceRefused, SourceUnavailable
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import is_public, keep_whole_url, move_secrets, origin, whole_url
from transcription_dagster.sources.http import WebClient
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests import traces
from transcription_dagster_tests.postgres import database_url, engine
from transcription_dagster_tests.sources.web_server import Reply, web_server

NAME = "media.example.org"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "192.0.0.192",
    ],
)
def test_private_addresses_are_recognised_in_every_notation(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("media.example.org", "https://media.example.org:443"),
        ("Media.Example.org:8443", "https://media.example.org:8443"),
        ("http://media.example.org", "http://media.example.org:80"),
        ("https://media.example.org/a/{uuid}?x=1", "https://media.example.org:443"),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(text: str, expected: str) -> None:
    assert origin(text) == expected


@pytest.mark.parametrize("text", ["", "https://", "ftp://host", "https://user:secret@host", "host:port", "http://[::1"])
def test_an_invalid_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        origin(text)


def get(settings: Settings, url: str) -> bytes:
    with closing(WebClient(settings)) as client, client.get(url) as response:
        return response.read()


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make every name resolve to these addresses."""
    entries = [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]
    real = socket.getaddrinfo

    def answer(host, *rest, **more):
        return entries if host == NAME else real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_host_that_is_not_configured_is_refused(settings: Callable[..., Settings]) -> None:
    with pytest.raises(SourceRefused, match=r"elsewhere\.example\.org/audio is not on an allowed host"):
        get(settings(source_hosts=(NAME,)), "https://elsewhere.example.org/audio")


@pytest.mark.parametrize("url", [f"http://{NAME}/audio", f"https://{NAME}:8443/audio"])
def test_another_scheme_or_port_of_a_configured_host_is_refused(settings: Callable[..., Settings], url: str) -> None:
    with pytest.raises(SourceRefused, match="not on an allowed host"):
        get(settings(source_hosts=(NAME,)), url)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254"]])
def test_an_allowed_name_with_a_private_address_is_refused(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolve(monkeypatch, *addresses)
    with pytest.raises(SourceRefused, match="has a private address; set TRANSCRIPTION_IB_ALLOW_PRIVATE"):
        get(settings(source_hosts=(NAME,)), f"https://{NAME}/audio")


def test_a_name_without_an_address_is_unavailable(settings: Callable[..., Settings]) -> None:
    with pytest.raises(SourceUnavailable, match="cannot be resolved"):
        get(settings(source_hosts=("nobody.invalid",)), "https://nobody.invalid/audio")


def test_a_name_is_resolved_once_and_its_addresses_are_tried_in_turn(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "127.0.0.2", "127.0.0.1")
    with web_server(lambda request: Reply(body=b"audio")) as server:
        url = server.url.replace("127.0.0.1", NAME)
        assert get(settings(source_hosts=(url,), ib_allow_private=True), f"{url}/audio") == b"audio"
        assert server.requests[0].headers["host"] == url.removeprefix("http://")


def test_a_redirect_to_an_allowed_host_is_followed_without_the_token(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IB_TOKEN", "the-token")
    with web_server(lambda request: Reply(body=b"audio")) as storage:
        moved = Reply(302, {"Location": f"{storage.url}/audio"})
        with web_server(lambda request: moved) as library:
            allowed = settings(
                ib_url_template=f"{library.url}/{{uuid}}", source_hosts=(storage.url,), ib_allow_private=True
            )
            assert get(allowed, f"{library.url}/audio") == b"audio"
    assert library.requests[0].headers["authorization"] == "Bearer the-token"
    assert "authorization" not in storage.requests[0].headers


@pytest.mark.parametrize("location", ["http://elsewhere.example.org/", "file:///etc/passwd", "http://127.0.0.1:1/"])
def test_a_redirect_out_of_the_allowed_hosts_is_refused(settings: Callable[..., Settings], location: str) -> None:
    with web_server(lambda request: Reply(302, {"Location": location})) as server, pytest.raises(SourceRefused):
        get(settings(source_hosts=(server.url,), ib_allow_private=True), f"{server.url}/audio")


def test_endless_redirects_are_refused(settings: Callable[..., Settings]) -> None:
    with web_server(lambda request: Reply(302, {"Location": "/audio"})) as server:
        with pytest.raises(SourceRefused, match="redirects"):
            get(settings(source_hosts=(server.url,), ib_allow_private=True), f"{server.url}/audio")
        assert len(server.requests) == 6


def test_the_token_is_sent_only_to_the_library(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRARY_KEY", "the-token")
    with web_server(lambda request: Reply(body=b"x")) as library, web_server(lambda request: Reply(403)) as host:
        allowed = settings(
            ib_url_template=f"{library.url}/{{uuid}}",
            ib_token_variable="LIBRARY_KEY",
            source_hosts=(host.url,),
            ib_allow_private=True,
        )
        get(allowed, f"{library.url}/audio")
        with pytest.raises(SourceRefused) as refused:
            get(allowed, f"{host.url}/audio")
    assert library.requests[0].headers["authorization"] == "Bearer the-token"
    assert "authorization" not in host.requests[0].headers
    assert "the-token" not in f"{refused.value!r} {allowed!r}"


def test_a_proxy_in_the_environment_is_ignored(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with web_server(lambda request: Reply(body=b"audio")) as server:
        assert get(settings(source_hosts=(server.url,), ib_allow_private=True), f"{server.url}/a") == b"audio"


def test_the_certificate_must_match_the_name_not_the_address(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    with tls_server(tmp_path, NAME) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        host = f"{NAME}:{port}"
        assert get(settings(source_hosts=(host,), ib_allow_private=True), f"https://{host}/")
    with tls_server(tmp_path, "another.example.org") as port:
        host = f"{NAME}:{port}"
        with pytest.raises(SourceUnavailable, match="certificate"):
            get(settings(source_hosts=(host,), ib_allow_private=True), f"https://{host}/")


@contextmanager
def tls_server(folder: Path, name: str) -> Iterator[int]:
    """Serve the folder over TLS with a certificate for that name, which is stored beside it; yield the port."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


__all__ = ["database_url", "engine"]

A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path.as_uri())


def test_the_whole_url_is_private_unlisted_and_forgotten_with_its_recording(store: ObjectStore, tmp_path: Path) -> None:
    stripped = keep_whole_url(store, A, "https://host/a.wav?sig=s3cr3t")
    store.put_bytes(f"{A}/audio.json", b"{}")
    assert stripped == "https://host/a.wav"
    assert whole_url(store, A, stripped) == "https://host/a.wav?sig=s3cr3t"
    assert stat.S_IMODE((tmp_path / A / "source.secret").stat().st_mode) == 0o600
    assert [entry.key for entry in store.list(A)] == [entry.key for entry in store.list()] == [f"{A}/audio.json"]
    assert store.forget(A) == 2
    assert traces.in_files(tmp_path, "s3cr3t") == []


@pytest.mark.parametrize(
    ("source", "stripped"),
    [
        ("https://user:s3cr3t@host/a.wav", "https://host/a.wav"),
        ("https://host/a.wav?id=7&token=s3cr3t", "https://host/a.wav"),
        ("http://host/a.wav#s3cr3t", "http://host/a.wav"),
    ],
)
def test_secrets_in_rows_are_moved_to_the_store(
    source: str, stripped: str, engine: Engine, database_url: str, store: ObjectStore
) -> None:
    register(engine, [Recording(A, stripped), Recording(B, "s3://bucket/what?#1@home.wav")])
    with engine.begin() as connection:
        row = {"source": source, "error": f"could not read {source}: 403"}
        connection.execute(update(RecordingRow).where(RecordingRow.uuid == A).values(row))
    for _ in range(2):
        move_secrets(engine, store)
    assert traces.in_database(database_url, "s3cr3t") == []
    signed, unsigned = find_recording(engine, A), find_recording(engine, B)
    assert signed is not None
    assert unsigned is not None
    assert (signed.source, unsigned.source) == (stripped, "s3://bucket/what?#1@home.wav")
    assert whole_url(store, A, signed.source) == source
