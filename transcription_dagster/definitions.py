"""The Definitions object that Dagster loads. Importing this module opens no connection."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets, all_checks
from transcription_dagster.defs.assets.conversation import corrections
from transcription_dagster.defs.catalog import catalogued
from transcription_dagster.defs.jobs import jobs
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.sensors import sensors
from transcription_dagster.settings import load_settings

_settings = load_settings()

defs = dg.Definitions(
    assets=catalogued([corrections, *all_assets(_settings)]),
    asset_checks=all_checks(),
    jobs=jobs(_settings),
    sensors=sensors(_settings),
    # They read the settings when a step or tick begins, because `dagster dev` sets its database after loading this
    # module.
    resources=all_resources(dg.ResourceDefinition(lambda _context: load_settings())),
    # A run worker is one long-lived process that executes its steps itself.
    executor=dg.in_process_executor,
)
