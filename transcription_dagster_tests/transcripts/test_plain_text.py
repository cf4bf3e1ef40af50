"""Words joined into lines and paragraphs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given

from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.plain_text import (
    join_paragraphs,
    join_words,
    paragraph_starts,
    to_text,
    without_speakers,
)
from transcription_dagster_tests.captions.speech import say, spoken_words
from transcription_dagster_tests.sample_transcripts import spoken

LONG = "Word " + " ".join(["word"] * 49) + "."


def test_words_are_joined_by_spaces_unless_glued() -> None:
    words = [Word("twenty", 0, 1, glued=True), Word("-five", 1, 2, glued=True), Word("ferries.", 2, 3)]
    assert join_words(words) == "twenty-five ferries."


def test_no_words_give_no_text() -> None:
    assert join_words([]) == to_text([]) == ""


def test_a_pause_after_a_sentence_makes_a_paragraph() -> None:
    assert to_text(say("It rained. [2] Then it stopped.")) == "It rained.\n\nThen it stopped.\n"


def test_a_pause_inside_a_sentence_does_not() -> None:
    assert to_text(say("It rained, [2] then it stopped.")) == "It rained, then it stopped.\n"


def test_a_very_long_pause_always_makes_a_paragraph() -> None:
    assert to_text(say("It rained, [5] then it stopped.")) == "It rained,\n\nthen it stopped.\n"


def test_another_speaker_begins_a_paragraph() -> None:
    words = [*say("Are you", speaker="spk_0"), *say("Yes.", start=1.0, speaker="spk_1")]
    assert to_text(Transcript("", tuple(words))) == "Speaker 1: Are you\n\nSpeaker 2: Yes.\n"


def test_a_long_paragraph_ends_with_its_sentence() -> None:
    paragraphs = to_text(say("A sentence of thirty characters. " * 60)).split("\n\n")
    assert len(paragraphs) == 3
    assert all(paragraph.rstrip().endswith(".") for paragraph in paragraphs)


@given(spoken_words(speakers=True))
def test_the_text_holds_every_word_in_order(words: list[Word]) -> None:
    # Without names, paragraphs that begin with a few words and a colon look as if they began with a speaker's name.
    assume(len({word.speaker for word in words if word.speaker}) > 1 or not any(":" in word.text for word in words))
    assert without_speakers(to_text(words)).split() == [word.text for word in words]


def test_a_paragraph_that_seems_to_begin_with_a_name_gets_its_speakers_name() -> None:
    first, second = say("We left. Note: it rained."), say("Yes.")
    next_words = [replace(word, start=word.start + 9, end=word.end + 9) for word in first[2:]]
    words = [
        *(replace(word, speaker="Ada") for word in [*first[:2], *next_words]),
        *(replace(word, speaker="Ben", start=word.start + 20, end=word.end + 20) for word in second),
    ]
    assert to_text(words) == "Ada: We left.\n\nAda: Note: it rained.\n\nBen: Yes.\n"
    assert without_speakers(to_text(words)) == "We left.\n\nNote: it rained.\n\nYes.\n"


def test_paragraphs_begin_at_given_words() -> None:
    words = say("One. Two. Three.")
    assert join_paragraphs(words, (0, 1)) == "One.\n\nTwo. Three.\n"
    assert join_paragraphs([], ()) == ""


def test_speakers_names_are_removed_from_a_text() -> None:
    assert without_speakers("Ada: Hello.\n\nYes.\n\nBen: I see: nothing.\n") == "Hello.\n\nYes.\n\nI see: nothing.\n"
    assert without_speakers("Ada: Hello.\r\n\r\nBen: Yes.\r\n") == "Hello.\r\n\r\nYes.\r\n"
    lines = "JOHN: Hello.\nDr. Lee: Yes.\r\n[Speaker 2]: No.\nwrapped: on\n\nJOHN: Bye."
    assert without_speakers(lines) == "Hello.\nYes.\r\nNo.\nwrapped: on\n\nBye."
    for text in ("Note: a\nb\nc\nd\nThus: e\n", "it says: a\nthen: b\n", "Note: a\nNote: b"):
        assert without_speakers(text) == text
    for text in ("Note: bring water.\n\nWe leave.\n", "Hello.\n\nAda: no.\n\nBen: yes.\n", "", "Note: a\n\nNote: b"):
        assert without_speakers(text) == text


def with_pause(words: tuple[Word, ...], first: int, seconds: float) -> list[Word]:
    """Return the words, with a pause before the one at `first`."""
    moved = [replace(word, start=word.start + seconds, end=word.end + seconds) for word in words[first:]]
    return [*words[:first], *moved]


def test_no_words_give_no_paragraphs() -> None:
    assert paragraph_starts([]) == ()


def test_a_topic_begins_a_paragraph_only_where_a_sentence_begins() -> None:
    assert paragraph_starts(spoken("One two. Three four."), {1, 2, 3}) == (0, 2)


def test_a_pause_ends_a_paragraph_only_after_a_sentence() -> None:
    assert paragraph_starts(with_pause(spoken("One two. Three four."), 2, 2.0)) == (0, 2)
    assert paragraph_starts(with_pause(spoken("One two. Three four."), 1, 2.0)) == (0,)


def test_a_very_long_pause_and_another_speaker_always_begin_a_paragraph() -> None:
    assert paragraph_starts(with_pause(spoken("So and then"), 1, 5.0)) == (0, 1)
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
