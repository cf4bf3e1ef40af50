"""Embed the voice of each speaker of a window, from the time in which no other speaker talks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import kaldi_native_fbank as kaldi
import numpy as np
import torch

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.speakers.campplus import BANDS, CamPlusPlus
from transcription_dagster.speakers.segmentation import (
    FRAME_OFFSET,
    FRAME_SECONDS,
    FRAME_STEP,
    WindowBatch,
    active_runs,
    first_frame,
)

#: Samples from one frame of features to the next, and to the middle of the first.
_STEP = 160
_OFFSET = 200
#: Fewer frames of speech say nothing about a voice.
_MIN_FRAMES = 25
#: A stretch of speech is embedded on its own from this length on; pauses up to the second length do not interrupt it.
_STRETCH_SECONDS = 0.8
_PAUSE_SECONDS = 0.2
#: One window in this many embeds its voices; the windows next to it share those of the same speech.
_EMBEDDED_EVERY = 3
#: Speech of two windows is the same if this part of all their frames with it is common. Ten seconds of uninterrupted
#: speech have 0.82 in common with those a second later.
_SAME_SPEECH = 0.8
#: Significant binary digits of the number of frames that are embedded.
_LENGTH_BITS = 6
#: Frames embedded at once: more take longer, since their activations exceed the processor's cache.
_MAX_FRAMES = 2000


@dataclass(frozen=True, slots=True)
class Voice:
    """The voice of one speaker of one window."""

    window: int
    #: The speaker's number in the window.
    local: int
    #: Seconds of the window in which only this speaker talks.
    seconds: float
    #: Of length 1, float32 of shape (`DIMENSIONS`,).
    vector: np.ndarray


@dataclass(frozen=True, slots=True)
class VoiceStretch:
    """The voice in one stretch of speech between pauses. Each stretch of a recording occurs once."""

    #: Frames of the recording, `first` up to but excluding `stop`.
    first: int
    stop: int
    #: As in `Voice`.
    vector: np.ndarray


class _Speech(NamedTuple):
    """A piece of speech to embed."""

    #: Features, of shape (frames, `BANDS`).
    frames: np.ndarray
    #: Constructors of the results that hold this speech's vector.
    results: Sequence[Callable[[np.ndarray], Voice | VoiceStretch]]


def features(samples: np.ndarray) -> np.ndarray:
    """Return Kaldi's log mel spectrum: float32 samples in [-1, 1] to (frames, `BANDS`), 100 frames a second."""
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = BANDS
    bank = kaldi.OnlineFbank(options)
    # The library's types declare lists only; it accepts arrays too, and reads them faster.
    bank.accept_waveform(SAMPLE_RATE, cast(Any, samples))
    bank.input_finished()
    if not bank.num_frames_ready:
        return np.zeros((0, BANDS), np.float32)
    return np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])


