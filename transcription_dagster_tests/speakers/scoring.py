"""Error measures for diarization."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.model import SpeakerTurn
from transcription_dagster.speakers.built_in import BuiltInDiarizer
from transcription_dagster.speakers.turns import NetworkResults

#: Kinds of recordings, as `references.json` names them, with one voice.
ONE_VOICE = ("audiobook", "poem, read", "read", "speech", "read sentence", "Harvard sentence", "command", "query")


@dataclass(frozen=True, slots=True)
class Errors:
    """Seconds of speech."""

    reference: float = 0.0
    missed: float = 0.0
    false: float = 0.0
    confused: float = 0.0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.reference + other.reference,
            self.missed + other.missed,
            self.false + other.false,
            self.confused + other.confused,
        )

    def __str__(self) -> str:
        parts = [f"{100 * part / self.reference:5.1f}" for part in (self.missed, self.false, self.confused)]
        return f"{100 * self.rate:5.1f} % (missed {parts[0]}, false {parts[1]}, confused {parts[2]})"

    @property
    def rate(self) -> float:
        return (self.missed + self.false + self.confused) / self.reference if self.reference else 0.0


def diarization_errors(reference: Sequence[SpeakerTurn], hypothesis: Sequence[SpeakerTurn]) -> Errors:
    """Compare two lists of turns; overlapping turns of one speaker count once."""
    speakers, labels = sorted({turn.speaker for turn in reference}), sorted({turn.speaker for turn in hypothesis})
    moments = sorted({moment for turn in (*reference, *hypothesis) for moment in (turn.start, turn.end)})
    lengths = np.diff(moments)
    reference_talk, hypothesis_talk = _matrix(reference, speakers, moments), _matrix(hypothesis, labels, moments)
    rows, columns = linear_sum_assignment((reference_talk * lengths) @ hypothesis_talk.T, maximize=True)
    confirmed = (reference_talk[rows] * hypothesis_talk[columns]).sum(axis=0)
    spoken, claimed = reference_talk.sum(axis=0), hypothesis_talk.sum(axis=0)
    return Errors(
        reference=float(lengths @ spoken),
        missed=float(lengths @ np.maximum(spoken - claimed, 0)),
        false=float(lengths @ np.maximum(claimed - spoken, 0)),
        confused=float(lengths @ (np.minimum(spoken, claimed) - confirmed)),
    )


def _matrix(turns: Sequence[SpeakerTurn], speakers: Sequence[str], moments: Sequence[float]) -> np.ndarray:
    """1 where a speaker talks, of shape (speakers, intervals between the moments)."""
    talks = np.zeros((len(speakers), max(0, len(moments) - 1)))
    for turn in turns:
        first, stop = np.searchsorted(moments, (turn.start, turn.end))
        talks[speakers.index(turn.speaker), first:stop] = 1
    return talks


def read_rttm(lines: Iterable[str]) -> list[SpeakerTurn]:
    """Read the lines of an RTTM file: SPEAKER file channel start duration <NA> <NA> name …"""
    fields = [line.split() for line in lines if line.startswith("SPEAKER ")]
    return [SpeakerTurn(float(columns[3]), float(columns[3]) + float(columns[4]), columns[7]) for columns in fields]


def word_accuracy(words: Sequence[dict[str, Any]], turns: Sequence[SpeakerTurn]) -> tuple[int, int]:
    """Return the number of words in a turn of their speaker, and of all words, under the best mapping of labels."""
    speakers = sorted({word["speaker"] for word in words})
    labels = sorted({turn.speaker for turn in turns})
    counts = np.zeros((len(speakers), len(labels)))
    for word in words:
        time_spoken = {
            label: sum(
                max(0.0, min(turn.end, word["end"]) - max(turn.start, word["start"]))
                for turn in turns
                if turn.speaker == label
            )
            for label in labels
        }
        best = max(labels, key=lambda label: time_spoken[label], default=None)
        if best is not None and time_spoken[best] > 0:
            counts[speakers.index(word["speaker"]), labels.index(best)] += 1
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return int(counts[rows, columns].sum()), len(words)


def network_results(path: Path, diarizer: BuiltInDiarizer) -> NetworkResults:
    """Run the networks over a recording of any format."""
    with tempfile.TemporaryDirectory() as folder:
        flac = Path(folder) / "audio.flac"
        normalise(path, flac, max_seconds=7200)
        return diarizer.run_networks(read_blocks(flac, 60), lambda _: None)
