"""Keeping the results of a batch: immediately in a journal, and periodically in the worklist."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from transcription_dagster.errors import InvalidWorklist, WorklistNotSaved
from transcription_dagster.sources.worklist_entries import Entry
from transcription_dagster.sources.worklists import Worklist

#: After a save, no other one follows for this many times its duration: saving takes under 1 % of the time.
_REST = 99.0
#: Minimum seconds between two saves.
_LEAST_SECONDS = 1.0
#: Seconds until a failed save is tried again.
_RETRY_SECONDS = 10.0


class Journal:
    """Results that are not in the worklist yet, as JSON lines in a file beside it or, if that fails, in the home."""

    def __init__(self, worklist: Path, home: Path) -> None:
        name = hashlib.sha256(os.fsencode(worklist)).hexdigest()
        self._places = (worklist.with_name(f".{worklist.name}.results"), home / "unsaved" / f"{name}.results")

    def append(self, results: Mapping[str, Mapping[str, Any]]) -> Path:
        """Append results, by recording; return the file. Raises `OSError` if neither place is writable."""
        lines = "".join(json.dumps({"uuid": uuid, **result}) + "\n" for uuid, result in results.items()).encode()
        beside, at_home = self._places
        try:
            return _append(beside, lines)
        except OSError:
            at_home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _append(at_home, lines)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the stored results, the last one of each recording."""
        results = {}
        for place in self._places:
            lines = place.read_text(encoding="utf-8").splitlines() if place.exists() else []
            for line in lines:
                try:
                    result = json.loads(line)
                except ValueError:
                    # The process ended while it wrote this line.
                    continue
                results[result.pop("uuid")] = result
        return results

    def clear(self) -> None:
        """Delete the journal, whose results are now in the worklist."""
        for place in self._places:
            place.unlink(missing_ok=True)


class DurableResults:
    """A worklist whose results survive a kill and a full disk, and whose file is not rewritten for each result."""

    def __init__(
        self,
        worklist: Worklist,
        home: Path,
        *,
        note: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worklist = worklist
        self._journal = Journal(worklist.path, home)
        self._note = note
        self._clock = clock
        self._next_save: float | None = None
        self._journaled: set[str] = set()
        self._last_message: str | None = None
        self._journal_file: Path | None = None
        worklist.take_over(self._journal.read())

    @property
    def path(self) -> Path:
        return self._worklist.path

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries as loaded, with the results that an earlier batch could not save."""
        return self._worklist.entries

    @property
    def unsaved(self) -> int:
        """Number of results that are not in the worklist yet."""
        return len(self._worklist.unsaved)

    def record_waiting(self, uuid: str) -> None:
        self._worklist.record_waiting(uuid)

    def record_done(self, uuid: str, files: Sequence[str], finished_at: datetime) -> None:
        self._worklist.record_done(uuid, files, finished_at)

    def record_failed(self, uuid: str, error: str, finished_at: datetime) -> None:
        self._worklist.record_failed(uuid, error, finished_at)

    def save(self) -> None:
        """Append new results to the journal, and write all of them into the worklist if it is time.

        The first call raises `WorklistNotSaved`, or `InvalidWorklist` if the file is no longer a worklist: nothing has
        been started yet. Later calls report the problem to the user and try again.
        """
        if self._next_save is None:
            self._save()
            return
        if self._clock() >= self._next_save and self._try_save() is None:
            return
        fresh = {uuid: result for uuid, result in self._worklist.unsaved.items() if uuid not in self._journaled}
        if not fresh:
            return
        try:
            self._journal_file = self._journal.append(fresh)
        except OSError as error:
            self._notify(f"{self.path}: results cannot be saved and are only in memory: {error.strerror}")
        else:
            self._journaled |= fresh.keys()

    def finish(self) -> str | None:
        """Save for the last time; return None, or one line with the reason of a failure and where the results are."""
        if not self._worklist.unsaved or self._next_save is None:
            return None
        error = self._try_save()
        if error is None:
            return None
        self.save()
        if self._worklist.unsaved.keys() <= self._journaled:
            return (
                f"{error}. The {self.unsaved} results that are not in it are in {self._journal_file}; "
                "the next `transcription batch` on this worklist takes them over"
            )
        return f"{error}. The {self.unsaved} results that are not in it are in the database and the store only"

    @property
    def added(self) -> int:
        """Number of entries added to the file since the batch began, which wait for the next batch."""
        return self._worklist.added

    def _try_save(self) -> str | None:
        try:
            self._save()
        except (WorklistNotSaved, InvalidWorklist) as error:
            reason = str(error).splitlines()[0]
            self._notify(f"{reason}; trying again")
            return reason
        self._last_message = None
        return None

    def _save(self) -> None:
        started_at = self._clock()
        is_first = self._next_save is None
        try:
            self._worklist.save()
            self._journal.clear()
            self._journaled.clear()
        except (WorklistNotSaved, InvalidWorklist):
            if not is_first:
                self._next_save = self._clock() + _RETRY_SECONDS
            raise
        saved_at = self._clock()
        self._next_save = saved_at + max(_LEAST_SECONDS, _REST * (saved_at - started_at))

    def _notify(self, message: str) -> None:
        if message != self._last_message:
            self._last_message = message
            self._note(message)


def _append(path: Path, data: bytes) -> Path:
    with path.open("ab") as file:
        size = file.tell()
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            # Start a new line after an incomplete one.
            os.ftruncate(file.fileno(), size)
            raise
    return path
