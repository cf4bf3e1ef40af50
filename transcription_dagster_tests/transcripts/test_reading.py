from __future__ import annotations

from dataclasses import replace

from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Transcript, Word
from transcription_dagster.transcripts.reading import SignedEdit, Turn, read_reading, reading_of, write_reading

WORDS = (
    Word("Good", 0.0, 0.4, 0.98, speaker="spk_0"),
    Word("morning.", 0.4, 0.9, 0.31, speaker="spk_0"),
    Word("東", 1.0, 1.2, 0.5, speaker="spk_1"),
    Word("京", 1.2, 1.402, 0.5, glued=True, speaker="spk_1"),
)
TRANSCRIPT = Transcript(
    "00000000-0000-4000-8000-000000000001",
    WORDS,
    language="en",
    duration=3.5,
    model="small",
    removed=(RemovedSpeech(2.0, 2.5, "Thank you.", "no speech here", ("voice activity",)),),
    doubtful=(DoubtfulSpeech(0.4, 0.9, "morning.", ("no speech probability",)),),
    gaps=(Gap(2.6, 3.1),),
)
EDIT = SignedEdit(2, 3, "東京", "京都", "mishearing", "claude")


def test_another_speaker_begins_a_turn() -> None:
    reading = reading_of(TRANSCRIPT)
    assert reading.turns == (Turn(0, 2, "spk_0"), Turn(2, 4, "spk_1"))
    assert reading.speakers == ("spk_0", "spk_1")


def test_a_reading_is_read_back_as_it_was_written() -> None:
    reading = reading_of(TRANSCRIPT, [EDIT])
    assert read_reading(write_reading(reading)) == reading
    nothing = reading_of(replace(TRANSCRIPT, words=(), removed=(), doubtful=(), gaps=()))
    assert read_reading(write_reading(nothing)) == nothing
