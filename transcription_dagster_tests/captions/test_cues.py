"""Captions for any words: properties that always hold, and examples of good style."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.captions import segmentation
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import CaptionLimits, display_width
from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.conversation import in_turns
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster_tests.captions.speech import say, spoken_words, wild_words

LIMITS = CaptionLimits()
GAP = LIMITS.gap_ms


def cue_texts(words: list[Word], limits: CaptionLimits | None = None) -> list[str]:
    """Return the cues' texts, with a bar between lines."""
    return ["|".join(cue.lines) for cue in make_cues(words, limits)]


def words_of(cues: list[Cue]) -> list[str]:
    """Return the words of cues, without the dashes of dialogue."""
    lines = (line.removeprefix("- ") if len(cue.lines) > 1 else line for cue in cues for line in cue.lines)
    return " ".join(lines).split()


# --- what always holds


@pytest.mark.parametrize("milliseconds", [10, 50, 200])
def test_cues_crowded_into_a_short_recording_have_some_time_each(milliseconds: int) -> None:
    words = [
        Word(name * 3, 0.0, 0.0, speaker=name) for name in ("supercalifragilistic", "honorificabilitudo", "expialid")
    ]
    cues = make_cues(words, duration=milliseconds / 1000)
    assert len(cues) > 1
    assert all(0 <= cue.start_ms < cue.end_ms <= milliseconds for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


@given(wild_words)
def test_any_words_give_valid_cues(words: list[Word]) -> None:
    cues = make_cues(words)
    assert [cue.first for cue in cues] == [0, *(cue.stop for cue in cues)][: len(cues)]
    assert (cues[-1].stop if cues else 0) == len(words)
    assert all(cue.first < cue.stop and all(line.strip() for line in cue.lines) and cue.lines for cue in cues)
    assert all(0 <= cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(cues))


@given(spoken_words(speakers=True))
def test_every_word_appears_once_in_order(words: list[Word]) -> None:
    assert words_of(make_cues(words)) == [word.text for word in words]


@given(wild_words)
def test_glued_words_stay_together_within_a_line(words: list[Word]) -> None:
    for cue in make_cues(words):
        if len(cue.lines) == 1:
            assert cue.lines[0] == join_words(words[cue.first : cue.stop])


@given(spoken_words())
def test_cues_keep_the_limits_of_lines_and_columns(words: list[Word]) -> None:
    for cue in make_cues(words):
        assert len(cue.lines) <= LIMITS.max_lines
        for line in cue.lines:
            assert display_width(line) <= LIMITS.max_line_characters or " " not in line


@given(spoken_words())
def test_a_cue_lasts_as_long_as_its_words_or_as_reading_needs(words: list[Word]) -> None:
    cues = make_cues(words)
    for number, cue in enumerate(cues):
        speech = (round(words[cue.first].start * 1000), round(words[cue.stop - 1].end * 1000))
        room = cues[number + 1].start_ms - GAP if number + 1 < len(cues) else None
        if number and cue.start_ms != speech[0]:
            assert cue.start_ms == cues[number - 1].start_ms + 2 * GAP, "late only where the cue before had no time"
        else:
            assert cue.start_ms == speech[0]
        closing = LIMITS.close_gap_seconds * 1000 if room else 0
        assert cue.end_ms <= max(speech[1], cue.start_ms) + LIMITS.linger_seconds * 1000 + closing
        assert cue.end_ms - cue.start_ms <= LIMITS.max_seconds * 1000
        assert cue.end_ms >= min(speech[1], cue.start_ms + 7000, room or speech[1])


@given(spoken_words())
def test_a_cue_is_too_short_or_too_fast_only_where_the_speech_leaves_no_time(words: list[Word]) -> None:
    cues = make_cues(words)
    for number, cue in enumerate(cues):
        room = cues[number + 1].start_ms - GAP if number + 1 < len(cues) else float("inf")
        speech_end = round(words[cue.stop - 1].end * 1000)
        latest = min(room, speech_end + LIMITS.linger_seconds * 1000, cue.start_ms + LIMITS.max_seconds * 1000)
        seconds = (cue.end_ms - cue.start_ms) / 1000
        characters = sum(display_width(line) for line in cue.lines) + len(cue.lines) - 1
        if seconds < LIMITS.min_seconds or characters / seconds > LIMITS.characters_per_second:
            assert cue.end_ms >= latest


@given(spoken_words())
def test_gaps_between_cues_are_closed_or_visible(words: list[Word]) -> None:
    for before, after in pairwise(make_cues(words)):
        gap = after.start_ms - before.end_ms
        longest = before.end_ms - before.start_ms >= LIMITS.max_seconds * 1000
        assert gap == GAP or gap >= LIMITS.close_gap_seconds * 1000 or (gap > GAP and longest)


@given(spoken_words(speakers=True))
def test_a_cue_holds_one_speaker_or_two_short_turns(words: list[Word]) -> None:
    for cue in make_cues(words):
        own = in_turns(words)[cue.first : cue.stop]
        turns = [before.speaker != after.speaker for before, after in pairwise(own)].count(True)
        if turns:
            assert turns == 1
            assert len(cue.lines) == 2
            assert all(line.startswith("- ") and len(line) <= 42 for line in cue.lines)


@given(st.lists(st.text("abc", min_size=1, max_size=60), min_size=1, max_size=30), st.integers(1, 4))
def test_custom_limits_are_met(texts: list[str], lines: int) -> None:
    limits = CaptionLimits(max_lines=lines, max_line_characters=20, frame_rate=50)
    words = say(" ".join(texts))
    for cue in make_cues(words, limits):
        assert len(cue.lines) <= lines
        assert all(len(line) <= 20 or " " not in line for line in cue.lines)


# --- where cues end


def test_no_words_give_no_cues() -> None:
    assert make_cues([]) == []


def test_one_word_makes_one_cue_that_can_be_read() -> None:
    assert make_cues([Word("Yes.", 1.0, 1.1)]) == [Cue(1000, 1834, ("Yes.",), 0, 1)]


def test_a_sentence_that_fits_is_one_cue() -> None:
    text = "The ferry to North Haven leaves at nine. The bridge over the old river is closed until Monday."
    assert cue_texts(say(text)) == [
        "The ferry to North Haven leaves at nine.",
        "The bridge over the old river|is closed until Monday.",
    ]


def test_a_long_sentence_is_cut_at_its_clauses() -> None:
    text = (
        "The minister, who had been expected to resign on Tuesday, told some reporters later in the evening "
        "about his plans for the coming months, and left the building."
    )
    assert cue_texts(say(text)) == [
        "The minister, who had been expected|to resign on Tuesday,",
        "told some reporters later in the evening|about his plans for the coming months,",
        "and left the building.",
    ]


def test_a_long_sentence_without_commas_is_cut_at_a_pause() -> None:
    fruit, greens = "apple cherry melon orange quince raisin banana tomato", "carrot onion pepper garlic radish turnip"
    first, *_ = make_cues(say(f"{fruit} [0.6] {greens}"))
    assert first.stop == 8


@pytest.mark.parametrize("padding", range(0, 44, 4))
@pytest.mark.parametrize("name", ["Elizabeth Anne Miller", "3.5 million kilometres", "twenty five hundred"])
def test_names_and_numbers_are_never_cut_where_that_can_be_avoided(name: str, padding: int) -> None:
    filler = "lorem ipsum dolor amet erat"[: max(3, padding % 27)].strip()
    text = f"yesterday {filler} people in the village waited for {name} near the harbour until the evening came"
    for lines in (cue.lines for cue in make_cues(say(text))):
        assert all((name in line) == (name.split()[0] in line) for line in lines)


def test_a_decimal_number_at_the_edge_of_a_cue_is_whole() -> None:
    words = say("the level of the water in the harbour rose within two days by nearly")
    point = [Word("3", 4.0, 4.2), Word(".5", 4.2, 4.4, glued=True), Word("metres", 4.4, 4.8), Word("here.", 4.8, 5.1)]
    assert any("3.5 metres" in line for text in cue_texts([*words, *point]) for line in text.split("|"))


@pytest.mark.parametrize(("pause", "cues"), [(4.0, 2), (0.5, 2), (0.4, 1)])
def test_a_silence_ends_a_cue(pause: float, cues: int) -> None:
    words = [Word("and", 0.0, 0.5), Word("then", 0.5, 1.0), Word("nothing", 1.0 + pause, 1.5 + pause)]
    assert len(make_cues(words, CaptionLimits(max_pause_seconds=0.5))) == cues


def test_a_cue_holds_at_most_seven_seconds_of_speech() -> None:
    for end, cues in [(7.0, 1), (7.001, 2)]:
        assert len(make_cues([Word("well,", 0.0, 3.0), Word("then", 3.0, end)])) == cues


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Closed. [0.6] Closed.", ["Closed. Closed."]),
        ("Closed. [0.75] No.", ["Closed.", "No."]),
        ("No. [0.7] Closed.", ["No. Closed."]),
        ("and the boats stay in the harbour [1] Open?", ["and the boats stay in the harbour", "Open?"]),
    ],
    ids=["a short pause", "a longer pause", "a first sentence too short to read alone", "an unfinished sentence"],
)
def test_short_sentences_share_a_cue_unless_a_pause_separates_them(text: str, expected: list[str]) -> None:
    assert cue_texts(say(text, pace=18)) == expected


