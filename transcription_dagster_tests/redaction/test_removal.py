"""Transcripts without sensitive data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import audible_spans, read_channels, write_silenced
from transcription_dagster.corrections.reading import Author, Passage
from transcription_dagster.model import Word
from transcription_dagster.redaction.patterns import KINDS, Detection, find_patterns
from transcription_dagster.redaction.removal import (
    SpokenData,
    disjoint,
    in_corrected_words,
    redact,
    remaining,
    without_names,
)
from transcription_dagster_tests import corpus


def words(text: str) -> list[Word]:
    return [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]


CARD = "Yes, it is (4111 1111 1111 1111), thanks. Mail jane@example.org!"


def test_each_number_is_one_word_that_says_its_kind_and_keeps_the_punctuation():
    spoken = words(CARD)
    redaction = redact(spoken, find_patterns(spoken, KINDS, "en"), 20.0)
    assert " ".join(word.text for word in redaction.words) == "Yes, it is ([card]), thanks. Mail [email]!"
    assert (redaction.words[3].start, redaction.words[3].end) == (3.0, 6.9)
    assert redaction.values == (("card", "(4111 1111 1111 1111),"), ("email", "jane@example.org!"))


def test_audio_is_silenced_with_a_margin_inside_the_recording():
    spoken = words("4111 1111 1111 1111 or jane@example.org")
    redaction = redact(spoken, find_patterns(spoken, KINDS, "en"), 5.95)
    assert redaction.spans == ((0.0, 4.1), (4.8, 5.95))


def test_neighbouring_cuts_are_one():
    spoken = words("a b c")
    assert redact(spoken, [Detection(0, 1, "email"), Detection(1, 2, "email")], 3.0).spans == ((0.0, 2.1),)
    whole = SpokenData("name", tuple(spoken))
    assert redact(spoken, [Detection(1, 2, "email")], 9.0, [whole]).spans == ((0.0, 3.1),)


def test_a_removed_value_lasts_as_long_as_the_longest_of_its_words():
    spoken = [Word("4111", 0.0, 3.0), Word("1111", 1.0, 2.0)]
    (mark,) = redact(spoken, [Detection(0, 2, "card")], 4.0).words
    assert (mark.start, mark.end) == (0.0, 3.0)


def test_a_remaining_value_is_found_in_any_spelling():
    spoken = words(CARD)
    redaction = redact(spoken, find_patterns(spoken, KINDS, "en"), 20.0)
    readable = " ".join(word.text for word in redaction.words)
    assert remaining(readable, redaction, KINDS, "en") == []
    # Without kinds, no pattern finds a value again.
    for kinds in (KINDS, ()):
        assert remaining(f"{readable} 4111-1111-1111-1111", redaction, kinds, "en") == ["card"]
        assert remaining(f"{readable} JANE@example.org", redaction, kinds, "en") == ["email"]
    assert remaining(f"{readable} 5555 5555 5555 4444", redaction, KINDS, "en") == ["card"]


def test_a_short_number_does_not_remain_in_several_numbers():
    redaction = redact(words("1 2 3 4"), [Detection(0, 4, "digits")], 5.0)
    assert remaining("[digits] and 1, 2, 3, 4", redaction, (), "en") == []
    assert remaining("[digits] and 1 2 3 4", redaction, (), "en") == ["digits"]


def test_a_name_is_not_left_in_a_longer_word():
    spoken = words("Ann has an annual card.")
    redaction = redact(spoken, [Detection(0, 1, "name")], 5.0)
    assert remaining("[name] has an annual card.", redaction, ["name"], "en") == []
    assert remaining("[name] has a card, ANN.", redaction, ["name"], "en") == ["name"]


def test_values_in_the_original_words_are_silenced_despite_corrections():
    spoken = words("call four one one one now")
    passages = [
        Passage(0, 1, (spoken[0],)),
        Passage(1, 3, (Word("for", 1.0, 2.0), Word("once", 2.0, 2.9)), Author.PERSON),
        Passage(3, 4, (), Author.PERSON),
        Passage(4, 6, (spoken[4], spoken[5]), Author.REFINEMENT),
    ]
    detections = in_corrected_words([Detection(1, 5, "digits"), Detection(3, 4, "digits")], passages)
    assert detections == [Detection(1, 5, "digits")]
    corrected = [word for passage in passages for word in passage.words]
    redaction = redact(corrected, detections, 6.0, [SpokenData("digits", tuple(spoken[1:5]))])
    assert [word.text for word in redaction.words] == ["call", "[digits]"]
    assert redaction.spans == ((0.8, 6.0),)
    assert remaining("call four one one one", redaction, (), "en") == ["digits"]
    assert in_corrected_words([Detection(2, 3, "digits")], passages) == [Detection(1, 3, "digits")]


def test_overlapping_detections_are_removed_together():
    assert disjoint([Detection(4, 6, "name"), Detection(0, 2, "card"), Detection(1, 3, "phone")]) == [
        Detection(0, 3, "card"),
        Detection(4, 6, "name"),
    ]
    assert disjoint([Detection(0, 5, "card"), Detection(1, 2, "phone")]) == [Detection(0, 5, "card")]
    neighbours = [Detection(0, 2, "card"), Detection(2, 3, "phone")]
    assert disjoint(neighbours) == neighbours


def test_speakers_with_names_become_numbers_and_labels_stay():
    spoken = [
        replace(word, speaker=speaker) for word, speaker in zip(words("a b c"), ("Ada", None, "spk_0"), strict=True)
    ]
    assert [word.speaker for word in without_names(spoken)] == ["spk_0", None, "spk_1"]
    labelled = [replace(spoken[0], speaker="spk_1"), *spoken[1:]]
    assert without_names(labelled) == tuple(labelled)


def test_spans_are_silent_on_every_channel_and_the_rest_is_untouched(tmp_path):
    sound = np.stack([corpus.tone(6), corpus.tone(6, hertz=300)], axis=1)
    source, flac, target = tmp_path / "a.wav", tmp_path / "audio.flac", tmp_path / "redacted.flac"
    normalise(corpus.write_wav(source, sound), flac, max_seconds=60, channels="split")
    spans = [(1.0, 2.0), (4.5, 5.0)]
    assert audible_spans(flac, spans) == spans
    write_silenced(flac, target, spans)
    assert audible_spans(target, spans) == []
    before, after = (np.concatenate(list(read_channels(path, 2)), axis=1) for path in (flac, target))
    assert before.shape == after.shape == (2, 6 * corpus.RATE)
    changed = np.flatnonzero((before != after).any(axis=0)) / corpus.RATE
    assert all(1.0 <= moment < 2.0 or 4.5 <= moment < 5.0 for moment in changed)
