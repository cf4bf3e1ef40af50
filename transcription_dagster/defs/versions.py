"""The code versions of assets: those that several assets share, and those that made what is published."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.database.unfinished import IMPORTED

#: Raise it when the rules for cutting captions change what `make_cues` returns. Every asset made from cues carries it,
#: so all of them become stale together: the captions, the refined captions, and the chunks that search finds.
CUES_VERSION = "3"

#: Raise it when the rules for laying a corrected text onto cues change what `correct_cues` returns.
CORRECTED_CUES_VERSION = "2"

#: On a materialization: the version of the code that made it.
_CODE_VERSION_TAG = "dagster/code_version"


def from_cues(own: str) -> str:
    """The code version of an asset made from cues, whose own code has the version `own`."""
    return f"{own}-cues-{CUES_VERSION}"


def from_corrected_cues(own: str) -> str:
    """The code version of an asset made from cues that carry the refined text."""
    return f"{from_cues(own)}-corrected-{CORRECTED_CUES_VERSION}"


def code_versions(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Asset name -> code version that made the recording's, of every asset but the publication itself.

    What no run made, such as an imported transcript, has the version `IMPORTED`: no new code makes it stale.
    """
    graph = context.repository_def.asset_graph
    keys = [key for key in graph.materializable_asset_keys if key != context.asset_key and graph.get(key).code_version]
    return {key.path[-1]: version_made(context.instance, key, context.partition_key) or IMPORTED for key in keys}


def version_made(instance: dg.DagsterInstance, asset: dg.AssetKey, recording: str) -> str | None:
    """The code version that last made an asset of a recording; None if no run has made it."""
    of_recording = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[recording])
    for record in instance.fetch_materializations(of_recording, limit=1).records:
        made = record.asset_materialization
        return made.tags.get(_CODE_VERSION_TAG) if made and made.tags else None
    return None
