"""Writing FLAC of 16-bit samples at 16 kHz incrementally."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from transcription_dagster.audio.mixing import SAMPLE_RATE

#: FLAC's channel layout for each number of channels (RFC 9639, section 9.1.3).
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
MAX_CHANNELS = len(_LAYOUTS)


class FlacWriter:
    """A FLAC file with `channels` channels, at most `MAX_CHANNELS`; it is complete after the block."""

    def __init__(self, path: Path, channels: int) -> None:
        self._layout = _LAYOUTS[channels - 1]
        self._container = av.open(str(path), mode="w", format="flac")
        self._stream = self._container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "5"})
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.format = "s16"

    def write(self, samples: np.ndarray) -> None:
        """Append int16 samples of shape (channels, samples)."""
        interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=self._layout)
        frame.sample_rate = SAMPLE_RATE
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
