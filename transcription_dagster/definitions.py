"""The one Definitions object that Dagster loads; no logic, and nothing opened on import."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs import jobs
from transcription_dagster.defs.assets import captions, ingest, insight, publication, refinement, transcription
from transcription_dagster.defs.embedding import EmbedderResource
from transcription_dagster.defs.io_manager import StoreIOManager
from transcription_dagster.defs.resources import CatalogueResource, StoreResource, WhisperResource

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([ingest, transcription, captions, refinement, insight, publication]),
    jobs=[jobs.transcribe_recordings],
    resources={
        "io_manager": StoreIOManager(),
        "store": StoreResource(),
        "catalogue": CatalogueResource(),
        "whisper": WhisperResource(),
        "embedder": EmbedderResource(),
    },
    # A run worker is one process that stays: its steps run in it.
    executor=dg.in_process_executor,
)
