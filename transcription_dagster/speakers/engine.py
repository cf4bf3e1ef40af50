"""Diarization as a service: models loaded once, and a clear result if they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.model import BUILT_IN_DIARIZER, DiarizerName, SpeakerLimits
from transcription_dagster.speakers.diarizer import Diarizer
from transcription_dagster.speakers.pyannote_pipeline import (
    PyannoteDiarizer,
    fetch_pyannote_pipeline,
    pyannote_pipeline,
)
from transcription_dagster.speakers.weights import fetch_speaker_models, speaker_models

#: What the asset says where the models of a diarizer are missing; `{}` is their name for `transcription models pull`.
_MISSING = (
    "Speakers were not detected, because the machine that ran this step has no diarization models: run `transcription "
    "models pull {}` there and materialize `speakers` again."
)
NOT_INSTALLED = _MISSING.format("speakers")
PYANNOTE_MISSING = _MISSING.format("pyannote")

_BLOCK_SECONDS = 60


class SpeakerEngine:
    """Diarization on one device; the models are loaded on first use and stay loaded."""

    def __init__(self, device: str, models_folder: Path, diarizer: DiarizerName = BUILT_IN_DIARIZER) -> None:
        self._device = device
        self._models_folder = models_folder
        self._name: DiarizerName = diarizer
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
        `ModelUnavailable` if models are required but cannot be downloaded, or do not load, `EngineMissing` if the
        library of the diarizer is not installed, and the errors of `Diarizer.diarize`.
        """
        diarizer = self._open(required=limits.mode == "required")
        if diarizer is None:
            return {"turns": [], "voices": {}, "model": "", "skipped": self._missing()}
        blocks = read_blocks(path, _BLOCK_SECONDS)
        found = diarizer.diarize(blocks, limits, on_progress=on_progress, should_stop=should_stop)
        return {**found.to_json(voices=voices), "model": diarizer.model, "skipped": None}

    def _open(self, *, required: bool) -> Diarizer | None:
        if self._diarizer is None:
            opened = self._open_pyannote if self._name == "pyannote" else self._open_built_in
            self._diarizer = opened(required)
        return self._diarizer

    def _open_built_in(self, required: bool) -> Diarizer | None:
        folder = fetch_speaker_models(self._models_folder) if required else speaker_models(self._models_folder)
        if folder is None:
            return None
        # Imported here: an executor without diarization does not need the libraries.
        from transcription_dagster.speakers.local import LocalDiarizer

        return LocalDiarizer(folder, self._device)

    def _open_pyannote(self, required: bool) -> Diarizer | None:
        folder = fetch_pyannote_pipeline(self._models_folder) if required else pyannote_pipeline(self._models_folder)
        return None if folder is None else PyannoteDiarizer(folder, self._device)

    def _missing(self) -> str:
        return PYANNOTE_MISSING if self._name == "pyannote" else NOT_INSTALLED
