"""The diarization engine: opens the chosen diarizer once, and says what is missing if it has no models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.errors import TranscriptionAborted
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
        `TranscriptionAborted` once `should_stop` returns true, `ModelUnavailable` if models are required but cannot be
        downloaded, or do not load, and `EngineMissing` if the library of the diarizer is not installed.
        """
        diarizer = self._open(required=limits.mode == "required")
        if diarizer is None:
            missing = NOT_INSTALLED if self._name == BUILT_IN_DIARIZER else PYANNOTE_MISSING
            return {"turns": [], "voices": {}, "model": "", "skipped": missing}

        def report(seconds: float) -> None:
            if should_stop():
                raise TranscriptionAborted
            on_progress(seconds)

        diarization = diarizer.diarize(read_blocks(path, _BLOCK_SECONDS), limits, report)
        return {**diarization.to_json(voices=voices), "model": diarizer.model, "skipped": None}

    def _open(self, *, required: bool) -> Diarizer | None:
        if self._diarizer is None:
            open_diarizer = self._open_built_in if self._name == BUILT_IN_DIARIZER else self._open_pyannote
            self._diarizer = open_diarizer(required=required)
        return self._diarizer

    def _open_built_in(self, *, required: bool) -> Diarizer | None:
        folder = fetch_speaker_models(self._models_folder) if required else speaker_models(self._models_folder)
        if folder is None:
            return None
        # Imported here: an executor without diarization does not need the libraries.
        from transcription_dagster.speakers.built_in import BuiltInDiarizer

        return BuiltInDiarizer(folder, self._device)

    def _open_pyannote(self, *, required: bool) -> Diarizer | None:
        folder = fetch_pyannote_pipeline(self._models_folder) if required else pyannote_pipeline(self._models_folder)
        return None if folder is None else PyannoteDiarizer(folder, self._device)
