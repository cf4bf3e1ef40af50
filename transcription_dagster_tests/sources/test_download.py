"""Downloads from misbehaving web servers."""

from __future__ import annotations

import base64
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from transcription_dagster.errors import (
    SourceNotFound,
    SourceRefused,
    SourceUnavailable,
    TimeLimitExceeded,
    UnusableAudio,
)
from transcription_dagster.settings import Settings
from transcription_dagster.sources.download import DownloadLimits, SourceAnswer, Version, download
from transcription_dagster.sources.http import WebClient, WebFile
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer, web_server

AUDIO = os.urandom(3_000_000)
ETAG = '"version one"'
#: Patient enough for a server on a busy machine, because a late answer is requested again.
LIMITS = DownloadLimits(max_bytes=10_000_000, seconds=60.0, stall_seconds=30.0, pause_seconds=0.01)
#: For servers that stall.
IMPATIENT = replace(LIMITS, seconds=30.0, stall_seconds=0.2)


def whole(request: Request) -> Reply:
    return Reply(headers={"Content-Type": "audio/mpeg", "ETag": ETAG}, body=AUDIO)


def ranged(content: bytes, etag: str, request: Request, **extra: object) -> Reply:
    """Return the answer of a server with range support."""
    ranges = request.headers.get("range")
    if not ranges or request.headers.get("if-range") != etag:
        return Reply(headers={"ETag": etag}, body=content)
    first = int(ranges.removeprefix("bytes=").removesuffix("-"))
    headers = {"ETag": etag, "Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
    return Reply(206, headers, content[first:])


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server(whole) as running:
        yield running


@pytest.fixture
def get(server: WebServer, settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., bytes]:
    """Download the server's one file and return its bytes; after an error, check that no file remains."""

    def call(limits: DownloadLimits = LIMITS) -> bytes:
        target = tmp_path / "downloads" / "audio"
        allowed = settings(source_hosts=(server.url,), ib_allow_private=True, source_stall_seconds=limits.stall_seconds)
        with closing(WebClient(allowed)) as client:
            try:
                version = download(WebFile(f"{server.url}/audio", client), target, limits)
            except Exception:
                assert list(target.parent.iterdir()) == []
                raise
        content = target.read_bytes()
        assert version.size in (None, len(content))
        assert [path.name for path in target.parent.iterdir()] == ["audio"]
        return content

    return call


def first_then(first: Reply, then: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    replies = iter([first])
    return lambda request: next(replies, None) or then(request)


def test_a_file_is_downloaded_completely(get: Callable[..., bytes]) -> None:
    assert get() == AUDIO


def test_a_broken_download_is_resumed(server: WebServer, get: Callable[..., bytes]) -> None:
    half = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_500_000], announced=len(AUDIO))
    server.answer = first_then(half, lambda request: ranged(AUDIO, ETAG, request))
    assert get() == AUDIO
    assert server.requests[1].headers["range"] == "bytes=1500000-"
    assert server.requests[1].headers["if-range"] == ETAG


@pytest.mark.parametrize("seed", range(5))
def test_a_download_survives_repeated_interruptions(server: WebServer, get: Callable[..., bytes], seed: int) -> None:
    source = random.Random(seed)

    def answer(request: Request) -> Reply:
        reply = ranged(AUDIO, ETAG, request)
        length = source.choice([source.randrange(1, len(reply.body)), len(reply.body)])
        return replace(reply, body=reply.body[:length], announced=len(reply.body))

    server.answer = answer
    assert get() == AUDIO


def test_a_download_that_progresses_is_never_given_up(server: WebServer, get: Callable[..., bytes]) -> None:
    def answer(request: Request) -> Reply:
        reply = ranged(AUDIO, ETAG, request)
        return replace(reply, body=reply.body[:300_000], announced=len(reply.body))

    server.answer = answer
    assert get() == AUDIO
    assert len(server.requests) == 10


@pytest.mark.parametrize("announced", [len(AUDIO), -1], ids=["with a size", "without a size"])
def test_a_file_may_be_as_large_as_the_limit(server: WebServer, get: Callable[..., bytes], announced: int) -> None:
    server.answer = lambda request: Reply(body=AUDIO, announced=announced)
    assert get(replace(LIMITS, max_bytes=len(AUDIO))) == AUDIO


def test_without_range_support_a_download_starts_over(server: WebServer, get: Callable[..., bytes]) -> None:
    half = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_500_000], announced=len(AUDIO))
    server.answer = first_then(half, whole)
    assert get() == AUDIO
    assert len(server.requests) == 2


def test_a_file_that_changes_during_a_download_is_fetched_again(server: WebServer, get: Callable[..., bytes]) -> None:
    half = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_500_000], announced=len(AUDIO))
    server.answer = first_then(half, lambda request: ranged(b"another version", '"version two"', request))
    assert get() == b"another version"


