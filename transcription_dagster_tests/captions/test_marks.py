"""Every cue of a song carries its notes at both ends, made from words or corrected."""

from __future__ import annotations

from itertools import pairwise

import pytest

from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import display_width
from transcription_dagster.captions.songs import join_marks
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster_tests.captions.speech import say

SONG = (
    "And then she sang ♪ The river runs down to the sea and carries the boats of the town and all of the lanterns "
    "along ♪ Thank you all."
)


def cue_texts(cues: list[Cue]) -> list[str]:
    return ["|".join(cue.lines) for cue in cues]


@pytest.mark.parametrize(("mark", "text"), [("♪", SONG), ("♫", SONG), ("#", SONG), ("♪♪", SONG)])
def test_a_song_that_is_split_has_its_notes_at_both_ends_of_every_cue(mark: str, text: str) -> None:
    words = say(text.replace("♪", mark))
    cues = make_cues(words)
    sung = [cue for cue in cues if mark in " ".join(cue.lines)]
    assert len(sung) >= 2
    for cue in sung:
        assert " ".join(cue.lines).count(mark) == 2, cue.lines
        assert all(display_width(line) <= 42 for line in cue.lines)
    assert [(cue.first, cue.stop) for cue in cues] == list(pairwise([0, *(cue.stop for cue in cues)]))
    assert cues[-1].stop == len(words)


@pytest.mark.parametrize("text", [SONG, SONG.replace("♪", "#"), f"{SONG} {SONG}"])
def test_corrected_cues_keep_the_notes_of_every_cue(text: str) -> None:
    cues = make_cues(say(text))
    assert correct_cues(cues, text) == cues
    corrected = correct_cues(cues, text.replace("river", "reever").replace("boats", "ships"))
    assert cue_texts(corrected) == [
        caption.replace("river", "reever").replace("boats", "ships") for caption in cue_texts(cues)
    ]


def test_a_cue_keeps_its_notes_where_the_text_has_them_elsewhere() -> None:
    cues = [Cue(0, 2000, ("♪ the river runs ♪",))]
    assert cue_texts(correct_cues(cues, "the ♪ reever ♪ runs")) == ["♪ the reever runs ♪"]


def test_added_notes_are_at_both_ends_of_every_cue() -> None:
    cues = make_cues(say(SONG.replace("♪", "")))
    corrected = cue_texts(correct_cues(cues, SONG))
    assert sum(caption.count("♪") for caption in corrected) == 2 * sum("♪" in caption for caption in corrected) >= 4


def test_several_songs_keep_their_own_notes() -> None:
    text = "♪ Row, row, row your boat, gently down the stream ♪ ♪ Merrily, merrily, merrily, life is but a dream ♪"
    assert cue_texts(make_cues(say(text))) == [
        "♪ Row, row, row your boat,|gently down the stream ♪",
        "♪ Merrily, merrily,|merrily, life is but a dream ♪",
    ]


def test_notes_glued_to_words_stay_glued() -> None:
    text = SONG.replace("♪ The", "♪The").replace("along ♪", "along♪")
    cues = cue_texts(make_cues(say(text)))
    assert all(caption.count("♪") in (0, 2) for caption in cues)
    assert any(caption.startswith("♪") and not caption.startswith("♪ ") for caption in cues)


@pytest.mark.parametrize(
    "text",
    [
        "We are # 1 in the charts and # 2 at home",
        "♪ The music plays and nobody sings a word of it today",
        "Music ♪",
        "(♪♪♪) Welcome back to all of you",
    ],
)
def test_a_note_without_a_partner_makes_no_song(text: str) -> None:
    assert " ".join(line for cue in make_cues(say(text)) for line in cue.lines) == text


@pytest.mark.parametrize("count", [2, 3, 4])
def test_notes_without_words_between_them_make_no_song(count: int) -> None:
    """Whisper writes music in languages without spaces as single notes."""
    notes = [Word("♪", number * 0.5, number * 0.5 + 0.4, glued=number > 0) for number in range(count)]
    assert cue_texts(make_cues(notes)) == ["♪" * count]


