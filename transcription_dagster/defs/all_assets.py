"""The assets that there are."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.defs.assets import (
    captions,
    ingest,
    insight,
    publication,
    refinement,
    refinement_request,
    transcription,
)
from transcription_dagster.settings import Settings


def all_assets(settings: Settings) -> Sequence[dg.AssetsDefinition]:
    """The assets that there are with these settings."""
    in_batches = [refinement_request] if settings.refinement == "batch" else []
    modules = [ingest, transcription, captions, *in_batches, refinement, insight, publication]
    return [each for each in dg.load_assets_from_modules(modules) if isinstance(each, dg.AssetsDefinition)]


def all_checks() -> Sequence[dg.AssetChecksDefinition]:
    """The checks that are no part of the asset they check."""
    return dg.load_asset_checks_from_modules([refinement])
