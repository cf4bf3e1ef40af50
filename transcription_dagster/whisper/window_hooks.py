"""Watching Whisper work: where it is, window by window, stopping it there, and noticing that it goes in circles.

`whisper.transcribe` reports nothing and cannot be interrupted. Every window passes through the encoder, so a hook
on it sees them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from whisper.decoding import decode
from whisper.model import Whisper
from whisper.transcribe import transcribe

from transcription_dagster.whisper.utterances import SECONDS_PER_FRAME

#: A window is decoded once for each temperature. Seen so many times more often, it will come again for ever.
_MOST_ROUNDS = 3

#: `decode` is wrapped by torch.no_grad; frames carry the code of the function inside.
_DECODE_CODE = decode.__wrapped__.__code__  # type: ignore[attr-defined]


class Stalled(Exception):
    """Whisper decodes the same window again and again.

    It moves on to where the last word ended, and at the end of the audio, or of a clip, that can be where it is.
    """

    def __init__(self, start: float, segments: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"Whisper does not get past {start:.2f} s")
        #: Where the window begins, in seconds.
        self.start = start
        #: Whisper's segments from the windows before it.
        self.segments = segments


@contextmanager
def watched(model: Whisper, temperatures: int, on_window: Callable[[float], None]) -> Iterator[None]:
    """Call `on_window` with the start in seconds of each window that `model.transcribe` is about to decode.

    `temperatures` is how often a window may be decoded; raises `Stalled` when one comes back for ever. An exception
    from `on_window` ends the transcription and leaves the model as it was: it is only called while Whisper decodes,
    never while it aligns words, when it has hooks of its own on the model.
    """
    rounds: list[int] = []

    def hook(*_: object) -> None:
        call = _decoding_call(sys._getframe(1))
        if call is None:
            return
        seek: int = call.f_locals["seek"]
        rounds[:] = [*rounds, seek] if rounds[-1:] == [seek] else [seek]
        if len(rounds) > _MOST_ROUNDS * temperatures:
            raise Stalled(
                seek * SECONDS_PER_FRAME,
                [segment for segment in call.f_locals["all_segments"] if segment["seek"] < seek],
            )
        on_window(seek * SECONDS_PER_FRAME)

    handle = model.encoder.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def forget_left_over_hooks(model: Whisper) -> None:
    """Take away the hooks, and the tensors they hold, that Whisper's alignment leaves behind when it fails half way."""
    for block in model.decoder.blocks:
        if block.cross_attn is not None:
            block.cross_attn._forward_hooks.clear()


def _decoding_call(frame: FrameType | None) -> FrameType | None:
    """Return the call of `transcribe` that led here through `decode`; None outside of decoding.

    Its variables are the only place where Whisper keeps its position: the encoder's input does not say where it
    was cut from.
    """
    decoding = False
    while frame is not None and frame.f_code is not transcribe.__code__:
        decoding = decoding or frame.f_code is _DECODE_CODE
        frame = frame.f_back
    return frame if decoding else None
