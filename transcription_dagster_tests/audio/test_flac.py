from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from transcription_dagster.audio.flac import PEAKS_PER_SECOND, sound_peaks
from transcription_dagster.audio.mixing import SAMPLE_RATE


def flac(path: Path, samples: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE)
        stream.layout = "mono"  # type: ignore[attr-defined]
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
        container.mux(stream.encode(None))  # type: ignore[attr-defined]
    return path


def test_each_twentieth_of_a_second_has_its_loudest_sample(tmp_path: Path) -> None:
    samples = np.zeros(SAMPLE_RATE + 100)
    samples[810] = -1.0
    samples[-1] = 0.5
    peaks = sound_peaks(flac(tmp_path / "clicks.flac", samples))
    assert len(peaks) == PEAKS_PER_SECOND + 1
    assert (peaks[0], peaks[1], peaks[-1]) == (0, 127, 63)


def test_blocks_of_a_long_recording_join_without_a_seam(tmp_path: Path) -> None:
    samples = np.tile([0.25, -0.25], SAMPLE_RATE * 61 // 2)
    assert sound_peaks(flac(tmp_path / "hum.flac", samples)) == bytes([32]) * 61 * PEAKS_PER_SECOND
