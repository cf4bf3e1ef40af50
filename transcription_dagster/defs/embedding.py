"""The resource that embeds text: on the pool's executors, or in this process without a pool."""

from __future__ import annotations

import time
from functools import lru_cache

import dagster as dg

from transcription_dagster.defs.pool import ask_pool
from transcription_dagster.pool.embedding_request import EmbeddingRequest
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.search.embedded_chunks import embed
from transcription_dagster.search.embedder import Embedder, open_embedder
from transcription_dagster.settings import load_settings


class EmbedderResource(dg.ConfigurableResource):
    """Splits a recording's captions into chunks and embeds them."""

    def embed(self, context: dg.AssetExecutionContext, request: EmbeddingRequest) -> InferenceAnswer:
        """Embed captions; the result holds `model`, `dimensions` and `chunks` (text, start, end, embedding)."""
        settings = load_settings()
        if settings.inference == "pool":
            return ask_pool(context, request.for_queue)
        started = time.monotonic()
        result = embed(_embedder(request.model), request.cues)
        return InferenceAnswer(result, waited_seconds=0.0, gpu_seconds=time.monotonic() - started, attempts=())


@lru_cache(maxsize=1)
def _embedder(_model: str) -> Embedder:
    return open_embedder(load_settings())
