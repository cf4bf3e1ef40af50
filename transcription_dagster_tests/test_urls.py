"""URLs as shown to users, without secrets."""

from __future__ import annotations

import pytest

from transcription_dagster.errors import SourceRefused
from transcription_dagster.urls import UNREADABLE, path_in, shown_url, without_secrets


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://media.example.org/a%20b.mp3?X-Amz-Signature=s3cr3t&x=1", "https://media.example.org/a%20b.mp3"),
        ("https://user:s3cr3t@media.example.org:8443/a.mp3#s3cr3t", "https://media.example.org:8443/a.mp3"),
        ("https://user:s3/cr3t@media.example.org/a.mp3", f"https://{UNREADABLE}"),
        ("https://[::1", f"https://{UNREADABLE}"),
        ("https://[::1]/a.mp3?sig=s3cr3t", "https://[::1]/a.mp3"),
        ("ftp://me:s3cr3t@host/a?b", "ftp://host/a"),
        ("s3://bucket/what? it is #1@home.mp3", "s3://bucket/what? it is #1@home.mp3"),
        ("s3://key:s3cr3t@bucket/a.mp3", "s3://bucket/a.mp3"),
        ("file:///data/a?b.mp3", "file:///data/a?b.mp3"),
        ("/data/a?b.mp3", "/data/a?b.mp3"),
    ],
)
def test_only_scheme_host_and_path_are_shown(url: str, expected: str) -> None:
    assert shown_url(url) == expected


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://media.example.org/in/a%20b.mp3?sig=s3cr3t", "/in/a b.mp3"),
        ("https://[::1", ""),
        ("s3://bucket/in/what? it is #1%20.mp3", "in/what? it is #1%20.mp3"),
        ("s3://bucket", ""),
        ("file:///data/a%23b.mp3", "/data/a#b.mp3"),
        ("/data/a#b?.mp3", "/data/a#b?.mp3"),
    ],
)
def test_the_path_in_a_url_is_not_escaped(url: str, path: str) -> None:
    assert path_in(url) == path


def test_secrets_are_removed_from_urls_in_a_sentence() -> None:
    sentence = "could not open 'https://u:s3cr3t@host/a?sig=s3cr3t' (see https://host/help?x=s3cr3t)"
    assert without_secrets(sentence) == "could not open 'https://host/a' (see https://host/help)"


@pytest.mark.parametrize("end", [".", ",", ":", ";", "!", "?", ")", ").", ": a database has one"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:35709", "https://[::1]", "https://host/a_(1).mp3", "s3://bucket/a"])
def test_the_punctuation_after_a_url_is_not_its_own(url: str, end: str) -> None:
    assert without_secrets(f"the UI at {url}{end}") == f"the UI at {url}{end}"


def test_no_error_of_the_program_repeats_a_secret() -> None:
    assert str(SourceRefused("https://host/a.mp3?sig=s3cr3t is refused")) == "https://host/a.mp3 is refused"
