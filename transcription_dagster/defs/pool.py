"""Send requests to the pool's executors from a step."""

from __future__ import annotations

import time
from typing import Protocol

import dagster as dg

from transcription_dagster.errors import TranscriptionAborted
from transcription_dagster.pool.inference_client import InferenceAnswer, InferenceClient, InferenceRequest
from transcription_dagster.pool.names import ANY_GPU, GPU_TAG, gpu_queue
from transcription_dagster.settings import load_settings

#: Seconds; longer than the interrupt of a canceled run may take.
_INTERRUPT_SECONDS = 30.0


class Queued(Protocol):
    """Converts a request to the queue's form."""

    def __call__(self, *, run_id: str, queue: str) -> InferenceRequest: ...


def ask_pool(context: dg.AssetExecutionContext, request: Queued) -> InferenceAnswer:
    """Send a request to the executors, or to the one the run is pinned to, and wait for the answer.

    Raises the program's errors. An interrupted run leaves the request to its retry; canceling the run cancels the
    request too.
    """
    run = context.run
    queued = request(run_id=run.root_run_id or run.run_id, queue=gpu_queue(run.tags.get(GPU_TAG, ANY_GPU)))
    client = InferenceClient(load_settings().require_database_url())
    client.ask(queued)
    try:
        return client.wait(queued, on_event=context.log.info)
    except TranscriptionAborted:
        # The run is being canceled and its interrupt is on the way: failing first would fail the run.
        time.sleep(_INTERRUPT_SECONDS)
        raise
