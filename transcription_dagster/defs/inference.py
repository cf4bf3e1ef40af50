"""The resource for transcription, diarization and embeddings.

Requests go to the pool's executors. Without a pool, the executors' code answers them in this process.
"""

import tempfile
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from transcription_dagster.defs.stored_values import AUDIO_FILE
from transcription_dagster.errors import TranscriptionAborted, TranscriptionError, WorkerUnfit
from transcription_dagster.model import Audio, SpeakerLimits, SpeechOptions
from transcription_dagster.pool.inference_client import InferenceAnswer, InferenceClient, InferenceRequest
from transcription_dagster.pool.names import (
    ANY_GPU,
    EMBED_TASK,
    GPU_TAG,
    SPEAKERS_TASK,
    TRANSCRIBE_TASK,
    gpu_queue,
)
from transcription_dagster.pool.requests import EmbeddingRequest, SpeakersRequest, TranscriptionRequest
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import object_key

if TYPE_CHECKING:
    from transcription_dagster.pool.inference_work import Work

#: Seconds to wait for the interrupt of a canceled run, which takes less.
_INTERRUPT_SECONDS = 30.0


class InferenceResource(dg.ConfigurableResource["InferenceResource"]):
    """Answers requests on the pool's executors, or in this process. All methods raise the program's errors."""

    settings: dg.ResourceDependency[Settings]

    def transcribe(self, context: dg.AssetExecutionContext, audio: Audio, options: SpeechOptions) -> InferenceAnswer:
        """Transcribe `audio`; the result holds `transcript` (a document), `device` and `executor`."""
        request = TranscriptionRequest(
            recording=audio.recording,
            audio_key=object_key(audio.recording, AUDIO_FILE),
            audio_sha256=audio.source_sha256,
            seconds=audio.seconds * audio.flac_channels,
            options=options,
        )
        return self._answer(context, request)

    def diarize(
        self, context: dg.AssetExecutionContext, audio: Audio, limits: SpeakerLimits, *, voices: bool
    ) -> InferenceAnswer:
        """Find out who speaks when in `audio`; `SpeakersRequest` documents the result."""
        request = SpeakersRequest(
            recording=audio.recording,
            audio_key=object_key(audio.recording, AUDIO_FILE),
            audio_sha256=audio.source_sha256,
            seconds=audio.seconds,
            limits=limits,
            voices=voices,
        )
        return self._answer(context, request)

    def embed(self, context: dg.AssetExecutionContext, request: EmbeddingRequest) -> InferenceAnswer:
        """Embed captions; the result holds `model`, `dimensions` and `chunks` (text, start, end, embedding)."""
        return self._answer(context, request)

    def _answer(
        self, context: dg.AssetExecutionContext, request: TranscriptionRequest | SpeakersRequest | EmbeddingRequest
    ) -> InferenceAnswer:
        """Send a request to the executors, or to the one that the run is pinned to, or answer it in this process."""
        run = context.run
        queued = request.for_queue(
            run_id=run.root_run_id or run.run_id, queue=gpu_queue(run.tags.get(GPU_TAG, ANY_GPU))
        )
        if self.settings.inference == "process":
            return _answer_here(self.settings, queued)
        return _ask_pool(context, self.settings.require_database_url(), queued)


def _ask_pool(context: dg.AssetExecutionContext, url: str, request: InferenceRequest) -> InferenceAnswer:
    """Wait for an executor's answer.

    An interrupted run leaves the request to its retry; canceling the run cancels the request too.
    """
    client = InferenceClient(url)
    client.ask(request)
    try:
        return client.wait(request, on_event=context.log.info)
    except TranscriptionAborted:
        # The run is being canceled and its interrupt will follow; raising before it would mark the run as failed.
        time.sleep(_INTERRUPT_SECONDS)
        raise


#: All steps of this process share its models, one request at a time.
_here = threading.Lock()


@lru_cache(maxsize=1)
def _works(settings: Settings) -> tuple[str, Mapping[str, "Work"]]:
    """Return this process's device, and its work by task."""
    # Imported late: torch takes seconds to import, and steps in a pool never need it.
    import torch

    from transcription_dagster.pool.inference_work import EmbeddingWork, SpeakersWork, TranscriptionWork
    from transcription_dagster.whisper.engine import SpeechEngine

    device = "cuda" if torch.cuda.is_available() else "cpu"
    engine = SpeechEngine(device, models_folder=settings.models_folder)
    return device, {
        TRANSCRIBE_TASK: TranscriptionWork(settings, engine),
        SPEAKERS_TASK: SpeakersWork(settings, device),
        EMBED_TASK: EmbeddingWork(settings, device, engine),
    }


def _answer_here(settings: Settings, request: InferenceRequest) -> InferenceAnswer:
    with _here, tempfile.TemporaryDirectory() as folder:
        device, works = _works(settings)  # pyright: ignore[reportArgumentType]  frozen, and so hashable
        work = works[request.task]
        try:
            prepared = work.prepare(request.request, Path(folder))
            started = time.monotonic()
            result = work.do(prepared, on_progress=lambda _share: None, should_stop=lambda: False)
        except WorkerUnfit as error:
            # There is no other executor to try, so the error is final.
            raise error.__cause__ if isinstance(error.__cause__, TranscriptionError) else error from None
    return InferenceAnswer(
        {**result, "device": device, "executor": "this process"},
        waited_seconds=0.0,
        gpu_seconds=time.monotonic() - started,
        attempts=(),
    )
