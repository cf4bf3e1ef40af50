import uuid

from transcription_dagster.database import recordings
from transcription_dagster.database.recordings import Recording
from transcription_dagster.model import Term

A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def test_a_registered_recording_is_found_as_it_was_described(engine):
    recording = Recording(A, "file:///a.wav", "Title", "en", (Term("Ålesund", ("Olsen",), "place", 2.0),), "e1", 10)
    recordings.register(engine, [recording])
    assert recordings.find(engine, A) == recording
    assert recordings.find(engine, B) is None
