"""A recording's access to a shared model of openai-whisper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transcription_dagster.model import OPENAI_WHISPER
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device import Device
from transcription_dagster.whisper.batching.device_use import DeviceUse
from transcription_dagster.whisper.decoding.loop import run_requests
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, Requests, Result


class ModelAccess:
    """Runs computations in the caller's thread, and their requests to the model in the device's thread."""

    def __init__(self, device: Device, batch: Batch, use: DeviceUse) -> None:
        self._device = device
        self._batch = batch
        self._use = use
        self.vocabulary = batch.vocabulary
        #: Mel bands of the spectrograms that the model reads.
        self.mels = batch.mels
        self.options_used: dict[str, Any] = {"engine": OPENAI_WHISPER, "fp16": batch.half_precision}

    def run(
        self, requests: Requests[Result], before_each: Callable[[Decode | Align | Detect], None] = lambda _: None
    ) -> Result:
        """Run a computation to its end, with freshly seeded random numbers.

        Raises what `before_each` raises, `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`.
        """
        with self._device.session(self._batch, self._use) as answer:

            def watched(request: Decode | Align | Detect) -> object:
                before_each(request)
                return answer(request)

            return run_requests(requests, watched)
