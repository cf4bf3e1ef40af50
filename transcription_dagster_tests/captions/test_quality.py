"""Findings: what is wrong, where, and how severe."""

from __future__ import annotations

import pytest
from hypothesis import given

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import CaptionLimits
from transcription_dagster.captions.quality import (
    Finding,
    Repetition,
    Severity,
    caption_findings,
    changed_share,
    faithfulness,
    loop_findings,
    repetitions,
    silence_findings,
)
from transcription_dagster.model import Cue, Segment, Word
from transcription_dagster_tests.captions.speech import say, spoken_words, wild_words


def kinds(findings: list[Finding]) -> list[tuple[str, float, str]]:
    """Return each finding's kind, place and severity."""
    return [(finding.kind, finding.place, finding.severity) for finding in findings]


# --- captions


def test_captions_that_keep_the_limits_have_no_findings() -> None:
    assert caption_findings(make_cues(say("The ferry leaves at nine. [1] The bridge is closed until Monday."))) == []


@pytest.mark.parametrize(
    ("cue", "kind", "severity"),
    [
        (Cue(0, 1000, ()), "empty", Severity.ERROR),
        (Cue(0, 1000, (" ",)), "empty", Severity.ERROR),
        (Cue(1000, 1000, ("yes",)), "duration", Severity.ERROR),
        (Cue(1000, 900, ("yes",)), "duration", Severity.ERROR),
        (Cue(0, 3000, ("one", "two", "three")), "lines", Severity.WARN),
        (Cue(0, 3000, ("x" * 43,)), "line_width", Severity.WARN),
        (Cue(0, 3000, ("天" * 22,)), "line_width", Severity.WARN),
        (Cue(0, 832, ("yes",)), "too_short", Severity.WARN),
        (Cue(0, 7002, ("yes",)), "too_long", Severity.WARN),
        (Cue(0, 1000, ("twenty-one characters",)), "reading_speed", Severity.WARN),
    ],
)
def test_a_cue_beyond_a_limit_is_reported(cue: Cue, kind: str, severity: Severity) -> None:
    assert kinds(caption_findings([cue])) == [(kind, 1, severity)]


@pytest.mark.parametrize(
    "cue", [Cue(0, 834, ("yes",)), Cue(0, 7000, ("yes",)), Cue(0, 1000, ("twenty characters ok",))]
)
def test_a_cue_at_a_limit_has_no_finding(cue: Cue) -> None:
    assert caption_findings([cue]) == []


def test_overlaps_and_narrow_gaps_are_reported_at_the_first_of_two_cues() -> None:
    cues = [Cue(0, 2000, ("one",)), Cue(1900, 4000, ("two",)), Cue(4020, 6000, ("three",)), Cue(6084, 8000, ("four",))]
    findings = caption_findings(cues)
    assert kinds(findings) == [("overlap", 1, "ERROR"), ("gap", 2, "WARN")]
    assert "100 ms" in findings[0].message


def test_custom_limits_change_the_findings() -> None:
    cue = Cue(0, 3000, ("twenty-two characters.",))
    assert kinds(caption_findings([cue], CaptionLimits(max_line_characters=20))) == [("line_width", 1, "WARN")]


@given(wild_words)
def test_our_captions_never_have_errors(words: list[Word]) -> None:
    assert [f for f in caption_findings(make_cues(words)) if f.severity is Severity.ERROR] == []


# --- loops


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("no no no no", None),
        ("No, no, no, no, no!", Repetition(0, 5, 1, 5)),
        ("so thank you thank you thank you", None),
        ("so thank you. Thank you. Thank you. Thank you. bye", Repetition(1, 9, 2, 4)),
        ("we will see you and we will see you and we will see you and then", Repetition(0, 15, 5, 3)),
        ("we will see you and we will see you and then", None),
        ("a b c d e f g h i j k l a b c d e f g h i j k l a b c d e f g h i j k l", Repetition(0, 36, 12, 3)),
        ("", None),
        ("one", None),
    ],
)
def test_implausible_repetitions_are_reported(text: str, loop: Repetition | None) -> None:
    assert repetitions(text.split()) == ([loop] if loop else [])


def test_a_loop_is_reported_once_by_its_shortest_phrase() -> None:
    assert repetitions(["ha"] * 40) == [Repetition(0, 40, 1, 40)]


