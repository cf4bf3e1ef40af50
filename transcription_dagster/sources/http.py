"""Recordings on a web server."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

import httpx

from transcription_dagster.errors import SourceNotFound, SourceRefused, SourceUnavailable, UnusableAudio
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import GuardedTransport, is_among, origin
from transcription_dagster.sources.download import RangeRefused, RetryLater, SourceAnswer, Version
from transcription_dagster.urls import shown_url, without_secrets

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")
_DIGESTS = {"sha-256": "sha256", "sha-512": "sha512"}
_TRY_AGAIN = frozenset({408, 425, 429})

#: Limit on `Retry-After`, which keeps the arithmetic finite. No retry policy waits this long.
_LONGEST_WAIT_SECONDS = 30 * 86_400.0


def _clean(record: logging.LogRecord) -> bool:
    """Remove secrets from a log record: httpx logs the whole URL of each request."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


logging.getLogger("httpx").addFilter(_clean)
# httpcore logs headers, which contain tokens and signed redirects.
logging.getLogger("httpcore").setLevel(logging.INFO)
for _name in ("connection", "http11", "http2", "proxy", "socks"):
    logging.getLogger(f"httpcore.{_name}").setLevel(logging.INFO)


def allowed_origins(settings: Settings) -> frozenset[str]:
    """Return the origins from which recordings may be fetched: the media library's, and those of the settings."""
    return _library(settings) | {origin(host) for host in settings.source_hosts}


def _library(settings: Settings) -> frozenset[str]:
    return frozenset(origin(url) for url in (settings.ib_url_template, settings.ib_list_url) if url)


class WebClient:
    """Sends requests to the hosts that the settings allow; only the media library receives its token."""

    def __init__(self, settings: Settings) -> None:
        self._library = _library(settings)
        self._token = settings.ib_token
        self._token_variable = settings.ib_token_variable
        self._client = httpx.Client(
            transport=GuardedTransport(allowed_origins(settings), settings.ib_allow_private),
            timeout=httpx.Timeout(settings.source_stall_seconds, connect=min(10.0, settings.source_stall_seconds)),
            follow_redirects=True,
            max_redirects=5,
            # A proxy from the environment would bypass the check of the address.
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """Yield a successful response whose body is still unread.

        Raises `SourceNotFound`, `SourceRefused` or `SourceUnavailable`, possibly while the body is read.
        """
        try:
            request_headers = {"Accept-Encoding": "identity", **self._authorization(url), **(headers or {})}
            with self._client.stream("GET", url, headers=request_headers) as response:
                if not response.is_success:
                    self._refuse(url, response)
                yield response
        # Errors are raised `from None`: httpx's errors contain the request, and with it the URL and the token.
        except httpx.InvalidURL:
            raise SourceRefused(f"{shown_url(url)} is not a URL") from None
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise SourceRefused(f"{shown_url(url)}: {error}") from None
        except httpx.TimeoutException as error:
            raise SourceUnavailable(f"{shown_url(url)} did not answer in time ({type(error).__name__})") from None
        except httpx.RequestError as error:
            raise SourceUnavailable(f"{shown_url(url)}: {error or type(error).__name__}") from None

    def _authorization(self, url: str) -> Mapping[str, str]:
        if self._token and is_among(url, self._library):
            return {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        return {}

    def _refuse(self, url: str, response: httpx.Response) -> NoReturn:
        status = response.status_code
        message = f"{shown_url(url)} answered {status} {response.reason_phrase}"
        if status in (401, 403):
            is_library = is_among(url, self._library)
            remedy = f"check the token in {self._token_variable}" if is_library else "the link may have expired"
            raise SourceRefused(f"{message}: {remedy}")
        if status in (404, 410):
            raise SourceNotFound(message)
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise RangeRefused(message)
        if status in _TRY_AGAIN or status >= 500:
            seconds = _retry_after(response.headers.get("Retry-After"))
            if seconds is None:
                raise SourceUnavailable(message)
            raise RetryLater(f"{message} and asks for a pause of {seconds:g} s", seconds)
        raise SourceRefused(message)


class WebFile:
    """A file behind a URL."""

    def __init__(self, uri: str, client: WebClient) -> None:
        self.uri = shown_url(uri)
        self._url = uri
        self._client = client

    @contextmanager
    def open(self, offset: int, version: Version | None) -> Iterator[SourceAnswer]:
        """Request the file from `offset` on; see `download.Remote`."""
        resumed = {"Range": f"bytes={offset}-", "If-Range": version.etag} if offset and version and version.etag else {}
        with self._client.get(self._url, resumed) as response:
            _check_is_audio(self.uri, response)
            first, size = _extent(self.uri, response, offset)
            yield SourceAnswer(
                Version(size, _validator(response), _digest(response) if not first else None),
                first,
                response.iter_raw(),
            )


def _check_is_audio(uri: str, response: httpx.Response) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind.endswith(("/json", "/xml", "+json", "+xml")):
        raise UnusableAudio(f"{uri} answered with {kind} instead of audio")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceRefused(f"{uri} sent a compressed body although the request forbids it")


def _extent(uri: str, response: httpx.Response, offset: int) -> tuple[int, int | None]:
    """Return the offset of the body in the file, and the size of the whole file if it is known."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not match or int(match[1]) != offset:
        raise SourceUnavailable(f"{uri} answered with a different range than the requested one from byte {offset}")
    return offset, int(match[2])


def _validator(response: httpx.Response) -> str:
    """Return the strong validator of the content; a weak ETag cannot guard a range (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _digest(response: httpx.Response) -> tuple[str, str] | None:
    """Return the digest from `Repr-Digest: sha-256=:base64:` (RFC 9530), or None."""
    for member in response.headers.get("Repr-Digest", "").split(","):
        name, _, value = member.strip().partition("=")
        algorithm = _DIGESTS.get(name.lower())
        if algorithm and value.startswith(":") and value.endswith(":"):
            try:
                return algorithm, base64.b64decode(value[1:-1], validate=True).hex()
            except binascii.Error:
                return None
    return None


def _retry_after(header: str | None) -> float | None:
    """Return the seconds to wait, given as a number or as a date; None for any other header.

    RFC 9110, 10.2.3; a date has any of the three forms of 5.6.7 and is in UTC even if it does not say so.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), _LONGEST_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST_WAIT_SECONDS)