def test_a_file_that_became_shorter_is_fetched_again(server: WebServer, get: Callable[..., bytes]) -> None:
    half = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_500_000], announced=len(AUDIO))
    shorter = AUDIO[:1_000]
    server.answer = first_then(half, lambda request: Reply(416) if "range" in request.headers else Reply(body=shorter))
    assert get() == shorter


@pytest.mark.parametrize("headers", [{}, {"ETag": f"W/{ETAG}"}], ids=["none", "a weak one"])
def test_without_a_strong_etag_a_broken_download_starts_over(
    server: WebServer, get: Callable[..., bytes], headers: dict[str, str]
) -> None:
    server.answer = first_then(Reply(headers=headers, body=AUDIO[:9], announced=len(AUDIO)), whole)
    assert get() == AUDIO
    assert "range" not in server.requests[1].headers


def test_a_wrong_range_is_refused(server: WebServer, get: Callable[..., bytes]) -> None:
    half = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_000], announced=len(AUDIO))
    from_the_start = Reply(206, {"ETag": ETAG, "Content-Range": f"bytes 0-{len(AUDIO) - 1}/{len(AUDIO)}"}, AUDIO)
    server.answer = first_then(half, lambda request: from_the_start)
    with pytest.raises(SourceUnavailable, match="a different range"):
        get()


def test_a_stalled_download_is_resumed(server: WebServer, get: Callable[..., bytes]) -> None:
    stalled = Reply(headers={"ETag": ETAG}, body=AUDIO[:1_000], announced=len(AUDIO), stall=True)
    server.answer = first_then(stalled, lambda request: ranged(AUDIO, ETAG, request))
    assert get(IMPATIENT) == AUDIO


def test_a_permanently_stalling_server_is_unavailable(
    server: WebServer, get: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counted here: on a busy machine, the server may see a request only after the client has given it up.
    attempts: list[int] = []
    open_file = WebFile.open

    def counted(file: WebFile, offset: int, version: Version | None) -> AbstractContextManager[SourceAnswer]:
        attempts.append(offset)
        return open_file(file, offset, version)

    monkeypatch.setattr(WebFile, "open", counted)
    server.answer = lambda request: Reply(body=b"", announced=10, stall=True)
    with pytest.raises(SourceUnavailable, match="did not answer in time"):
        get(IMPATIENT)
    assert attempts == [0] * 5


def test_a_server_that_always_disconnects_is_unavailable(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(body=b"some", announced=10)
    with pytest.raises(SourceUnavailable):
        get()


def test_retry_after_is_obeyed(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = first_then(Reply(429, {"Retry-After": "0"}), whole)
    assert get() == AUDIO


@pytest.mark.parametrize(
    "after",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Wed, 21 Oct 2015 07:28:00 -0000",
        "Wed, 21 Oct 2015 07:28:00",
        " 0 ",
    ],
)
def test_a_past_retry_after_date_causes_no_wait(server: WebServer, get: Callable[..., bytes], after: str) -> None:
    server.answer = first_then(Reply(429, {"Retry-After": after}), whole)
    assert get() == AUDIO


@pytest.mark.parametrize(
    "after",
    [
        "86400",
        "9" * 400,
        "Fri, 31 Dec 2100 23:59:59 GMT",
        "Fri, 31 Dec 2100 23:59:59 -0000",
        "Friday, 31-Dec-60 23:59:59 GMT",
        "Fri Dec 31 23:59:59 2100",
    ],
)
def test_a_long_retry_after_is_left_to_a_retry_of_the_step(
    server: WebServer, get: Callable[..., bytes], after: str
) -> None:
    server.answer = lambda request: Reply(429, {"Retry-After": after})
    with pytest.raises(SourceUnavailable, match=r"answered 429 .*asks for a pause of \d+"):
        get()
    assert len(server.requests) == 1


@pytest.mark.parametrize("after", ["soon", "-1", "Fri", "1.5", "\u0663", "31 Dec 99999 00:00:00 GMT"])
def test_an_invalid_retry_after_is_ignored(server: WebServer, get: Callable[..., bytes], after: str) -> None:
    server.answer = first_then(Reply(503, {"Retry-After": after}), whole)
    assert get() == AUDIO


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_temporary_failure_is_retried(server: WebServer, get: Callable[..., bytes], status: int) -> None:
    server.answer = first_then(Reply(status), whole)
    assert get() == AUDIO


def test_a_lasting_500_is_transient(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(500)
    with pytest.raises(SourceUnavailable, match="answered 500"):
        get()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, SourceRefused, "answered 401.*link may have expired"),
        (403, SourceRefused, "answered 403.*link may have expired"),
        (404, SourceNotFound, "answered 404"),
        (410, SourceNotFound, "answered 410"),
        (400, SourceRefused, "answered 400"),
        (204, UnusableAudio, "is empty"),
    ],
)
def test_a_permanent_failure_is_not_retried(
    server: WebServer, get: Callable[..., bytes], status: int, error: type[Exception], message: str
) -> None:
    server.answer = lambda request: Reply(status)
    with pytest.raises(error, match=message):
        get()
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "application/problem+json"])
def test_a_web_page_is_not_audio(server: WebServer, get: Callable[..., bytes], kind: str) -> None:
    server.answer = lambda request: Reply(headers={"Content-Type": kind}, body=b"<html>please log in</html>")
    with pytest.raises(
        UnusableAudio, match=f"answered with {kind.partition(';')[0].replace('+', '.')} instead of audio"
    ):
        get()


