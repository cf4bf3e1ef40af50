"""Recordings that other programs submit over the API, by URL or as a file."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from transcription_dagster.database import submissions
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.errors import InvalidSetting, SourceRefused
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import is_among
from transcription_dagster.sources.http import allowed_origins
from transcription_dagster.sources.secret_addresses import keep_whole_url
from transcription_dagster.sources.webhooks import check_webhook
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.urls import shown_url

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

    def take_url(self, url: str, described: Description, by: str) -> str:
        """Accept a recording at a URL, which a worker will download; return the recording's UUID.

        Raises `SourceRefused` for a host from which recordings may not be fetched, and for a webhook that is not
        allowed.
        """
        self.check(described)
        parts = urlsplit(url)
        if parts.username is not None or not parts.path.strip("/") or not is_among(url, allowed_origins(self.settings)):
            raise SourceRefused(f"{shown_url(url)} is not a file on one of the hosts in TRANSCRIPTION_SOURCE_HOSTS")
        recording = str(uuid.uuid4())
        keep_whole_url(self.store, recording, url)
        return self._note(recording, url, described, by)

    def take_file(self, path: Path, name: str, described: Description, by: str) -> str:
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
        register(self.engine, [Recording(recording, source, described.title or None, described.language or None)])
        submissions.add(self.engine, recording, by, described.webhook)
        return recording