def test_words_without_width_do_not_make_a_cue_of_any_number_of_words() -> None:
    words = [Word("\u200d", number * 0.001, number * 0.001 + 0.001, glued=True) for number in range(500)]
    assert max(cue.stop - cue.first for cue in make_cues(words)) <= 2 * 42


def test_a_short_answer_joins_its_neighbour_rather_than_flash() -> None:
    sentence = "apple cherry melon orange quince raisin banana tomato carrot onion pepper garlic."
    cues = make_cues(say(f"{sentence} No. {sentence}", pace=18))
    assert ["No."] not in [list(cue.lines) for cue in cues]
    assert all(cue.end_ms - cue.start_ms >= 833 for cue in cues)


def test_a_word_of_forty_letters_is_whole() -> None:
    word = "Rindfleischetikettierungsüberwachungsaufgabe"
    assert word in cue_texts(say(f"the law on {word} was passed"))[0].split("|") or word in cue_texts(
        say(f"the {word}")
    )


def test_capitals_emoji_and_right_to_left_text_are_words() -> None:
    text = "שלום עולם 😀😀 THE END مرحبا بالعالم"
    assert words_of(make_cues(say(text))) == text.split()


def test_text_without_spaces_fills_lines_of_wide_characters() -> None:
    words = [replace(word, glued=number > 0) for number, word in enumerate(say("天 " * 60, pace=5))]
    cues = make_cues(words)
    assert "".join("".join(cue.lines) for cue in cues) == "天" * 60
    assert max(len(line) for cue in cues for line in cue.lines) <= 21


