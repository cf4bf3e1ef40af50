"""Real speech that resembles hallucinations: float32 of shape (samples,), 16 kHz mono, with its words.

Cut from the demo recordings, whose word times are known.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

import transcription_dagster
from benchmarks.sounds import RATE, chords, hiss, laughter
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks

_RECORDINGS = Path(transcription_dagster.__file__).parent / "demo" / "recordings"
_COUNCIL, _MEMO = "Council meeting, item seven", "A quiet memo"
_MARGIN_SECONDS = 0.06

#: The sound and its words.
Spoken = tuple[np.ndarray, str]


@cache
def _recording(title: str) -> np.ndarray:
    entries = json.loads((_RECORDINGS / "references.json").read_text(encoding="utf-8"))
    [file] = [entry["file"] for entry in entries if entry["title"] == title]
    with tempfile.TemporaryDirectory() as folder:
        flac = Path(folder) / "recording.flac"
        normalise(_RECORDINGS / file, flac, max_seconds=600)
        return np.concatenate([*read_blocks(flac, 60)])


def _cut(title: str, start: float, end: float) -> np.ndarray:
    """Return a stretch of a recording from the start of one word to the end of another, faded in and out."""
    first, last = round((start - _MARGIN_SECONDS) * RATE), round((end + _MARGIN_SECONDS) * RATE)
    samples = _recording(title)[first:last].copy()
    fade = np.linspace(0, 1, round(_MARGIN_SECONDS / 2 * RATE))
    samples[: fade.size] *= fade
    samples[-fade.size :] *= fade[::-1]
    return samples


def _pause(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def _again(samples: np.ndarray, times: int, pause: float) -> np.ndarray:
    return np.concatenate([*[samples, _pause(pause)] * times])


def _over(samples: np.ndarray, background: np.ndarray, dbfs: float) -> np.ndarray:
    """Return speech over a background of this level (root mean square)."""
    under = background[: samples.size]
    return (samples + under * 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(under)))).astype(np.float32)


def counting() -> Spoken:
    """A teacher counts people in, again and again: one, two, three."""
    return _again(_cut(_COUNCIL, 31.429, 32.147), 6, 0.7), "1, 2, 3. " * 6


def counting_without_a_break() -> Spoken:
    """Counts from one to seven in one breath, four times; Whisper writes it as one number."""
    return _again(_cut(_COUNCIL, 25.577, 27.678), 4, 0.3), "1234567. " * 4


def insisting() -> Spoken:
    """One word, eight times."""
    return _again(_cut(_COUNCIL, 73.016, 73.451), 8, 0.35), "Carried. " * 8


def alike() -> Spoken:
    """A list whose items differ in one word."""
    items = [(27.896, 29.129), (50.455, 51.23), (32.272, 33.006), (35.682, 36.678), (70.455, 71.305), (71.38, 72.516)]
    words = "7 in favour. 8 in favour. 3 against. 1 abstention. 12 in favour. None against."
    return np.concatenate([part for item in items for part in (_cut(_COUNCIL, *item), _pause(0.5))]), words


def refrain() -> Spoken:
    """A line that is repeated four times over soft music."""
    line = np.concatenate([_cut(_COUNCIL, 75.087, 76.974), _pause(4)])
    return _over(np.tile(line, 4), chords(), -45), "We meet again on the 21st. " * 4


def laughing() -> Spoken:
    """Twenty seconds of laughter with one word in them."""
    word = np.concatenate([_pause(0.3), _cut(_COUNCIL, 73.016, 73.451), _pause(0.3)])
    laugh = laughter()[: 10 * RATE]
    return np.concatenate([laugh, word, laugh]), "Carried."


def one_word() -> Spoken:
    """A word between two long silences."""
    return np.concatenate([_pause(45), _cut(_COUNCIL, 73.016, 73.451), _pause(45)]), "Carried."


def far_away() -> Spoken:
    """A voice 60 dB below full scale, with hiss 12 dB below it."""
    text = "Ring the printer about the posters, pick up two tins of white paint."
    return _over(_cut(_MEMO, 2.169, 6.05) * 10 ** (-15 / 20), hiss(), -72), text


#: All of them by name.
SPOKEN: dict[str, Callable[[], Spoken]] = {
    made.__name__: made
    for made in (
        counting, counting_without_a_break, insisting, alike, refrain, laughing, one_word, far_away,
    )
}  # fmt: skip
