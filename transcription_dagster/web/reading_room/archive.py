"""What the pages read: recordings from the database, their texts and audio from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transcription_dagster.corrections.journal import is_corrected
from transcription_dagster.database.archive import ListedRecording, listed_recording
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.defs.stored_values import read_edits, stored_value
from transcription_dagster.errors import SourceNotFound, UnknownRecording
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.reading import Reading, reading_of
from transcription_dagster.web.reading_room.corrections import with_corrections
from transcription_dagster.web.reading_room.manuscripts import Manuscripts
from transcription_dagster.web.reading_room.query_embedder import QueryEmbedder


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
