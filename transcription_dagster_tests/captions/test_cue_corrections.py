"""Corrections change words, never times."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import CaptionLimits
from transcription_dagster.errors import UnrelatedText
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.plain_text import to_text, without_speakers
from transcription_dagster_tests.captions.speech import say, spoken_text, spoken_words


def cue_texts(cues: list[Cue]) -> list[str]:
    """Return the cues' texts, with a bar between lines."""
    return ["|".join(cue.lines) for cue in cues]


def times(cues: list[Cue]) -> list[tuple[int, int]]:
    """Return the cues' times."""
    return [(cue.start_ms, cue.end_ms) for cue in cues]


CUES = [
    Cue(0, 2000, ("the fairy to north haven", "leaves at nine thirty")),
    Cue(2100, 3000, ("um",)),
    Cue(3100, 5000, ("the bridge is closed.",)),
]


def test_corrections_keep_every_time() -> None:
    corrected = correct_cues(CUES, "The ferry to North Haven leaves at 9:30. Um, the bridge is closed.")
    assert cue_texts(corrected) == ["The ferry to North Haven leaves at 9:30.", "Um,", "the bridge is closed."]
    assert times(corrected) == times(CUES)


def test_only_cues_without_words_are_dropped() -> None:
    corrected = correct_cues(CUES, "the fairy to north haven leaves at nine thirty the bridge is closed.")
    assert corrected == [CUES[0], CUES[2]]


def test_cues_whose_words_stay_keep_their_lines() -> None:
    assert (
        correct_cues(CUES, "the fairy to north haven\n\nleaves at nine thirty um the bridge was closed.")[:2]
        == CUES[:2]
    )


def test_words_added_after_a_sentence_belong_to_the_next_cue() -> None:
    cues = [Cue(0, 1000, ("It rains.",)), Cue(1100, 2000, ("stay at home.",))]
    assert cue_texts(correct_cues(cues, "It rains. Please stay at home.")) == ["It rains.", "Please stay at home."]


def test_words_added_after_the_last_sentence_belong_to_the_last_cue() -> None:
    cues = [Cue(0, 1000, ("It rains.",)), Cue(1100, 2000, ("Stay at home.",))]
    corrected = correct_cues(cues, "It rains. Stay at home. Please.")
    assert cue_texts(corrected) == ["It rains.", "Stay at home. Please."]


def test_words_added_inside_a_sentence_belong_to_the_cue_before() -> None:
    cues = [Cue(0, 1000, ("it rains",)), Cue(1100, 2000, ("in the north.",))]
    assert cue_texts(correct_cues(cues, "it rains heavily in the north.")) == ["it rains heavily", "in the north."]


def test_longer_text_is_broken_into_lines_again() -> None:
    cues = [Cue(0, 5000, ("the university of oslo", "and mary smith"))]
    text = "The University of Oslo in Norway and Dr. Mary Smith"
    assert cue_texts(correct_cues(cues, text)) == ["The University of Oslo|in Norway and Dr. Mary Smith"]
    assert cue_texts(correct_cues(cues, text, CaptionLimits(max_lines=1))) == [text]


def test_dialogue_keeps_its_dashes() -> None:
    cues = [Cue(0, 2000, ("- is it opened?", "- no, closed."))]
    assert cue_texts(correct_cues(cues, "Is it open? No, it is closed.")) == ["- Is it open?|- No, it is closed."]
    assert cue_texts(correct_cues(cues, "- Is it opened?\n- No, closed.")) == ["- Is it opened?|- No, closed."]
    for text in ("no, closed.", "- no, closed."):
        assert cue_texts(correct_cues(cues, text)) == ["no, closed."]


def test_a_cue_that_loses_a_turn_loses_its_speaker() -> None:
    (cue,) = correct_cues([Cue(0, 2000, ("- is it opened?", "- no, closed."), speakers=("Ada", "Ben"))], "no, closed.")
    assert (cue.lines, cue.speakers) == (("no, closed.",), ("Ben",))


def test_a_single_line_keeps_its_dash() -> None:
    cues = [Cue(0, 2000, ("- no, closed.",))]
    assert cue_texts(correct_cues(cues, "- No, closed.")) == ["- No, closed."]


def test_text_without_spaces_is_corrected_by_characters() -> None:
    cues = [Cue(0, 1000, ("今天天汽很好",)), Cue(1100, 2000, ("我们出去",))]
    assert cue_texts(correct_cues(cues, "今天天气很好\n我们出去吧")) == ["今天天气很好", "我们出去吧"]


@pytest.mark.parametrize(
    "text",
    ["", "...", "Quarterly revenues of manufacturing companies grew slowly despite inflation.", "zebra " * 500],
)
def test_an_unrelated_text_is_refused(text: str) -> None:
    with pytest.raises(UnrelatedText, match="captions"):
        correct_cues(CUES, text)


def test_captions_without_words_accept_only_an_empty_text() -> None:
    assert correct_cues([], "") == []
    with pytest.raises(UnrelatedText):
        correct_cues([], "words")


def test_badly_misheard_speech_can_still_be_corrected() -> None:
    cues = make_cues(say("the fairy to nort hayvan leafs add nein dirty two morrow mourning"))
    text = "The ferry to North Haven leaves at nine thirty tomorrow morning."
    assert " ".join(line for cue in correct_cues(cues, text) for line in cue.lines) == text


@st.composite
def speech_and_correction(draw: st.DrawFn) -> tuple[list[Word], list[str]]:
    """Return words, and a wording of them with changed, added and removed words."""
    words = draw(spoken_words())
    new: list[str] = []
    for word in words:
        change = draw(st.sampled_from(["keep"] * 6 + ["change", "add", "drop"]))
        new += [word.text] if change in ("keep", "add") else []
        new += [draw(spoken_text)] if change in ("change", "add") else []
    return words, new


@given(speech_and_correction())
def test_corrected_cues_have_the_new_words_and_the_old_times(case: tuple[list[Word], list[str]]) -> None:
    words, new = case
    cues = make_cues(words)
    try:
        corrected = correct_cues(cues, " ".join(new))
    except UnrelatedText:
        assume(False)
        return
    assert " ".join(line for cue in corrected for line in cue.lines).split() == new
    remaining = iter(times(cues))
    assert all(time in remaining for time in times(corrected)), "the times of some of the cues, in order"
    assert all(cue.lines and all(cue.lines) for cue in corrected)


@given(spoken_words(speakers=True))
def test_correcting_with_the_same_text_changes_nothing(words: list[Word]) -> None:
    cues = make_cues(words)
    several = len({word.speaker for word in words if word.speaker}) > 1
    assert correct_cues(cues, without_speakers(to_text(words)) if several else to_text(words)) == cues
