"""The archive as pages and the API read it: recordings from the database, corrected texts and audio from the store."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from transcription_dagster.corrections.changes import words_digest
from transcription_dagster.corrections.journal import is_corrected, last_version
from transcription_dagster.corrections.manuscript import CorrectedText, Manuscript, load_corrected
from transcription_dagster.corrections.reading import Author
from transcription_dagster.database.archive import ListedRecording, listed_recording
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.defs.stored_values import STORED_FORMS, read_edits, stored_value
from transcription_dagster.errors import SourceNotFound, UnknownRecording
from transcription_dagster.model import Transcript
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import ObjectStore, StoredObject, object_key
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.reading import Reading, SignedEdit, reading_of
from transcription_dagster.web.reading_room.query_embedder import QueryEmbedder

#: The kind of an edit made by a person.
CORRECTION = "correction"

#: Manuscripts in memory. One of a ten-hour recording takes about 25 MB.
_CACHED_MANUSCRIPTS = 2

#: The files that a manuscript is made from; None for a missing one.
_Sources = tuple[StoredObject | None, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """The database and the store of one installation."""

    engine: Engine
    store: ObjectStore
    settings: Settings
    embedder: QueryEmbedder
    manuscripts: Manuscripts

    @classmethod
    def of(cls, settings: Settings) -> Archive:
        """Open the database and the store of the settings; each connects on first use."""
        engine = open_database(settings.require_database_url())
        store = ObjectStore(settings.store_url)
        return cls(engine, store, settings, QueryEmbedder(settings), Manuscripts(store))

    def recording(self, uuid: str) -> ListedRecording:
        """Return a recording's row. Raises `InvalidRecordingId` or `UnknownRecording`."""
        recording = listed_recording(self.engine, uuid)
        if recording is None:
            raise UnknownRecording(f"There is no recording {uuid} in the archive.")
        return recording

    def reading(self, recording: str) -> Reading | None:
        """Return the words in turns, with the refinement's and people's edits; None if there is no transcript yet.

        Recordings of older versions of the program have no `reading.json`; their transcript is read instead.
        """
        reading: Reading | None = self._stored("reading", recording)
        if reading is None:
            conversation = self._stored("conversation", recording)
            if conversation is None:
                return None
            reading = reading_of(conversation, read_edits(self.store, recording))
        if reading.words and is_corrected(self.engine, recording):
            return with_corrections(reading, self.manuscripts.corrected(self.engine, recording))
        return reading

    def peaks(self, recording: str) -> bytes:
        """Return the waveform, `PEAKS_PER_SECOND` bytes per second; empty if there is none."""
        return self._stored("peaks", recording) or b""

    def _stored(self, asset: str, recording: str) -> Any:
        try:
            return stored_value(self.store, asset, recording)
        except SourceNotFound:
            return None


@dataclass
class Manuscripts:
    """Loads the manuscripts of recordings that are read and corrected, and keeps the last ones until they change."""

    store: ObjectStore
    _cache: OrderedDict[str, tuple[_Sources, Manuscript]] = field(default_factory=OrderedDict)
    #: Shares its words with the manuscripts.
    _corrected: dict[str, CorrectedText] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, recording: str) -> Manuscript:
        """Return the manuscript of a recording. Raises `SourceNotFound` if there is no transcript yet."""
        with self._lock:
            transcripts = [self._file("conversation", recording), self._file("transcript", recording)]
            refined = self._file("refined_txt", recording)
            sources = (*transcripts, refined)
            cached = self._cache.pop(recording, None)
            if cached is None or cached[0] != sources:
                existing = [file for file in transcripts if file is not None]
                cached = sources, self._load(recording, existing, is_refined=refined is not None)
            self._cache[recording] = cached
            while len(self._cache) > _CACHED_MANUSCRIPTS:
                self._cache.popitem(last=False)
            return cached[1]

    def corrected(self, engine: Engine, recording: str) -> CorrectedText:
        """Return a recording's text with all corrections so far. Raises `SourceNotFound` without a transcript."""
        manuscript = self.of(recording)
        text = self._corrected.get(recording)
        if text is None or text.manuscript is not manuscript or text.version != last_version(engine, recording):
            text = load_corrected(engine, manuscript)
            with self._lock:
                self._corrected = {uuid: other for uuid, other in self._corrected.items() if uuid in self._cache}
                self._corrected[recording] = text
        return text

    def _file(self, asset: str, recording: str) -> StoredObject | None:
        return self.store.head(object_key(recording, STORED_FORMS[asset].file))

    def _load(self, recording: str, transcripts: Sequence[StoredObject], *, is_refined: bool) -> Manuscript:
        """Load a manuscript; `transcripts` are the existing files of its transcript."""
        if not transcripts:
            raise SourceNotFound(f"recording {recording} has no transcript yet")
        reading = self._file("reading", recording)
        if reading is not None and reading.modified >= max(file.modified for file in transcripts):
            # The page's own file has the same words, and reading it takes a tenth of the time and memory.
            transcript = Transcript(recording, stored_value(self.store, "reading", recording).words)
        else:
            transcript = stored_value(self.store, "conversation", recording)
        refined_text = stored_value(self.store, "refined_txt", recording) if is_refined else None
        manuscript = Manuscript.of(transcript, refined_text)
        _return_free_memory()
        return manuscript


def _return_free_memory() -> None:
    """Return the memory that parsing took to the system: after a ten-hour transcript, glibc would keep 100 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def with_corrections(reading: Reading, text: CorrectedText) -> Reading:
    """Return the reading with people's changes. A change replaces any edit of the refinement that it touches.

    A reading of an earlier transcript is returned as it is: it is about to be made again.
    """
    if not text.changes or words_digest(reading.words) != text.manuscript.digest:
        return reading
    corrections = list(_edits_by_people(text))
    corrected_words = {word for edit in corrections for word in range(edit.first, edit.last + 1)}
    refinements = [edit for edit in reading.edits if corrected_words.isdisjoint(range(edit.first, edit.last + 1))]
    edits = sorted([*corrections, *refinements], key=lambda edit: edit.first)
    return replace(reading, turns=tuple(text.reading.outline()), edits=tuple(edits))


def _edits_by_people(text: CorrectedText) -> Iterator[SignedEdit]:
    """Yield the edits of the machine's words that people made."""
    for _, passage in sorted(text.reading.written.items()):
        if passage.author is not Author.PERSON:
            continue
        old = join_words(text.reading.words[passage.first : passage.stop])
        new = join_words(passage.words)
        change = text.change(passage.version) if passage.version is not None else None
        if new != old:
            author = change.who if change else "a person"
            yield SignedEdit(passage.first, passage.stop - 1, old, new, CORRECTION, author)
