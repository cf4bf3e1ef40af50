"""A cache of the manuscripts of recordings that are being read and corrected."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from transcription_dagster.corrections.desk import Corrected, Manuscript, corrected
from transcription_dagster.corrections.journal import last_version
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.stored_values import STORED_FORMS, stored_value
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.model import Transcript
from transcription_dagster.store.object_store import ObjectStore, StoredObject, object_key

#: A ten-hour recording takes about 25 MB.
_KEPT = 2

_Version = tuple[StoredObject | None, ...]


@dataclass
class Manuscripts:
    """Reads transcripts and refined texts from the store, and reads them again only when they change."""

    store: ObjectStore
    _kept: OrderedDict[str, tuple[_Version, Manuscript]] = field(default_factory=OrderedDict)
    #: Shares its words with the manuscripts.
    _corrected: dict[str, Corrected] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, recording: str) -> Manuscript:
        """Return the manuscript of a recording. Raises `SourceNotFound` if there is no transcript yet."""
        with self._lock:
            *sources, refined = (
                self._stored(asset, recording) for asset in ("conversation", "transcript", "refined_txt")
            )
            version = (*sources, refined)
            kept = self._kept.pop(recording, None)
            if kept is None or kept[0] != version:
                made = [source for source in sources if source is not None]
                kept = version, self._read(recording, made, is_refined=refined is not None)
            self._kept[recording] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return kept[1]

    def corrected(self, engine: Engine, recording: str) -> Corrected:
        """Return the recording as corrected by now. Raises `SourceNotFound` while there is no transcript."""
        manuscript = self.of(recording)
        kept = self._corrected.get(recording)
        if kept is None or kept.manuscript is not manuscript or kept.version != last_version(engine, recording):
            kept = corrected(engine, manuscript)
            with self._lock:
                self._corrected = {name: each for name, each in self._corrected.items() if name in self._kept}
                self._corrected[recording] = kept
        return kept

    def _stored(self, asset: str, recording: str) -> StoredObject | None:
        return self.store.head(object_key(recording, STORED_FORMS[asset].file))

    def _read(self, recording: str, sources: Sequence[StoredObject], *, is_refined: bool) -> Manuscript:
        """Read a manuscript; `sources`: the files of its transcript."""
        if not sources:
            raise SourceNotFound(f"recording {recording} has no transcript yet")
        page = self._stored("reading", recording)
        if page is not None and page.modified >= max(source.modified for source in sources):
            # The page's own file has the same words, and reading it takes a tenth of the time and memory.
            transcript = Transcript(recording, stored_value(self.store, "reading", recording).words)
        else:
            transcript = stored_value(self.store, "conversation", recording)
        text = stored_value(self.store, "refined_txt", recording) if is_refined else None
        manuscript = Manuscript.of(transcript, text)
        _return_free_memory()
        return manuscript


def _return_free_memory() -> None:
    """Give the system back what reading a transcript took: after one of ten hours, glibc would keep 100 MB of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