@pytest.mark.parametrize(
    "text",
    ["Welcome. [20] ♪ [20] Back again.", "♪ [9] Hello.", "Hello. [9] ♪", "♪ [9] ♪", "♪ [60] We sail ♪ [9] So long."],
)
def test_notes_of_music_keep_their_cue_if_nothing_is_corrected(text: str) -> None:
    words = say(text)
    cues = make_cues(words)
    assert correct_cues(cues, join_words(words)) == cues


def test_notes_of_music_stay_where_they_are_when_words_are_corrected() -> None:
    cues = make_cues(say("Welcome all. [20] ♪ [20] Bag again."))
    assert cue_texts(correct_cues(cues, "Welcome all. ♪ Back again.")) == ["Welcome all.", "♪", "Back again."]
    assert cue_texts(correct_cues(cues, "Welcome all. Back again.")) == ["Welcome all.", "Back again."]


@pytest.mark.parametrize(
    ("text", "corrected", "expected"),
    [
        ("And then she sang ♪ la la la ♪", "And then she sang", "And then she sang"),
        ("Well then ♪ la la la ♪ she went home", "Well then she went home", "Well then she went home"),
        ("♪ la la la ♪ she went home now", "she went home now", "she went home now"),
        ("♪ la la la ♪ she went home now", "la she went home now", "♪ la ♪ she went home now"),
    ],
)
def test_the_notes_of_a_song_go_with_its_last_word(text: str, corrected: str, expected: str) -> None:
    [cue] = correct_cues(make_cues(say(text)), corrected)
    assert " ".join(cue.lines) == expected


def test_notes_minutes_apart_enclose_no_song() -> None:
    words = say("♪ [1] Welcome back. [200] See you. [1] ♪")
    assert sum(line.count("♪") for cue in make_cues(words) for line in cue.lines) == 2


@pytest.mark.parametrize(
    "word",
    ["♪" * 300_000 + "(", "x" + "♪" * 300_000 + "(", "x" + "♪(" * 150_000],
    ids=["notes", "a letter and notes", "a letter and notes with brackets"],
)
def test_a_long_run_of_notes_makes_no_song_in_linear_time(word: str) -> None:
    words = say(f"They sang {word} again")
    assert join_marks(words).songs == []


def test_separate_german_quotation_marks_stay_with_their_words() -> None:
    text = "Der alte Kapitän sagte zu uns allen » Morgen früh fahren wir über den See nach Norden « und ging fort ."
    for skipped in range(8):
        words = say(" ".join(text.split()[skipped:]))
        for cues in (make_cues(words), correct_cues(make_cues(words), " ".join(w.text for w in words[:-2]) + " los .")):
            lines = [line for cue in cues for line in cue.lines]
            assert not any(line.endswith("»") or line.startswith("«") for line in lines), lines
        assert [word.text for cue in make_cues(words) for word in words[cue.first : cue.stop]] == [
            word.text for word in words
        ]


def test_the_last_cue_ends_with_the_recording() -> None:
    words = [Word("Are", 1.0, 1.2), Word("you", 1.2, 1.35), Word("sure?", 1.35, 1.7), Word("Yes.", 4.6, 4.95)]
    assert make_cues(words)[-1].end_ms > 5000
    assert [(cue.start_ms, cue.end_ms) for cue in make_cues(words, duration=5.0)] == [(1000, 1834), (4600, 5000)]
    assert make_cues(words, duration=0) == make_cues(words)


@pytest.mark.parametrize("duration", [3.0, 4.0, 4.01])
def test_crowded_cues_at_the_end_stay_inside_the_recording(duration: float) -> None:
    words = [
        Word(text, 3.9 + n * 0.03, 3.95 + n * 0.03, speaker=f"spk_{n}") for n, text in enumerate(("a.", "b.", "c."))
    ]
    cues = make_cues([Word("Before.", 1.0, 1.5), *words], duration=duration)
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert cues[-1].end_ms <= max(duration * 1000, 3961)


def test_guillemets_in_a_row_are_all_shown() -> None:
    words = say("» » Ja « sagte er » » und ging »")
    assert "".join("".join(cue.lines) for cue in make_cues(words)).replace(" ", "") == "»»Ja«sagteer»»undging»"
