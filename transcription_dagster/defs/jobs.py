"""The jobs that people launch and backfill, and that sensors ask for. Each is partitioned as its assets are."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.defs.refinement_exchange import exchange_refinements
from transcription_dagster.settings import Settings

#: What is made from a recording's refined text, with it.
_REFINED = dg.AssetSelection.assets("refined_txt").downstream()

refine_again = dg.define_asset_job(
    "refine_again",
    selection=_REFINED,
    description="The refined text of a recording and all that is made from it, from the transcript that is there.",
)

reindex = dg.define_asset_job(
    "reindex",
    selection=dg.AssetSelection.assets("embeddings").downstream(),
    description="The vectors that search finds a recording by, as after a change of the embedding model.",
)

request_refinement = dg.define_asset_job(
    "request_refinement",
    selection=dg.AssetSelection.assets("refinement_request"),
    description="Ask for a recording to be refined in the next Message Batch; `refine_again` follows by itself.",
)


def transcribe_recordings(settings: Settings) -> dg.UnresolvedAssetJobDefinition:
    """Everything for a recording; where Claude answers in batches, everything up to the question."""
    in_batches = settings.refinement == "batch"
    return dg.define_asset_job(
        "transcribe_recordings",
        selection=dg.AssetSelection.all() - _REFINED if in_batches else dg.AssetSelection.all(),
        description="A recording's audio, transcript and captions, and the request to refine it."
        if in_batches
        else "Everything for a recording: audio, transcript, captions and what is made from them.",
    )


def jobs(settings: Settings) -> Sequence[dg.UnresolvedAssetJobDefinition | dg.JobDefinition]:
    """The jobs that there are with these settings."""
    in_batches = [request_refinement, exchange_refinements] if settings.refinement == "batch" else []
    return [transcribe_recordings(settings), refine_again, reindex, *in_batches]
