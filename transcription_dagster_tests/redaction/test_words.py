"""Transcripts without what must not be read."""

from __future__ import annotations

import numpy as np

from transcription_dagster.audio.decode import normalise, read_channels
from transcription_dagster.audio.silencing import audible_spans, write_silenced
from transcription_dagster.model import Word
from transcription_dagster.redaction.finding import KINDS, Found, find
from transcription_dagster.redaction.words import redact, remaining
from transcription_dagster_tests import corpus


def words(text: str) -> list[Word]:
    return [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]


CARD = "Yes, it is (4111 1111 1111 1111), thanks. Mail jane@example.org!"


def test_each_number_is_one_word_that_says_its_kind_and_keeps_the_punctuation():
    said = words(CARD)
    redaction = redact(said, find(said, KINDS, "en"), 20.0)
    assert " ".join(word.text for word in redaction.words) == "Yes, it is ([card]), thanks. Mail [email]!"
    assert (redaction.words[3].start, redaction.words[3].end) == (3.0, 6.9)
    assert redaction.values == ("(4111 1111 1111 1111),", "jane@example.org!")


def test_the_sound_is_cut_with_a_margin_inside_the_recording():
    said = words("4111 1111 1111 1111 or jane@example.org")
    redaction = redact(said, find(said, KINDS, "en"), 5.95)
    assert redaction.spans == ((0.0, 4.1), (4.8, 5.95))


def test_neighbouring_cuts_are_one():
    said = words("a b c")
    assert redact(said, [Found(0, 1, "email"), Found(1, 2, "email")], 3.0).spans == ((0.0, 2.1),)


def test_what_is_left_of_a_value_is_found_however_it_is_written():
    said = words(CARD)
    redaction = redact(said, find(said, KINDS, "en"), 20.0)
    shown = " ".join(word.text for word in redaction.words)
    assert remaining(shown, redaction, KINDS, "en") == []
    assert remaining(f"{shown} 4111-1111-1111-1111", redaction, KINDS, "en") == ["card"]
    assert remaining(f"{shown} JANE@example.org", redaction, KINDS, "en") == ["email"]
    assert remaining(f"{shown} 5555 5555 5555 4444", redaction, KINDS, "en") == ["card"]


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
