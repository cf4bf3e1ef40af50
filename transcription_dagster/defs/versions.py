"""Code versions, and the conditions that refresh assets when theirs change."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.database.recordings import IMPORTED

#: Increase it when a change of the caption rules changes what `make_cues` returns. Every asset made from cues includes
#: it, so captions, refined captions and search chunks become stale together.
CUES_VERSION = "5"

#: Increase it when a change of the correction rules changes what `correct_cues` returns.
CORRECTED_CUES_VERSION = "4"

#: Part of the code version of embeddings that were made from redacted text.
REDACTED_CHUNKS = "-redacted-"

#: Materialization tag: the code version.
_CODE_VERSION_TAG = "dagster/code_version"


def from_cues(own: str) -> str:
    """Return the code version of an asset made from cues; `own` is the version of its own code."""
    return f"{own}-cues-{CUES_VERSION}"


def from_corrected_cues(own: str) -> str:
    """Return the code version of an asset made from cues with the refined text."""
    return f"{from_cues(own)}-corrected-{CORRECTED_CUES_VERSION}"


def versions_made(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Return, by asset name, the code versions that made the recording's assets, except the publication.

    An asset that no run made, such as an imported transcript, has the version `IMPORTED` and never becomes stale.
    """
    graph = context.repository_def.asset_graph
    keys = [key for key in graph.materializable_asset_keys if key != context.asset_key and graph.get(key).code_version]
    return {key.path[-1]: version_made(context.instance, key, context.partition_key) or IMPORTED for key in keys}


def version_made(instance: dg.DagsterInstance, asset: dg.AssetKey, recording: str) -> str | None:
    """Return the code version that last made an asset of a recording; None if no run has made it."""
    of_recording = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[recording])
    for record in instance.fetch_materializations(of_recording, limit=1).records:
        materialization = record.asset_materialization
        return materialization.tags.get(_CODE_VERSION_TAG) if materialization and materialization.tags else None
    return None


#: For assets that are cheap to make from a transcript. Skips recordings without the asset and recordings in progress.
REFRESH = (
    (
        # Dagster types the first condition for assets only and the second for checks too, but accepts both together.
        dg.AutomationCondition.code_version_changed().since_last_handled()  # type: ignore[attr-defined]
        | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    )
    & ~dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
).with_label("its code version changed, or an upstream asset is refreshed")

#: For assets that recordings of earlier versions lack: they are added if all of their inputs exist.
REFRESH_OR_ADD = (
    REFRESH
    | (
        dg.AutomationCondition.missing()
        # Most recordings have no corrections.
        & ~dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets("corrections"))
        & ~dg.AutomationCondition.in_progress()
    )
).with_label("its code version changed, an upstream asset is refreshed, or it is missing although its inputs exist")

refresh_stale = dg.AutomationConditionSensorDefinition(
    "refresh_stale",
    target=dg.AssetSelection.all(),
    # New recordings have priority.
    run_tags={"dagster/priority": "-1"},
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Refreshes captions, refined texts, embeddings, insights and publications when a new version of the "
    "program, or another model, would change them; no recording is transcribed again. It is off by "
    "default, because refining a whole archive again costs money: switch it on before such a change, "
    "which it then notices. Without it, stale assets can be backfilled by hand.",
)
