"""Recordings that other programs submit over the API, by URL or as a file, and telling them when one is done."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from transcription_dagster.database import submissions
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording
from transcription_dagster.database.submissions import SubmissionOutcome
from transcription_dagster.errors import InvalidSetting, SourceRefused, SourceUnavailable
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import GuardedTransport, is_among, keep_whole_url, origin
from transcription_dagster.sources.http import allowed_origins
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.urls import shown_url

SIGNATURE = "X-Transcription-Signature"
_SECONDS = 10.0
#: Waiting time after each failed delivery; after the last one, delivery is abandoned.
_WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 480, 1440))


def check_webhook(url: str, settings: Settings) -> None:
    """Raise `SourceRefused` unless webhooks are enabled and this host is allowed."""
    if settings.webhook_secret is None:
        raise SourceRefused("webhooks are not enabled: set TRANSCRIPTION_WEBHOOK_SECRET, which signs them")
    if not is_among(url, {origin(host) for host in settings.webhook_hosts}):
        raise SourceRefused(f"{shown_url(url)} is not on one of the hosts in TRANSCRIPTION_WEBHOOK_HOSTS")


def wait_after(attempts: int) -> timedelta | None:
    """Return how long to wait after a failed delivery, given the number of earlier failures; None to stop trying."""
    return _WAITS[attempts] if attempts < len(_WAITS) else None


@contextmanager
def webhook_client(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client that reaches only the allowed hosts, at public addresses unless private ones are allowed."""
    origins = {origin(host) for host in settings.webhook_hosts}
    transport = GuardedTransport(origins, settings.ib_allow_private)
    with httpx.Client(transport=transport, timeout=_SECONDS, follow_redirects=False, trust_env=False) as client:
        yield client


def send_outcome(client: httpx.Client, outcome: SubmissionOutcome, secret: str, now: float | None = None) -> None:
    """Send an outcome. Raises `SourceUnavailable` or `SourceRefused` unless the response is a 2xx."""
    body = json.dumps(
        {
            "event": "recording.failed" if outcome.error else "recording.done",
            "recording": outcome.recording,
            "submitted_at": outcome.submitted_at.isoformat(),
            "error": outcome.error,
            "results": f"/api/recordings/{outcome.recording}",
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        SIGNATURE: signature(body, secret, time.time() if now is None else now),
    }
    address = shown_url(outcome.webhook)
    try:
        # The response is not read, because its content does not matter and may be long.
        with client.stream("POST", outcome.webhook, content=body, headers=headers) as response:
            status = response.status_code
    except httpx.InvalidURL:
        raise SourceRefused(f"{address} is not a URL") from None
    except httpx.RequestError as error:
        raise SourceUnavailable(f"{address} could not be notified: {type(error).__name__}") from None
    if not 200 <= status < 300:
        raise SourceUnavailable(f"{address} answered the notification with {status}")


def signature(body: bytes, secret: str, now: float) -> str:
    """Return the value of the header `SIGNATURE` for a body sent at `now` (seconds since 1970)."""
    seconds = str(int(now))
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"


def _names_a_file(url: str) -> bool:
    """Return whether a URL has a path and no password. `urlsplit` drops tabs and line breaks, which no URL holds."""
    parts = urlsplit(url)
    return url.isprintable() and parts.username is None and bool(parts.path.strip("/"))


_ENDING = re.compile(r"\.[a-z0-9]{1,8}\Z")


@dataclass(frozen=True, slots=True)
class Description:
    """The submitting program's description of a recording."""

    title: str | None = None
    language: str | None = None
    #: The URL to notify when the recording is done.
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """Accepts recordings: registers them and requests their transcription."""

    engine: Engine
    store: ObjectStore
    settings: Settings

    def submit_url(self, url: str, described: Description, by: str) -> str:
        """Accept a recording at a URL, which a worker will download; return the recording's UUID.

        Raises `SourceRefused` for a host from which recordings may not be fetched, and for a webhook that is not
        allowed.
        """
        self.check(described)
        if not is_among(url, allowed_origins(self.settings)) or not _names_a_file(url):
            raise SourceRefused(f"{shown_url(url)} is not a file on one of the hosts in TRANSCRIPTION_SOURCE_HOSTS")
        recording = str(uuid.uuid4())
        keep_whole_url(self.store, recording, url)
        return self._note(recording, url, described, by)

    def submit_file(self, path: Path, name: str, described: Description, by: str) -> str:
        """Accept a file and copy it to the store; `name` is the sender's file name. Return the recording's UUID."""
        self.check(described)
        recording = str(uuid.uuid4())
        ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
        key = object_key(recording, f"upload{ending if _ENDING.match(ending) else '.bin'}")
        self.store.put_file(key, path)
        return self._note(recording, self.store.uri(key), described, by)

    def check(self, described: Description) -> None:
        """Raise `SourceRefused` for an invalid description, before anything is stored."""
        try:
            whisper_language(described.language)
        except InvalidSetting as error:
            raise SourceRefused(str(error)) from None
        if described.webhook is not None:
            check_webhook(described.webhook, self.settings)

    def _note(self, recording: str, source: str, described: Description, by: str) -> str:
        registered = Recording(recording, source, described.title or None, described.language or None)
        submissions.add(self.engine, registered, by, described.webhook)
        return recording
