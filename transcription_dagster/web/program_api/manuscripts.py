"""Manuscripts of recordings that are being read and corrected, kept while they do not change."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from transcription_dagster.corrections.desk import Manuscript
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.store.object_store import ObjectStore, object_key

#: A recording of ten hours takes some 60 MB.
_KEPT = 2

_Version = tuple[str | None, str | None]


@dataclass
class Manuscripts:
    """Reads transcripts and refined texts from the store, and only once while somebody corrects them."""

    store: ObjectStore
    _kept: OrderedDict[str, tuple[_Version, Manuscript]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, recording: str) -> Manuscript:
        """The manuscript of a recording. Raises `SourceNotFound` while there is no transcript."""
        with self._lock:
            version = self._version("transcript", recording), self._version("refined_txt", recording)
            kept = self._kept.pop(recording, None)
            if kept is None or kept[0] != version:
                kept = version, self._read(recording, is_refined=version[1] is not None)
            self._kept[recording] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return kept[1]

    def _version(self, asset: str, recording: str) -> str | None:
        stored = self.store.head(object_key(recording, STORED_FORMS[asset].file))
        return None if stored is None else f"{stored.etag} {stored.size} {stored.modified.isoformat()}"

    def _read(self, recording: str, *, is_refined: bool) -> Manuscript:
        form = STORED_FORMS["transcript"]
        try:
            transcript = form.decode(self.store.get_bytes(object_key(recording, form.file)))
        except SourceNotFound:
            raise SourceNotFound(f"recording {recording} has no transcript yet") from None
        refined = STORED_FORMS["refined_txt"]
        text = refined.decode(self.store.get_bytes(object_key(recording, refined.file))) if is_refined else None
        return Manuscript.of(transcript, text)
