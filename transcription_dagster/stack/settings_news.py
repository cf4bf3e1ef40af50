"""Watch for changes of the shared settings, after which a running stack restarts programs."""

from __future__ import annotations

import time

from transcription_dagster.database import settings_documents
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.settings_documents import StoredSettings
from transcription_dagster.errors import DatabaseUnavailable

_POLL_SECONDS = 5.0


class SettingsNews:
    """Polls the database for changed settings."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_database(database_url)
        self._version = settings_documents.current_version(self._engine)
        self._looked = time.monotonic()

    def poll(self) -> StoredSettings | None:
        """Return the settings in force if they changed; None otherwise, or while the database is unreachable."""
        if time.monotonic() - self._looked < _POLL_SECONDS:
            return None
        self._looked = time.monotonic()
        try:
            stored = settings_documents.current(self._engine)
        except DatabaseUnavailable:
            return None
        if stored is None or stored.version == self._version:
            return None
        self._version = stored.version
        return stored
