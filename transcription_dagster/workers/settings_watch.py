"""Watching the settings in the database: when they change, the worker drains and a new process replaces it."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.settings_documents import current_version
from transcription_dagster.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

#: Seconds between polls. Every run checks before it starts, so this only delays the restart of an idle worker.
_POLL_SECONDS = 5.0


class Drains(Protocol):
    """The methods of a worker that the watch calls."""

    @property
    def draining(self) -> threading.Event: ...

    def drain(self) -> None: ...


class SettingsWatch:
    """Compares the settings version that a worker started with to the current one."""

    def __init__(self, url: str, version: int, worker: Drains) -> None:
        self._engine = open_database(url)
        self._version = version
        self._worker = worker

    def start(self) -> None:
        """Poll in a separate thread until the worker drains for any reason."""
        threading.Thread(target=self._poll, name="settings", daemon=True).start()

    def outdated(self) -> bool:
        """Return True, and drain the worker, if the settings changed. Raises `DatabaseUnavailable`."""
        version = current_version(self._engine)
        if version == self._version:
            return False
        if not self._worker.draining.is_set():
            logger.info(
                "the settings are at version %s and this process uses version %d: ending it for a new process",
                version,
                self._version,
                extra={"action": "settings"},
            )
            self._worker.drain()
        return True

    def _poll(self) -> None:
        while not self._worker.draining.wait(_POLL_SECONDS):
            try:
                self.outdated()
            except DatabaseUnavailable:
                continue
        self._engine.dispose()
