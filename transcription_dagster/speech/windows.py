"""Watching Whisper work: where it is, window by window, and stopping it there.

`whisper.transcribe` reports nothing and cannot be interrupted. Every window passes through the encoder, so a hook
on it sees them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from whisper.audio import HOP_LENGTH, SAMPLE_RATE
from whisper.decoding import decode
from whisper.model import Whisper
from whisper.transcribe import transcribe

_SECONDS_PER_FRAME = HOP_LENGTH / SAMPLE_RATE


@contextmanager
def watched(model: Whisper, on_window: Callable[[float], None]) -> Iterator[None]:
    """Call `on_window` with the start in seconds of each window that `model.transcribe` is about to decode.

    An exception from `on_window` ends the transcription and leaves the model as it was: it is only called while
    Whisper decodes, never while it aligns words, when it has hooks of its own on the model.
    """

    def hook(*_: object) -> None:
        start = _window_start(sys._getframe(1))
        if start is not None:
            on_window(start)

    handle = model.encoder.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _window_start(frame: FrameType | None) -> float | None:
    """Read Whisper's own position, in seconds, from the call that leads here; None outside of decoding.

    The encoder's input does not say where it was cut from, and `transcribe` tells nobody else.
    """
    decoding = False
    while frame is not None:
        decoding = decoding or frame.f_code is _DECODE_CODE
        if frame.f_code is transcribe.__code__:
            return frame.f_locals["seek"] * _SECONDS_PER_FRAME if decoding else None
        frame = frame.f_back
    return None


#: `decode` is wrapped by torch.no_grad; frames carry the code of the function inside.
_DECODE_CODE = decode.__wrapped__.__code__  # type: ignore[attr-defined]