def test_a_declared_too_large_source_is_not_read(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(announced=100_000_000_000, stall=True)
    with pytest.raises(SourceRefused, match="100000000000 bytes or more, over the limit of 10000000"):
        get()


def test_a_source_without_a_size_is_cut_off_at_the_limit(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(body=bytes(11_000_000), announced=-1)
    with pytest.raises(SourceRefused, match="over the limit"):
        get()


def test_an_empty_file_is_refused(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply()
    with pytest.raises(UnusableAudio, match="is empty"):
        get()


@pytest.mark.parametrize("other_digests", ["", "unknown=:x:, ", "sha-256=not bytes, "])
def test_the_sha_256_digest_is_found_among_others(
    server: WebServer, get: Callable[..., bytes], other_digests: str
) -> None:
    digest = base64.b64encode(hashlib.sha512(AUDIO).digest()).decode()
    server.answer = lambda request: Reply(headers={"Repr-Digest": f"{other_digests}sha-512=:{digest}:"}, body=AUDIO)
    assert get() == AUDIO


def test_a_wrong_digest_is_refused(server: WebServer, get: Callable[..., bytes]) -> None:
    digest = base64.b64encode(hashlib.sha256(AUDIO).digest()).decode()
    server.answer = lambda request: Reply(headers={"Repr-Digest": f"sha-256=:{digest}:"}, body=AUDIO[:-1] + b"?")
    with pytest.raises(SourceUnavailable, match="wrong sha256 checksum"):
        get()
    assert len(server.requests) == 5


def test_a_digest_of_the_whole_is_checked_after_a_resume(server: WebServer, get: Callable[..., bytes]) -> None:
    digest = base64.b64encode(hashlib.sha256(AUDIO).digest()).decode()
    headers = {"ETag": ETAG, "Repr-Digest": f"sha-256=:{digest}:"}
    half = Reply(headers=headers, body=b"?" + AUDIO[1:1_000], announced=len(AUDIO))
    server.answer = first_then(half, lambda request: ranged(AUDIO, ETAG, request))
    assert get() == AUDIO
    assert ["range" in request.headers for request in server.requests] == [False, True, False]


def test_the_total_time_is_limited(server: WebServer, get: Callable[..., bytes]) -> None:
    with pytest.raises(TimeLimitExceeded, match="was not fetched within 0 s"):
        get(DownloadLimits(max_bytes=10_000_000, seconds=0.0, stall_seconds=0.2))


def test_pauses_count_towards_the_time_limit(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(500)
    with pytest.raises(TimeLimitExceeded):
        get(DownloadLimits(max_bytes=10_000_000, seconds=1.0, stall_seconds=0.2, pause_seconds=100.0))


def test_a_compressed_answer_is_refused(server: WebServer, get: Callable[..., bytes]) -> None:
    server.answer = lambda request: Reply(headers={"Content-Encoding": "gzip"}, body=b"x")
    with pytest.raises(SourceRefused, match="compressed"):
        get()
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_missing_server_is_unavailable(settings: Callable[..., Settings], tmp_path: Path) -> None:
    allowed = settings(source_hosts=("http://127.0.0.1:1",), ib_allow_private=True)
    with closing(WebClient(allowed)) as client, pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1/audio"):
        download(WebFile("http://127.0.0.1:1/audio", client), tmp_path / "audio", LIMITS)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("ib_url_template", "{}/{{uuid}}", "check the token in IB_TOKEN"),
        ("source_hosts", "{}", "the link may have expired"),
    ],
)
def test_a_refusal_names_the_token_only_of_the_media_library(
    server: WebServer, settings: Callable[..., Settings], status: int, option: str, value: str, remedy: str
) -> None:
    server.answer = lambda request: Reply(status)
    address = value.format(server.url)
    allowed = settings(**{option: (address,) if option == "source_hosts" else address}, ib_allow_private=True)
    with (
        closing(WebClient(allowed)) as client,
        pytest.raises(SourceRefused, match=f"answered {status} .*: {remedy}$"),
        WebFile(f"{server.url}/audio", client).open(0, None),
    ):
        pass