def test_several_loops_are_reported_in_order() -> None:
    loops = repetitions(("b c " * 5 + "x y z " + "a " * 9).split())
    assert [(loop.first, loop.times) for loop in loops] == [(0, 5), (13, 9)]


def test_loops_are_placed_in_time_and_certain_ones_are_errors() -> None:
    words = say("well [1] " + "no " * 6 + "[5] " + "yes " * 30)
    assert kinds(loop_findings(words)) == [
        ("repetition", words[1].start, "WARN"),
        ("repetition", words[7].start, "ERROR"),
    ]


def test_text_that_compresses_too_well_is_reported() -> None:
    segments = [
        Segment(0, 5, 0, 1, compression_ratio=2.4),
        Segment(5, 9, 1, 2, compression_ratio=2.5),
        Segment(9, 9, 2, 2),
    ]
    assert kinds(loop_findings(say("one two"), segments)) == [("compression", 5, "WARN")]


@given(spoken_words())
def test_repetitions_do_not_overlap_and_match_the_words(words: list[Word]) -> None:
    texts = [word.text for word in words] * 3
    stop = 0
    for loop in repetitions(texts):
        assert loop.first >= stop
        stop = loop.stop
        assert stop - loop.first >= loop.phrase_words * loop.times


# --- speech over silence


def levels(*values: float) -> list[tuple[float, float, float]]:
    """One level a second."""
    return [(float(second), second + 1.0, value) for second, value in enumerate(values)]


def test_speech_over_silence_is_reported() -> None:
    segments = [Segment(0.0, 2.0, 0, 3), Segment(2.0, 4.0, 3, 6)]
    findings = silence_findings(segments, levels(-20, -25, -70, -80))
    assert kinds(findings) == [("silence", 2.0, "WARN")]
    assert "-70 dBFS" in findings[0].message


def test_one_loud_moment_is_enough_for_speech() -> None:
    assert silence_findings([Segment(0.0, 3.0, 0, 3)], levels(-80, -30, -80)) == []


def test_a_quiet_recording_is_not_silent() -> None:
    assert silence_findings([Segment(0.0, 2.0, 0, 3)], levels(-52, -55, -60)) == []


def test_segments_without_words_or_levels_have_no_findings() -> None:
    segments = [Segment(0.0, 1.0, 2, 2), Segment(5.0, 6.0, 0, 2)]
    assert silence_findings(segments, levels(-90, -20)) == []
    assert silence_findings(segments, []) == []


# --- faithfulness


@pytest.mark.parametrize(
    ("old", "new", "share"),
    [
        ("the ferry leaves at nine", "The ferry leaves at nine.", 0.0),
        ("the fairy leaves at nine", "the ferry leaves at nine", 0.2),
        ("one two three four", "one two", 0.5),
        ("one two", "one two three four", 0.5),
        ("one two", "three four", 1.0),
        ("", "", 0.0),
        ("", "new", 1.0),
    ],
)
def test_changed_share_counts_changed_words(old: str, new: str, share: float) -> None:
    assert changed_share(old, new) == pytest.approx(share)


def test_a_faithful_text_has_no_findings() -> None:
    assert faithfulness("the fairy leaves at 9 with 1,000 people", "The ferry leaves at 9 with 1000 people.") == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("it leaves at 9 today", "it leaves at 8 today", 4),
        ("it leaves at 9 today", "it leaves today", 3),
        ("it leaves soon", "it leaves at 9 soon", 3),
        ("it is 3.5 metres", "it is 35 metres", 3),
        ("it is 3.500 metres", "it is 3500 metres", 3),
    ],
)
def test_changed_numbers_are_reported(old: str, new: str, place: int) -> None:
    assert kinds(faithfulness(old, new, max_changed_share=1.0)) == [("number", place, "ERROR")]


def test_a_number_may_be_written_in_digits() -> None:
    assert faithfulness("it leaves at nine thirty today", "it leaves at 9:30 today", max_changed_share=1.0) == []


@pytest.mark.parametrize(("changed", "severity"), [(3, "WARN"), (6, "ERROR")])
def test_too_many_changes_are_reported(changed: int, severity: str) -> None:
    old = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    new = ["x"] * changed + old[changed:]
    assert kinds(faithfulness(" ".join(old), " ".join(new))) == [("changed", 1, severity)]
