"""Collect the sensors for `Definitions`."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.defs.automation import refresh_stale
from transcription_dagster.defs.failed_recordings import failed_recordings
from transcription_dagster.defs.new_recordings import new_recordings
from transcription_dagster.defs.refinement_batches import refinement_batches
from transcription_dagster.defs.requested_recordings import corrected_recordings, submitted_recordings
from transcription_dagster.settings import Settings


def sensors(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """Return the sensors that the settings enable; those for new recordings need a configured source."""
    in_batches = [refinement_batches] if settings.refinement == "batch" else []
    return [
        *new_recordings(settings),
        failed_recordings,
        corrected_recordings,
        submitted_recordings,
        refresh_stale,
        *in_batches,
    ]
