"""The code versions that made a recording's assets, as they are published with it."""

from __future__ import annotations

import dagster as dg

#: On a materialization: the version of the code that made it.
_CODE_VERSION_TAG = "dagster/code_version"


def code_versions(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Asset name -> code version that made the recording's, of every asset but the publication itself.

    What came otherwise than from a run, such as an imported transcript, counts as made by the present version.
    """
    graph = context.repository_def.asset_graph
    present = {key: graph.get(key).code_version for key in graph.materializable_asset_keys if key != context.asset_key}
    return {
        key.path[-1]: version_made(context.instance, key, context.partition_key) or version
        for key, version in present.items()
        if version
    }


def version_made(instance: dg.DagsterInstance, asset: dg.AssetKey, recording: str) -> str | None:
    """The code version that last made an asset of a recording; None if no run has made it."""
    of_recording = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[recording])
    for record in instance.fetch_materializations(of_recording, limit=1).records:
        made = record.asset_materialization
        return made.tags.get(_CODE_VERSION_TAG) if made and made.tags else None
    return None
