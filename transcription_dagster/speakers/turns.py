"""From the networks' results for overlapping windows to the turns of a recording and its speakers' voices."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.speakers.clustering import THRESHOLD, cluster
from transcription_dagster.speakers.diarizer import Diarization
from transcription_dagster.speakers.segmentation import (
    FRAME_OFFSET,
    FRAME_SECONDS,
    FRAME_STEP,
    LOCAL_SPEAKERS,
    active_runs,
    first_frame,
)
from transcription_dagster.speakers.voices import Voice, VoiceStretch

#: Samples from one window to the next.
STEP = SAMPLE_RATE
#: Shortest total speech of a speaker, in seconds.
_SHORTEST_TOTAL = 1.0
#: A window distinguishes at most two simultaneous speakers.
_AT_ONCE = 2
#: Shortest turn in frames: a tenth of a second, too short for a word.
_SHORTEST_TURN = 6
#: Frames counted and ranked together, to limit memory: about three minutes.
_PART = 10_000
#: A stretch is reassigned if it is this much more similar to another speaker.
_CLEAR_DIFFERENCE = 0.15


@dataclass(frozen=True, slots=True)
class NetworkResults:
    """The networks' results for a recording."""

    seconds: float
    #: Who speaks in each window: bool of shape (windows, frames, local speakers).
    active: np.ndarray
    voices: tuple[Voice, ...]
    stretches: tuple[VoiceStretch, ...]


def assign_speakers(results: NetworkResults, limits: SpeakerLimits, *, threshold: float = THRESHOLD) -> Diarization:
    """Cluster the voices of a recording by speaker and return the speakers' turns.

    `threshold` is that of `cluster`.
    """
    if not results.voices:
        return Diarization()
    vectors = np.stack([voice.vector for voice in results.voices])
    durations = np.array([voice.seconds for voice in results.voices])
    groups, centres = cluster(vectors, durations, limits, threshold=threshold)
    talks = _talking_speakers(results, groups)
    total = talks.sum(axis=0) * FRAME_SECONDS
    lasting = np.flatnonzero(total >= _SHORTEST_TOTAL)
    if limits.at_least <= len(lasting) < len(centres):
        # Speakers with hardly any speech are noise, or another speaker during noise.
        centres = centres[lasting]
        groups = np.where(np.isin(groups, lasting), np.searchsorted(lasting, groups), (vectors @ centres.T).argmax(1))
        talks = _talking_speakers(results, groups)
    turns, order = speaker_turns(reassigned_by_voice(talks, results.stretches, centres), results.seconds)
    return Diarization(turns, {f"spk_{number}": centres[speaker] for number, speaker in enumerate(order)})


def _talking_speakers(results: NetworkResults, groups: np.ndarray) -> np.ndarray:
    """Return who speaks in each frame, given the speaker of each voice in `groups`."""
    speakers = np.full((len(results.active), LOCAL_SPEAKERS), -1)
    for voice, group in zip(results.voices, groups, strict=True):
        speakers[voice.window, voice.local] = group
    return talking(results.active, speakers, step=STEP)


def talking(active: np.ndarray, speakers: np.ndarray, *, step: int) -> np.ndarray:
    """Return who speaks in each frame of a recording: bool of shape (frames, speakers).

    `active` (windows, frames, local speakers) says who speaks in windows that are `step` samples apart; `speakers`
    (windows, local speakers) maps them to speakers, with -1 for unknown. In each frame, the number of speakers is the
    average over its windows, and those detected by most windows speak.
    """
    windows, length, _ = active.shape
    starts = [first_frame(window, step) for window in range(windows)]
    frames = starts[-1] + length if windows else 0
    talks = np.zeros((frames, int(speakers.max(initial=-1)) + 1), bool)
    for first in range(0, frames, _PART):
        stop = min(first + _PART, frames)
        votes = np.zeros((stop - first, talks.shape[1]), np.uint16)
        total, covered = np.zeros(stop - first, np.uint16), np.zeros(stop - first, np.uint16)
        for number in range(bisect_right(starts, first - length), bisect_left(starts, stop)):
            begin, speaker_of_local = starts[number], speakers[number]
            window = active[number, max(0, first - begin) : stop - begin]
            frames_of_window = slice(max(begin, first) - first, begin + length - first)
            covered[frames_of_window] += 1
            total[frames_of_window] += window.sum(axis=1, dtype=np.uint16)
            for speaker in np.unique(speaker_of_local[speaker_of_local >= 0]):
                votes[frames_of_window, speaker] += window[:, speaker_of_local == speaker].any(axis=1)
        count = np.minimum(np.rint(total / covered), _AT_ONCE)
        order = np.argsort(-votes.astype(np.int32), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        talks[first:stop] = (rank < count[:, None]) & (votes > 0)
    return talks


def reassigned_by_voice(talks: np.ndarray, stretches: Sequence[VoiceStretch], centres: np.ndarray) -> np.ndarray:
    """Return who speaks in each frame, after giving stretches whose voice is clearly another speaker's to that speaker.

    The segmentation attributes a moment of a second speaker in a window to the first one. `talks` is the result of
    `talking`, `centres` (speakers, dimensions) holds the speakers' vectors.
    """
    talks = talks.copy()
    for stretch in stretches:
        talks_here = talks[stretch.first : stretch.stop]
        single = talks_here.sum(axis=1) == 1
        if not single.any():
            continue
        similarity = centres @ stretch.vector
        best, present = int(similarity.argmax()), int(talks_here[single].sum(axis=0).argmax())
        if similarity[best] - similarity[present] > _CLEAR_DIFFERENCE:
            moved = np.flatnonzero(single & talks_here[:, present])
            talks_here[moved, present] = False
            talks_here[moved, best] = True
    return talks


def speaker_turns(talks: np.ndarray, seconds: float) -> tuple[tuple[SpeakerTurn, ...], Sequence[int]]:
    """Return the turns in a recording of `seconds`, and its speakers' numbers in order of first appearance.

    `talks` is the result of `talking`. The first speaker of the order is `spk_0`.
    """
    stretches: list[tuple[float, float, int]] = []
    for speaker in range(talks.shape[1]):
        for start, stop in active_runs(talks[:, speaker]):
            begin, end = _time(start), min(_time(stop), seconds)
            if stop - start >= _SHORTEST_TURN and begin < end:
                stretches.append((begin, end, speaker))
    stretches.sort()
    order = list(dict.fromkeys(speaker for *_, speaker in stretches))
    turns = (
        SpeakerTurn(round(begin, 3), round(end, 3), f"spk_{order.index(speaker)}") for begin, end, speaker in stretches
    )
    return tuple(turns), order


def _time(frame: int) -> float:
    """Return the start of a frame in seconds: half a step before its middle."""
    return max(0, frame * FRAME_STEP + FRAME_OFFSET - FRAME_STEP // 2) / SAMPLE_RATE
