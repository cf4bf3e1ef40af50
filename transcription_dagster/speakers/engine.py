"""Diarization as a service: models loaded once, and a clear result if they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers.diarizer import Diarizer
from transcription_dagster.speakers.weights import fetch_speaker_models, speaker_models

NOT_INSTALLED = (
    "Speakers were not detected, because the machine that ran this step has no diarization models: run `transcription "
    "models pull speakers` there and materialize `speakers` again."
)

_BLOCK_SECONDS = 60


class SpeakerEngine:
    """Diarization on one device; the models are loaded on first use and stay loaded."""

    def __init__(self, device: str, models_folder: Path) -> None:
        self._device = device
        self._models_folder = models_folder
        self._diarizer: Diarizer | None = None

    def answer(
        self,
        path: Path,
        limits: SpeakerLimits,
        *,
        voices: bool,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> dict[str, Any]:
        """Diarize normalised audio: returns `turns`, `voices`, `model` and `skipped` as JSON values.

        `voices` says whether to return the speakers' embeddings. `on_progress` gets the seconds done. Raises
        `ModelUnavailable` if models are required but cannot be downloaded, and the errors of `Diarizer.diarize`.
        """
        diarizer = self._open(required=limits.mode == "required")
        if diarizer is None:
            return {"turns": [], "voices": {}, "model": "", "skipped": NOT_INSTALLED}
        blocks = read_blocks(path, _BLOCK_SECONDS)
        found = diarizer.diarize(blocks, limits, on_progress=on_progress, should_stop=should_stop)
        return {**found.to_json(voices=voices), "model": diarizer.model, "skipped": None}

    def _open(self, *, required: bool) -> Diarizer | None:
        if self._diarizer is None:
            folder = fetch_speaker_models(self._models_folder) if required else speaker_models(self._models_folder)
            if folder is not None:
                # Imported here: an executor without diarization does not need the libraries.
                from transcription_dagster.speakers.local import LocalDiarizer

                self._diarizer = LocalDiarizer(folder, self._device)
        return self._diarizer
