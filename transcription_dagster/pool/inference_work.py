"""The kinds of work of a GPU executor: transcription, diarization, embeddings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from transcription_dagster.errors import EngineMissing, ModelUnavailable, TimeLimitExceeded, WorkerUnfit
from transcription_dagster.pool.inference_requests import EmbeddingRequest, SpeakersRequest, TranscriptionRequest
from transcription_dagster.search.embedder import Embedder, embed, open_embedder
from transcription_dagster.settings import Settings
from transcription_dagster.speakers.engine import SpeakerEngine
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.store.shared_files import local_path
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.whisper.devices import device_errors
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.recordings import PreparedRecording, prepare_recording, transcribe_recording


class Work(Protocol):
    """One kind of request to an executor."""

    def prepare(self, content: Mapping[str, Any], folder: Path) -> Any:
        """Do everything that needs no device, in a thread. `folder` is for temporary files."""
        ...

    def do(self, prepared: Any, *, on_progress: Callable[[float], None], should_stop: Callable[[], bool]) -> Any:
        """Do the rest in a thread, concurrently with other work, and return the answer as JSON values.

        Raises the program's errors: `TranscriptionAborted` once `should_stop` returns true, `WorkerUnfit` if another
        executor may succeed.
        """
        ...

    def seconds(self, prepared: Any) -> float:
        """Return the length of the audio, in seconds."""
        ...


class TranscriptionWork:
    """Transcribes recordings with the engine that holds the model."""

    def __init__(self, settings: Settings, engine: SpeechEngine) -> None:
        self._settings = settings
        self._engine = engine
        self._store = ObjectStore(settings.store_url)

    def prepare(self, content: Mapping[str, Any], folder: Path) -> tuple[TranscriptionRequest, PreparedRecording]:
        request = TranscriptionRequest.from_json(content)
        path = self._store.file(request.audio_key, folder)
        self._model_path(request)
        return request, prepare_recording(self._engine, path)

    def do(
        self,
        prepared: tuple[TranscriptionRequest, PreparedRecording],
        *,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> dict[str, Any]:
        request, audio = prepared
        limit = request.time_limit(
            factor=self._settings.time_limit_factor, floor_seconds=self._settings.time_limit_floor_seconds
        )
        try:
            transcript = transcribe_recording(
                self._engine,
                audio,
                replace(request.options, model=self._model_path(request)),
                recording=request.recording,
                on_progress=on_progress,
                should_stop=should_stop,
                device_limit=limit,
            )
        except TimeLimitExceeded as error:
            raise TimeLimitExceeded(
                f"{error}: the limit for {request.seconds:.0f} s of audio is {limit:.0f} s; raise "
                "TRANSCRIPTION_TIME_LIMIT_FACTOR if this device is really that slow"
            ) from None
        except (ModelUnavailable, EngineMissing) as error:
            # Another machine may have the model or the engine.
            raise WorkerUnfit(str(error)) from error
        # The path of the model on this machine does not belong in the transcript.
        transcript = replace(transcript, model=request.options.model)
        return {"transcript": write_transcript(transcript)}

    def _model_path(self, request: TranscriptionRequest) -> str:
        """Return a path that the engine can load: a missing checkpoint is downloaded from the store."""
        return local_path(request.options.model, self._settings.home, self._settings.store_url)

    def seconds(self, prepared: tuple[TranscriptionRequest, PreparedRecording]) -> float:
        return prepared[0].seconds


class SpeakersWork:
    """Diarizes recordings with models that are loaded on first use."""

    def __init__(self, settings: Settings, device: str) -> None:
        self._engine = SpeakerEngine(device, settings.models_folder, settings.diarizer)
        self._store = ObjectStore(settings.store_url)
        #: The models process one recording at a time.
        self._models = threading.Lock()

    def prepare(self, content: Mapping[str, Any], folder: Path) -> tuple[SpeakersRequest, Path]:
        request = SpeakersRequest.from_json(content)
        return request, self._store.file(request.audio_key, folder)

    def do(
        self,
        prepared: tuple[SpeakersRequest, Path],
        *,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> dict[str, Any]:
        request, path = prepared
        try:
            with self._models, device_errors():
                return self._engine.answer(
                    path,
                    request.limits,
                    voices=request.voices,
                    on_progress=lambda seconds: on_progress(min(1.0, seconds / max(request.seconds, 1.0))),
                    should_stop=should_stop,
                )
        except (ModelUnavailable, EngineMissing) as error:
            # Another machine may have the models, or the library.
            raise WorkerUnfit(str(error)) from error

    def seconds(self, prepared: tuple[SpeakersRequest, Path]) -> float:
        return prepared[0].seconds


class EmbeddingWork:
    """Embeds texts with the model named in the request; the last model stays loaded."""

    def __init__(self, settings: Settings, device: str, engine: SpeechEngine) -> None:
        self._settings = settings
        self._device = device
        self._engine = engine
        self._embedder: Embedder | None = None

    def prepare(self, content: Mapping[str, Any], folder: Path) -> EmbeddingRequest:
        return EmbeddingRequest.from_json(content)

    def do(
        self, prepared: EmbeddingRequest, *, on_progress: Callable[[float], None], should_stop: Callable[[], bool]
    ) -> dict[str, Any]:
        return self._engine.between_steps(lambda: self._embed(prepared))

    def _embed(self, prepared: EmbeddingRequest) -> dict[str, Any]:
        if self._embedder is None or self._embedder.model != prepared.model:
            self._embedder = open_embedder(self._settings.model_copy(update={"embedder": prepared.model}), self._device)
        return embed(self._embedder, prepared.cues)

    def seconds(self, prepared: EmbeddingRequest) -> float:
        return 0.0
