"""Which file the words of a manuscript come from, and when it is read again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transcription_dagster.errors import SourceNotFound
from transcription_dagster.model import Transcript
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.reading import reading_of, write_reading
from transcription_dagster.web.reading_room.archive import Manuscripts
from transcription_dagster_tests.sample_transcripts import spoken

RECORDING = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes, int], None]:
    """Return a function that stores a file of the recording as of a second."""

    def put(name: str, data: bytes, second: int) -> None:
        path = tmp_path / RECORDING / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (second, second))

    return put


def document(text: str) -> bytes:
    return write_transcript(Transcript(RECORDING, tuple(spoken(text)))).encode()


def page(text: str) -> bytes:
    return write_reading(reading_of(Transcript(RECORDING, tuple(spoken(text)))))


def words(manuscripts: Manuscripts) -> str:
    return join_words(manuscripts.of(RECORDING).base.words)


def test_the_words_come_from_the_newest_transcript(tmp_path: Path, put: Callable[[str, bytes, int], None]) -> None:
    manuscripts = Manuscripts(ObjectStore(tmp_path.as_uri()))
    with pytest.raises(SourceNotFound, match="has no transcript yet"):
        manuscripts.of(RECORDING)
    put("reading.json", page("from the page"), 10)
    with pytest.raises(SourceNotFound, match="has no transcript yet"):
        manuscripts.of(RECORDING)
    put("conversation.json", document("one two"), 20)
    assert words(manuscripts) == "one two"
    # The page's file follows, with the same words: here with others, to see that it is the one that is read.
    put("reading.json", page("from the page"), 20)
    assert words(Manuscripts(manuscripts.store)) == "from the page"
    put("transcript.json", document("three"), 30)
    assert words(manuscripts) == "one two"
    put("conversation.json", document("three"), 31)
    assert words(manuscripts) == "three"


def test_a_manuscript_is_read_once_until_a_file_changes(tmp_path: Path, put: Callable[[str, bytes, int], None]) -> None:
    manuscripts = Manuscripts(ObjectStore(tmp_path.as_uri()))
    put("conversation.json", document("one two"), 20)
    first = manuscripts.of(RECORDING)
    assert manuscripts.of(RECORDING) is first
    put("refined.txt", b"One two.\n", 21)
    again = manuscripts.of(RECORDING)
    assert again is not first
    assert set(again.base.refined) == {0, 1}
