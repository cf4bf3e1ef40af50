"""Notify a program that its recording is done, with a signed POST to the URL that it gave.

The signature is `t=SECONDS,v1=HEX`: HMAC-SHA256, keyed with the shared secret, of the time, a full stop and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx

from transcription_dagster.database.submissions import SubmissionOutcome
from transcription_dagster.errors import SourceRefused, SourceUnavailable
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import GuardedTransport, is_among, origin
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
    shown = shown_url(outcome.webhook)
    try:
        # The response is not read, because its content does not matter and may be long.
        with client.stream("POST", outcome.webhook, content=body, headers=headers) as response:
            status = response.status_code
    except httpx.InvalidURL:
        raise SourceRefused(f"{shown} is not a URL") from None
    except httpx.RequestError as error:
        raise SourceUnavailable(f"{shown} could not be notified: {type(error).__name__}") from None
    if not 200 <= status < 300:
        raise SourceUnavailable(f"{shown} answered the notification with {status}")


def signature(body: bytes, secret: str, now: float) -> str:
    """Return the value of the header `SIGNATURE` for a body sent at `now` (seconds since 1970)."""
    seconds = str(int(now))
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"