def voices(
    batch: WindowBatch, active: np.ndarray, network: CamPlusPlus, *, step: int
) -> Iterator[Voice | VoiceStretch]:
    """Yield the voices of a batch of windows that are `step` samples apart, and those of its stretches.

    `active` is the result of `Segmentation.active` for its windows. Windows overlap, so that each moment is in several
    of them: speech that a window has in common with the one next to it is embedded once for both.
    """
    spectrum = features(batch.samples)
    alone = active & (active.sum(axis=2, keepdims=True) == 1)
    shared = _shared_voices(alone, step)
    copies: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for copy, original in shared.items():
        copies[original].append(copy)
    speech: list[_Speech] = []
    for number, window in enumerate(alone):
        start = number * step // _STEP
        rows = spectrum[start : start + (batch.windows.shape[1] - 2 * _OFFSET) // _STEP + 1]
        frames = _frames_of_rows(len(rows), len(window))
        offset = first_frame(batch.first + number, step)
        begins, ends = _own_part(batch, number, len(window), step)
        for local in np.flatnonzero(window.any(axis=0)).tolist():
            is_alone = window[frames, local]
            if (number, local) not in shared:
                results = [
                    partial(Voice, batch.first + place, one, float(alone[place, :, one].sum()) * FRAME_SECONDS)
                    for place, one in ((number, local), *copies[number, local])
                ]
                speech.append(_Speech(rows[is_alone], results))
            for first, stop in speech_stretches(window[:, local]):
                if begins <= first < ends:
                    in_stretch = is_alone & (first <= frames) & (frames < stop)
                    speech.append(_Speech(rows[in_stretch], [partial(VoiceStretch, offset + first, offset + stop)]))
    yield from _embed(speech, network)


def _frames_of_rows(rows: int, frames: int) -> np.ndarray:
    """Return the frame of the segmentation at the middle of each row of features, for a window of `frames` frames."""
    middles = np.arange(rows) * _STEP + _OFFSET
    return np.clip((middles - FRAME_OFFSET + FRAME_STEP // 2) // FRAME_STEP, 0, frames - 1)


def _shared_voices(alone: np.ndarray, step: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Map (window, local speaker) to that of the window next to it with the same speech, which is embedded.

    `alone` (windows, frames, local speakers) says when only this speaker talks.
    """
    shift, shared = first_frame(1, step), dict[tuple[int, int], tuple[int, int]]()
    for middle in range(_EMBEDDED_EVERY // 2, len(alone), _EMBEDDED_EVERY):
        for number in (middle - 1, middle + 1):
            if number == len(alone):
                continue
            early, late = sorted((number, middle))
            both = alone[early, shift:].T.astype(int) @ alone[late, : len(alone[late]) - shift]
            both = both if number == early else both.T
            spoken, embedded = alone[number].sum(axis=0), alone[middle].sum(axis=0)
            for local in np.flatnonzero(spoken).tolist():
                other = int(both[local].argmax())
                common = int(both[local, other])
                if common >= _SAME_SPEECH * (int(spoken[local]) + int(embedded[other]) - common):
                    shared[number, local] = (middle, other)
    return shared


def speech_stretches(alone: np.ndarray) -> list[tuple[int, int]]:
    """Return the stretches of speech (first frame, frame after the last) that are long enough to be embedded."""
    stretches: list[tuple[int, int]] = []
    for first, stop in active_runs(alone):
        if stretches and (first - stretches[-1][1]) * FRAME_SECONDS <= _PAUSE_SECONDS:
            stretches[-1] = (stretches[-1][0], stop)
        else:
            stretches.append((first, stop))
    return [(first, stop) for first, stop in stretches if (stop - first) * FRAME_SECONDS >= _STRETCH_SECONDS]


def _own_part(batch: WindowBatch, number: int, length: int, step: int) -> tuple[int, int]:
    """Return a window's own frames, in its middle; a stretch belongs to the window in whose own frames it begins."""
    offset = first_frame(batch.first + number, step)
    margin = (length - first_frame(1, step)) // 2
    begins = 0 if batch.first + number == 0 else margin
    is_last = batch.is_last and number == len(batch.windows) - 1
    ends = length if is_last else margin + first_frame(batch.first + number + 1, step) - offset
    return begins, ends


def _embedded_frames(frames: int) -> int:
    """Return how many of the frames of a piece of speech are embedded: all but a thirty-second part at most.

    This leaves fewer than 200 different lengths. PyTorch's convolutions on a CPU keep memory for each length that they
    have seen: hundreds of megabytes for a thousand of them.
    """
    shift = max(0, frames.bit_length() - _LENGTH_BITS)
    return frames >> shift << shift


def _embed(speech: Sequence[_Speech], network: CamPlusPlus) -> Iterator[Voice | VoiceStretch]:
    """Embed pieces of speech, those of the same length together, and yield their results."""
    by_length: dict[int, list[_Speech]] = defaultdict(list)
    for piece in speech:
        if len(piece.frames) >= _MIN_FRAMES:
            by_length[_embedded_frames(len(piece.frames))].append(piece)
    for length, same in by_length.items():
        size = max(1, _MAX_FRAMES // length)
        for first in range(0, len(same), size):
            pieces = same[first : first + size]
            vectors = _embeddings(np.stack([piece.frames[:length] for piece in pieces]), network)
            for piece, vector in zip(pieces, vectors, strict=True):
                yield from (result(vector) for result in piece.results)


@torch.inference_mode()
def _embeddings(speech: np.ndarray, network: CamPlusPlus) -> np.ndarray:
    frames = torch.from_numpy(speech).to(next(network.parameters()).device)
    # The mean contains the recording's level and channel, which are not part of the voice.
    vectors = network(frames - frames.mean(dim=1, keepdim=True))
    return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
