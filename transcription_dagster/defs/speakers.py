"""The resource that tells speakers apart: on the pool's executors, or in this process where there is no pool."""

from __future__ import annotations

import tempfile
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from transcription_dagster.defs.pool import ask_pool
from transcription_dagster.defs.stored_values import AUDIO_FILE
from transcription_dagster.model import Audio, SpeakerLimits
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.pool.speakers_request import SpeakersRequest
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.store.object_store import ObjectStore, object_key

if TYPE_CHECKING:
    from transcription_dagster.speakers.engine import SpeakerEngine


class SpeakersResource(dg.ConfigurableResource):
    """Tells the speakers of recordings apart."""

    def diarize(
        self, context: dg.AssetExecutionContext, audio: Audio, limits: SpeakerLimits, *, voices: bool
    ) -> InferenceAnswer:
        """Ask who speaks when in `audio`; `SpeakersRequest` says what the answer holds. Raises the program's errors."""
        settings = load_settings()
        request = SpeakersRequest(
            recording=audio.recording,
            audio_key=object_key(audio.recording, AUDIO_FILE),
            audio_sha256=audio.source_sha256,
            seconds=audio.seconds,
            limits=limits,
            voices=voices,
        )
        if settings.inference == "pool":
            return ask_pool(context, request.for_queue)
        return _diarize_here(settings, request)


#: One engine for all steps of this process, and one recording at a time on it.
_lock = threading.Lock()


@lru_cache(maxsize=1)
def _engine(models_folder: Path) -> SpeakerEngine:
    import torch

    from transcription_dagster.speakers.engine import SpeakerEngine

    return SpeakerEngine("cuda" if torch.cuda.is_available() else "cpu", models_folder)


def _diarize_here(settings: Settings, request: SpeakersRequest) -> InferenceAnswer:
    with _lock, tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(settings.store_url)
        path = store.local_path(request.audio_key)
        if path is None:
            path = Path(folder) / AUDIO_FILE
            store.download(request.audio_key, path)
        started = time.monotonic()
        result = _engine(settings.models_folder).answer(
            path,
            request.limits,
            voices=request.voices,
            on_progress=lambda _seconds: None,
            should_stop=lambda: False,
        )
        seconds = time.monotonic() - started
    return InferenceAnswer(result, waited_seconds=0.0, gpu_seconds=seconds, attempts=())
