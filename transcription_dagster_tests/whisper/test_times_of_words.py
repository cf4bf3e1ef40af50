"""Word times of the real Whisper `base` compared with the exact times of our recordings."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.language.alignment import align
from transcription_dagster_tests.whisper.conftest import VOICES
from transcription_dagster_tests.whisper.helpers import transcribe

pytestmark = pytest.mark.slow

#: Three frames of 40 ms, and a pause between two phrases, in seconds.
_FRAMES = 0.12
_PAUSE = 0.5


@pytest.mark.parametrize(
    "title",
    # The memo is the sample.
    ["A quiet memo", pytest.param("Museum guide, stop one", marks=pytest.mark.exhaustive)],
)
def test_words_and_captions_begin_and_end_with_the_voice(base_engine, voices, title):
    entries = json.loads((VOICES / "references.json").read_text(encoding="utf-8"))
    [exact] = [entry["words"] for entry in entries if entry["title"] == title]
    transcript = transcribe(base_engine, voices[title].flac, model="base")
    words = transcript.words
    pairs = same_words([word.text for word in words], [word["text"] for word in exact])
    assert len(pairs) >= 0.95 * len(exact)
    starts = {number: words[place].start - exact[number]["start"] for place, number in pairs.items()}
    ends = {number: words[place].end - exact[number]["end"] for place, number in pairs.items()}
    pauses = [
        number
        for number, (earlier, later) in enumerate(pairwise(exact), 1)
        if later["start"] - earlier["end"] >= _PAUSE
    ]
    cues = make_cues(words, duration=transcript.duration)
    off = [cue.start_ms / 1000 - exact[pairs[cue.first]]["start"] for cue in cues if cue.first in pairs]
    assert np.median(np.abs([*starts.values()])) <= 0.1
    assert all(abs(starts[number]) <= _FRAMES for number in [0, *pauses] if number in starts)
    assert all(abs(ends[number - 1]) <= 0.2 for number in [*pauses, len(exact)] if number - 1 in ends)
    assert np.mean(np.abs(off) <= _FRAMES) >= 0.8


def same_words(words: list[str], exact: list[str]) -> dict[int, int]:
    """Return the exact word for each equal word in the transcript."""
    return {
        block.old_first + step: block.new_first + step
        for block in align(words, exact)
        if block.same
        for step in range(block.old_stop - block.old_first)
    }
