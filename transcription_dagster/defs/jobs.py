"""The jobs that people launch and backfill."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.partitions import recordings

transcribe_recordings = dg.define_asset_job(
    "transcribe_recordings",
    selection=dg.AssetSelection.all(),
    partitions_def=recordings,
    description="Everything for a recording: audio, transcript, captions and what is made from them.",
)
