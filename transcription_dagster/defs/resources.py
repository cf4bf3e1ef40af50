"""The resources of the assets. They read settings when a step starts, so that Dagster's config holds no secrets."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from transcription_dagster.database import vocabulary
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.database.recordings import Recording, find
from transcription_dagster.defs.pool import ask_pool
from transcription_dagster.defs.stored_values import AUDIO_FILE
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import Audio, SpeechOptions, Term
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.pool.transcription_request import TranscriptionRequest
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.store.shared_files import local_path
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.vocabulary.files import read_vocabulary

if TYPE_CHECKING:
    from transcription_dagster.whisper.engine import SpeechEngine


class StoreResource(dg.ConfigurableResource):
    """The store of results that the settings name."""

    def open(self) -> ObjectStore:
        """Open the store. Does no I/O."""
        return ObjectStore(load_settings().store_url)


class CatalogueResource(dg.ConfigurableResource):
    """The database of recordings."""

    @property
    def engine(self) -> Engine:
        """Return the connection pool that all steps of this process share."""
        return _engine(load_settings().require_database_url())

    def recording(self, uuid: str) -> Recording:
        """Return a registered recording. Raises `UnknownRecording`."""
        recording = find(self.engine, uuid)
        if recording is not None:
            return recording
        template = load_settings().ib_url_template
        if template is not None:
            return Recording(uuid, source=template.replace("{uuid}", uuid))
        raise UnknownRecording(
            f"recording {uuid} is not registered: name its source in a worklist or in the config of `audio`, or "
            "configure a source that lists it"
        )

    def terms(self, uuid: str) -> tuple[Sequence[Term], Sequence[Term]]:
        """Return the shared vocabulary, from the settings' file and the database, and the recording's own terms."""
        path = load_settings().vocabulary
        from_file = read_vocabulary(path) if path else []
        return [*from_file, *vocabulary.terms(self.engine)], self.recording(uuid).vocabulary


class WhisperResource(dg.ConfigurableResource):
    """Transcribes recordings: on the pool's executors, or in this process without a pool."""

    def transcribe(self, context: dg.AssetExecutionContext, audio: Audio, options: SpeechOptions) -> InferenceAnswer:
        """Transcribe `audio`; the answer's result holds `transcript` (a document), `device` and `executor`.

        Raises the program's errors.
        """
        settings = load_settings()
        request = TranscriptionRequest(
            recording=audio.recording,
            audio_key=object_key(audio.recording, AUDIO_FILE),
            audio_sha256=audio.source_sha256,
            seconds=audio.seconds * audio.flac_channels,
            options=options,
        )
        if settings.inference == "process":
            return _transcribe_here(settings, request)
        return ask_pool(context, request.for_queue)


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    return open_database(url)


#: The engine that all steps of this process share, for one transcription at a time.
_speech_lock = threading.Lock()


@lru_cache(maxsize=1)
def _speech_engine(models_folder: Path) -> SpeechEngine:
    import torch

    from transcription_dagster.whisper.engine import SpeechEngine

    return SpeechEngine("cuda" if torch.cuda.is_available() else "cpu", models_folder=models_folder)


def _transcribe_here(settings: Settings, request: TranscriptionRequest) -> InferenceAnswer:
    from transcription_dagster.whisper.recordings import prepare_recording, transcribe_recording

    with _speech_lock, tempfile.TemporaryDirectory() as folder:
        engine = _speech_engine(settings.models_folder)
        model = local_path(request.options.model, settings.home, settings.store_url)
        engine.load(model, request.options.engine)
        store = ObjectStore(settings.store_url)
        path = store.local_path(request.audio_key)
        if path is None:
            path = Path(folder) / AUDIO_FILE
            store.download(request.audio_key, path)
        started = time.monotonic()
        transcript = transcribe_recording(
            engine,
            prepare_recording(engine, path),
            replace(request.options, model=model),
            recording=request.recording,
            on_progress=lambda _share: None,
            should_stop=lambda: False,
        )
        seconds = time.monotonic() - started
    transcript = replace(transcript, model=request.options.model)
    result = {"transcript": write_transcript(transcript), "device": engine.device, "executor": "this process"}
    return InferenceAnswer(result, waited_seconds=0.0, gpu_seconds=seconds, attempts=())
