"""Voice features compared with Kaldi's, and stretches of speech between pauses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from transcription_dagster.speakers import voices as module
from transcription_dagster.speakers.segmentation import FRAME_SECONDS, FRAMES, WINDOW, batches, first_frame
from transcription_dagster.speakers.voices import Voice, VoiceStretch, features, speech_stretches, voices
from transcription_dagster_tests.corpus import noise, tone

STEP = 16_000


class FirstBand(torch.nn.Module):
    """A network that embeds speech by the variation of its first bands, whatever its length."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.abs().mean(dim=1)[:, :4] * self.weight


def test_features_are_100_frames_a_second_and_louder_in_the_band_of_a_tone() -> None:
    spectrum = features(tone(1.0, hertz=440.0))
    assert spectrum.shape == (98, 80)
    assert spectrum.dtype == np.float32
    assert set(spectrum.argmax(axis=1)) <= {13, 14}
    assert features(np.zeros(10, np.float32)).shape == (0, 80)


def frames(*runs: tuple[float, float]) -> np.ndarray:
    """Return frames of ten seconds with speech in these spans (s)."""
    mask = np.zeros(FRAMES, bool)
    for start, end in runs:
        mask[round(start / FRAME_SECONDS) : round(end / FRAME_SECONDS)] = True
    return mask


@pytest.mark.parametrize(
    ("runs", "results"),
    [
        ([], []),
        ([(1, 3)], [(1, 3)]),
        ([(0, 1), (9, 9.9)], [(0, 1), (9, 9.9)]),
        ([(1, 1.7)], []),
        ([(1, 1.5), (1.6, 2.1)], [(1, 2.1)]),
        ([(1, 2), (2.3, 3.3)], [(1, 2), (2.3, 3.3)]),
    ],
)
def test_stretches_end_at_pauses_and_are_not_short(runs: list[Any], results: list[Any]) -> None:
    spans = [(first * FRAME_SECONDS, stop * FRAME_SECONDS) for first, stop in speech_stretches(frames(*runs))]
    assert spans == [(pytest.approx(start, abs=0.02), pytest.approx(end, abs=0.02)) for start, end in results]


def voices_in_noise(seconds: float, talk: list[tuple[float, float]]) -> Iterator[Voice | VoiceStretch]:
    """Return the voices in noise of one speaker who talks at these times."""
    for batch in batches([noise(seconds)], window=WINDOW, step=STEP, size=4):
        active = np.zeros((len(batch.windows), FRAMES, 3), bool)
        for number in range(len(batch.windows)):
            offset = first_frame(batch.first + number, STEP)
            for start, end in talk:
                first, stop = (round(moment / FRAME_SECONDS) - offset for moment in (start, end))
                active[number, max(0, first) : max(0, stop), 1] = True
        yield from voices(batch, active, FirstBand(), step=STEP)  # type: ignore[arg-type]  # any network


@pytest.mark.parametrize("seconds", [6.0, 10.0, 11.5, 30.0])
def test_every_stretch_occurs_once(seconds: float) -> None:
    talk = [(start + 0.5, start + 2.0) for start in range(0, int(seconds) - 2, 2)]
    results = sorted(
        (voice.first, voice.stop) for voice in voices_in_noise(seconds, talk) if isinstance(voice, VoiceStretch)
    )
    assert results == [(round(start / FRAME_SECONDS), round(end / FRAME_SECONDS)) for start, end in talk]


def test_each_window_has_the_voices_of_its_speakers() -> None:
    results = [voice for voice in voices_in_noise(12.0, [(2.0, 5.0)]) if isinstance(voice, Voice)]
    spoken = sorted((voice.window, voice.local, round(voice.seconds, 1)) for voice in results)
    assert spoken == [(0, 1, 3.0), (1, 1, 3.0), (2, 1, 3.0)]
    assert [np.linalg.norm(voice.vector) for voice in results] == pytest.approx([1.0] * 3)


def test_speech_that_successive_windows_have_in_common_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[int] = []
    vectors = module._embeddings
    monkeypatch.setattr(
        module, "_embeddings", lambda speech, net: embedded.extend([len(speech)]) or vectors(speech, net)
    )
    results = [voice for voice in voices_in_noise(14.0, [(2.0, 14.0)]) if isinstance(voice, Voice)]
    assert sorted(voice.window for voice in results) == [0, 1, 2, 3, 4]
    # The windows from 0, 1 and 2 s share a voice. That from 3 s has no window after it, and that from 4 s is in a batch
    # of its own; the twelve seconds are a stretch in one of them.
    assert sum(embedded) == 4
    first, second, third = (next(voice for voice in results if voice.window == window) for window in range(3))
    assert first.vector is second.vector is third.vector
    assert (first.seconds, third.seconds) == (pytest.approx(8.0, abs=0.1), pytest.approx(10.0, abs=0.1))


def test_other_speech_of_the_next_window_has_its_own_voice() -> None:
    results = [voice for voice in voices_in_noise(12.0, [(0.0, 0.9), (10.2, 10.9)]) if isinstance(voice, Voice)]
    assert sorted((voice.window, round(voice.seconds, 1)) for voice in results) == [(0, 0.9), (1, 0.7), (2, 0.7)]
    first, second, third = sorted(results, key=lambda voice: voice.window)
    assert first.vector is not second.vector
    assert second.vector is third.vector


def test_speech_is_embedded_in_few_different_lengths() -> None:
    lengths = range(25, 999)
    embedded = [module._embedded_frames(length) for length in lengths]
    assert len(set(embedded)) < 200
    assert all(
        31 / 32 * length <= embedded_length <= length for length, embedded_length in zip(lengths, embedded, strict=True)
    )


def test_too_little_speech_gives_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(voices_in_noise(8.0, [(2.0, 2.2)])) == []
    monkeypatch.setattr(module, "_MIN_FRAMES", 5)
    assert len(list(voices_in_noise(8.0, [(2.0, 2.2)]))) == 1
