"""The one Definitions object that Dagster loads; no logic, and nothing opened on import."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets, all_checks
from transcription_dagster.defs.assets.correction import corrections
from transcription_dagster.defs.jobs import jobs
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.sensors import sensors
from transcription_dagster.settings import load_settings

_settings = load_settings()

defs = dg.Definitions(
    assets=[corrections, *all_assets(_settings)],
    asset_checks=all_checks(),
    jobs=jobs(_settings),
    sensors=sensors(_settings),
    # They read the settings where a step or a tick begins: `dagster dev` finds its database after it has loaded this.
    resources=all_resources(dg.ResourceDefinition(lambda _context: load_settings())),
    # A run worker is one process that stays: its steps run in it.
    executor=dg.in_process_executor,
)
