"""The code versions of the assets, as they are published with a recording."""

from __future__ import annotations

import dagster as dg


def code_versions(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Asset name -> code version, of every asset but the publication itself."""
    graph = context.repository_def.asset_graph
    return {
        key.path[-1]: node.code_version
        for key in graph.materializable_asset_keys
        if key != context.asset_key and (node := graph.get(key)).code_version
    }
