"""The speakers of a recording for those who ask: which models, loaded once, and what to do where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers.diarizer import Diarizer
from transcription_dagster.speakers.weights import fetch_speaker_models, speaker_models

NOT_INSTALLED = (
    "The models that tell speakers apart are not installed on the machine that did this: run `transcription models "
    "pull speakers` there, and materialize `speakers` again."
)

_BLOCK_SECONDS = 60


class SpeakerEngine:
    """Tells speakers apart on one device; the models are loaded when they are first needed, and stay."""

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
        """Tell the speakers of normalised audio apart: `turns`, `voices`, `model` and `skipped` as JSON values.

        `voices` says whether the speakers' embeddings are wanted. `on_progress` gets the seconds that are done. Raises
        `ModelUnavailable` where models are required and cannot be fetched, and what `Diarizer.diarize` raises.
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
                # An executor that tells no speakers apart has no use for the libraries.
                from transcription_dagster.speakers.local import LocalDiarizer

                self._diarizer = LocalDiarizer(folder, self._device)
        return self._diarizer
