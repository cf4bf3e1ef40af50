"""The resources of assets and sensors: the store, the catalogue, the I/O manager, and inference."""

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from transcription_dagster.database import vocabulary
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.database.recordings import Recording, find_recording
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import text_preview
from transcription_dagster.defs.stored_values import (
    AUDIO_FILE,
    REDACTED_FILES,
    STORED_FORMS,
    stored_value,
    unless_forgotten,
)
from transcription_dagster.errors import TranscriptionAborted, TranscriptionError, UnknownRecording, WorkerUnfit
from transcription_dagster.model import Audio, SpeakerLimits, SpeechOptions, Term
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG, gpu_queue
from transcription_dagster.pool.inference_client import InferenceAnswer, InferenceClient
from transcription_dagster.pool.inference_requests import (
    EMBED_TASK,
    SPEAKERS_TASK,
    TRANSCRIBE_TASK,
    EmbeddingRequest,
    InferenceRequest,
    SpeakersRequest,
    TranscriptionRequest,
)
from transcription_dagster.settings import Settings
from transcription_dagster.sources.ib import ib_uri
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.vocabulary.files import read_vocabulary

if TYPE_CHECKING:
    from transcription_dagster.pool.inference_work import Work


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """The store for results, as named by the settings."""

    settings: dg.ResourceDependency[Settings]

    def open(self) -> ObjectStore:
        """Open the store. Does no I/O."""
        return ObjectStore(self.settings.store_url)


class CatalogueResource(dg.ConfigurableResource["CatalogueResource"]):
    """The database of recordings."""

    settings: dg.ResourceDependency[Settings]

    @property
    def engine(self) -> Engine:
        """Return the connection pool that all steps of this process share."""
        return _engine(self.settings.require_database_url())

    def recording(self, uuid: str) -> Recording:
        """Return a registered recording. Raises `UnknownRecording`."""
        recording = find_recording(self.engine, uuid)
        if recording is not None:
            return recording
        template = self.settings.ib_url_template
        if template is not None:
            return Recording(uuid, source=ib_uri(template, uuid))
        raise UnknownRecording(
            f"recording {uuid} is not registered: name its source in a worklist or in the config of `audio`, or "
            "configure a source that lists it"
        )

    def terms(self, uuid: str) -> tuple[Sequence[Term], Sequence[Term]]:
        """Return the shared vocabulary, from the settings' file and the database, and the recording's own terms."""
        path = self.settings.vocabulary
        from_file = read_vocabulary(path) if path else []
        return [*from_file, *vocabulary.terms(self.engine)], self.recording(uuid).vocabulary


class StoreIOManager(dg.ConfigurableIOManager):
    """Keeps each asset of a recording as `{store}/{uuid}/{file}`, replaced atomically."""

    store: StoreResource
    catalogue: CatalogueResource

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        form = STORED_FORMS[context.asset_key.path[-1]]
        key = object_key(context.partition_key, form.file)
        with reported_failures():
            store = self.store.open()
            data = form.encode(obj)
            with unless_forgotten(self.catalogue.engine, store, context.partition_key, key):
                store.put_bytes(key, data)
        context.add_output_metadata({"uri": dg.MetadataValue.url(store.uri(key)), "bytes": len(data)})
        # Redacted texts quote nothing that redaction takes out.
        shows_text = self.store.settings.publish == "all" or form.file in REDACTED_FILES
        if isinstance(obj, str) and shows_text:
            context.add_output_metadata({"preview": dg.MetadataValue.md(text_preview(obj))})

    def load_input(self, context: dg.InputContext) -> object:
        with reported_failures():
            return stored_value(self.store.open(), context.asset_key.path[-1], context.partition_key)


def all_resources(settings: Settings | dg.ResourceDefinition) -> dict[str, Any]:
    """Return the resources for `settings`, or for the settings that a resource reads."""
    store, catalogue = StoreResource(settings=settings), CatalogueResource(settings=settings)
    return {
        "settings": settings,
        "store": store,
        "catalogue": catalogue,
        "io_manager": StoreIOManager(store=store, catalogue=catalogue),
        "inference": InferenceResource(settings=settings),
    }


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    return open_database(url)


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
