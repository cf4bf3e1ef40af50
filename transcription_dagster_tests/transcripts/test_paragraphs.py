from __future__ import annotations

from dataclasses import replace

from transcription_dagster.model import Word
from transcription_dagster.transcripts.plain_text import paragraph_starts
from transcription_dagster_tests.sample_transcripts import spoken

LONG = "Word " + " ".join(["word"] * 49) + "."


def later(words: tuple[Word, ...], first: int, seconds: float) -> list[Word]:
    """Return the words, with a pause before the one at `first`."""
    moved = [replace(word, start=word.start + seconds, end=word.end + seconds) for word in words[first:]]
    return [*words[:first], *moved]


def test_no_words_give_no_paragraphs() -> None:
    assert paragraph_starts([]) == ()


def test_a_topic_begins_a_paragraph_only_where_a_sentence_begins() -> None:
    assert paragraph_starts(spoken("One two. Three four."), {1, 2, 3}) == (0, 2)


def test_a_pause_ends_a_paragraph_only_after_a_sentence() -> None:
    assert paragraph_starts(later(spoken("One two. Three four."), 2, 2.0)) == (0, 2)
    assert paragraph_starts(later(spoken("One two. Three four."), 1, 2.0)) == (0,)


def test_a_very_long_pause_and_another_speaker_always_begin_a_paragraph() -> None:
    assert paragraph_starts(later(spoken("So and then"), 1, 5.0)) == (0, 1)
    words = spoken("So and then")
    speakers = ("spk_0", "spk_1", "spk_0")
    speech = [replace(word, speaker=speaker) for word, speaker in zip(words, speakers, strict=True)]
    assert paragraph_starts(speech) == (0, 1, 2)
    # A word with an uncertain speaker belongs to the surrounding turn.
    assert paragraph_starts([speech[0], words[1], speech[2]]) == (0,)


def test_a_paragraph_ends_once_it_is_long() -> None:
    words = spoken(" ".join([LONG] * 10))
    starts = paragraph_starts(words)
    assert len(starts) > 1
    assert all(start % 50 == 0 for start in starts)
