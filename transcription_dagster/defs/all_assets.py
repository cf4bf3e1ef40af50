"""Collect all assets and checks for `Definitions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import dagster as dg

from transcription_dagster.defs.assets import (
    captions,
    conversation,
    ingest,
    insight,
    publication,
    reading_room,
    redaction,
    refinement,
    speakers,
    transcription,
)
from transcription_dagster.settings import Settings

#: Code versions that depend on the settings; the others are defined with their assets.
_CODE_VERSIONS: Mapping[str, Callable[[Settings], str]] = {
    **dict.fromkeys(redaction.NAMES, redaction.redaction_code_version),
    "audio": ingest.audio_code_version,
    "transcript": transcription.transcript_code_version,
    "speakers": speakers.speakers_code_version,
    "refinement_request": refinement.refinement_code_version,
    "refined_txt": refinement.refinement_code_version,
    "embeddings": insight.embeddings_code_version,
    "insights": insight.insights_code_version,
    "publication": publication.publication_code_version,
}


def all_assets(settings: Settings) -> Sequence[dg.AssetsDefinition]:
    """Return all assets for these settings."""
    texts = [captions, refinement]
    modules = [ingest, transcription, speakers, conversation, *texts, insight, reading_room, publication]
    modules += [redaction] if settings.redact else []
    assets = [asset for asset in dg.load_assets_from_modules(modules) if isinstance(asset, dg.AssetsDefinition)]
    in_batches = settings.refinement == "batch"
    other = [refinement.refined_text(in_batches=True)] if in_batches else []
    if settings.publish == "redacted":
        other.append(insight.embeddings_asset(after=redaction.NAMES))
        other.append(publication.publication_asset(after=redaction.NAMES))
    left_out = {key for asset in other for key in asset.keys}
    left_out |= set() if in_batches else refinement.refinement_request.keys
    assets = [*(asset for asset in assets if left_out.isdisjoint(asset.keys)), *other]
    return [asset.map_asset_specs(partial(_with_settings, settings)) for asset in assets]


def code_versions(settings: Settings) -> Mapping[str, str]:
    """Return the code version of each asset that has one, with these settings."""
    specs = [spec for asset in all_assets(settings) for spec in asset.specs]
    return {spec.key.to_user_string(): spec.code_version for spec in specs if spec.code_version}


def all_checks() -> Sequence[dg.AssetChecksDefinition]:
    """Return the checks that are not part of the asset they check."""
    return dg.load_asset_checks_from_modules([refinement])


def _with_settings(settings: Settings, spec: dg.AssetSpec) -> dg.AssetSpec:
    name = spec.key.to_user_string()
    if name in _CODE_VERSIONS:
        spec = spec.replace_attributes(code_version=_CODE_VERSIONS[name](settings))
    if name == "insights":
        return spec.replace_attributes(kinds={"python" if settings.insights == "local" else "aws"})
    return spec
