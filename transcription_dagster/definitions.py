"""The one Definitions object that Dagster loads; no logic, and nothing opened on import."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets, all_checks
from transcription_dagster.defs.assets.correction import corrections
from transcription_dagster.defs.embedding import EmbedderResource
from transcription_dagster.defs.io_manager import StoreIOManager
from transcription_dagster.defs.jobs import jobs
from transcription_dagster.defs.resources import CatalogueResource, StoreResource, WhisperResource
from transcription_dagster.defs.sensors import sensors
from transcription_dagster.defs.speakers import SpeakersResource
from transcription_dagster.settings import load_settings

defs = dg.Definitions(
    assets=[corrections, *all_assets(load_settings())],
    asset_checks=all_checks(),
    jobs=jobs(load_settings()),
    sensors=sensors(load_settings()),
    resources={
        "io_manager": StoreIOManager(),
        "store": StoreResource(),
        "catalogue": CatalogueResource(),
        "whisper": WhisperResource(),
        "embedder": EmbedderResource(),
        "diarizer": SpeakersResource(),
    },
    # A run worker is one process that stays: its steps run in it.
    executor=dg.in_process_executor,
)