# --- when cues end


def test_a_fast_sentence_extends_into_silence() -> None:
    fast = say("this sentence is spoken much too fast to read. [3] Then", pace=40)
    cue = make_cues(fast)[0]
    assert len(cue.lines[0]) / (cue.end_ms - cue.start_ms) * 1000 <= 20


def test_a_cue_does_not_linger_without_need() -> None:
    cue = make_cues(say("a slow sentence. [3] Then", pace=8))[0]
    assert cue.end_ms == 1750


def test_a_small_gap_is_closed_to_two_frames() -> None:
    first, second = make_cues(say("The ferry to the island will leave at nine. [0.4] " * 2))
    assert second.start_ms - first.end_ms == 84


def test_a_word_stretched_over_silence_does_not_extend_its_cue() -> None:
    cue = make_cues([Word("well", 0.0, 60.0)])[0]
    assert (cue.start_ms, cue.end_ms) == (0, 7000)


# --- who speaks


def test_two_short_turns_share_a_cue_with_dashes() -> None:
    words = [*say("Open?", speaker="spk_0"), *say("Closed.", start=0.4, speaker="spk_1")]
    assert cue_texts(words) == ["- Open?|- Closed."]


def test_long_turns_do_not_share_a_cue() -> None:
    words = [
        *say("Is the bridge over the river open again?", speaker="spk_0"),
        *say("It stays closed until Monday morning.", start=3.0, speaker="spk_1"),
    ]
    assert cue_texts(words) == ["Is the bridge over the river open again?", "It stays closed until Monday morning."]


def test_an_interrupted_turn_does_not_share_a_cue() -> None:
    first = say("We walk home along the river", speaker="spk_0")
    words = [*first, *say("Closed.", start=first[-1].end + 0.5, speaker="spk_1")]
    assert cue_texts(words) == ["We walk home along the river", "Closed."]


def test_turns_share_a_cue_only_if_they_fit_with_their_dashes() -> None:
    for length, together in [(40, True), (41, False)]:
        words = [Word("a" * length, 0.0, 0.3, speaker="spk_0"), Word("b" * length, 0.3, 0.6, speaker="spk_1")]
        assert (len(make_cues(words)) == 1) is together


def test_one_line_leaves_no_room_for_two_speakers() -> None:
    words = [*say("Open?", speaker="spk_0"), *say("Closed.", start=0.4, speaker="spk_1")]
    assert cue_texts(words, CaptionLimits(max_lines=1)) == ["Open?", "Closed."]


# --- limits


def test_two_frames_are_never_rounded_down() -> None:
    assert [CaptionLimits(frame_rate=rate).gap_ms for rate in (24.0, 25.0, 29.97)] == [84, 80, 67]


@pytest.mark.parametrize(
    "impossible",
    [
        *({"max_lines": 0}, {"max_lines": True}, {"characters_per_second": 0}, {"min_seconds": 8.0}),
        *({"min_seconds": 0}, {"gap_frames": -1}, {"linger_seconds": -1}),
    ],
)
def test_impossible_limits_are_refused(impossible: dict[str, float]) -> None:
    with pytest.raises(InvalidSetting, match="caption"):
        replace(LIMITS, **impossible)  # type: ignore[arg-type]


def test_the_size_of_the_steps_does_not_change_the_cues(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        Word(f"word{number % 7}" + ("." if number % 13 == 12 else ""), number * 0.3, number * 0.3 + 0.25, 0.9)
        for number in range(500)
    ]
    whole = make_cues(words)
    for step in (1, 7, 499):
        monkeypatch.setattr(segmentation, "_WORDS_AT_ONCE", step)
        assert make_cues(words) == whole


@pytest.mark.slow
def test_memory_grows_with_the_words_not_with_the_possible_cues() -> None:
    """A day of Chinese has 350,000 characters with about thirty possible cues each; all at once they took 1.1 GB."""
    words = [
        Word(chr(0x4E00 + number % 3000) + ("。" if number % 17 == 16 else ""), number / 4, number / 4 + 0.2, 0.9, True)
        for number in range(20_000)
    ]
    tracemalloc.start()
    try:
        make_cues(words)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # At this rate a day takes 350 MB.
    assert peak / len(words) < 1_000
