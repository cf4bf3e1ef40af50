"""The request to Claude about a recording, in batch mode."""

from typing import Any

import dagster as dg

from transcription_dagster.defs.automation import REFRESH
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.model import Transcript
from transcription_dagster.refinement.claude import connect
from transcription_dagster.refinement.direct import NO_CREDENTIALS
from transcription_dagster.refinement.message_batches import request_store
from transcription_dagster.refinement.message_batches.rounds import Plan
from transcription_dagster.refinement.message_batches.workflow import queue_request
from transcription_dagster.refinement.results import RefinementSettings, RefinementStatus
from transcription_dagster.settings import Settings


@dg.asset(
    partitions_def=recordings,
    group_name="refinement",
    automation_condition=REFRESH,
    kinds={"claude"},
    description="The request to Claude for this recording, waiting for the next Message Batch. When the batch is "
    "answered, a sensor requests the refined text and the assets after it.",
)
def refinement_request(
    context: dg.AssetExecutionContext,
    conversation: Transcript,
    catalogue: CatalogueResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    recording = context.partition_key
    with reported_failures():
        if connect() is None:
            request_store.refuse(
                catalogue.engine, recording, "", status=RefinementStatus.VOCABULARY_ONLY, note=NO_CREDENTIALS
            )
            return dg.MaterializeResult(metadata={"requests": 0, "note": NO_CREDENTIALS})
        material = (conversation, *catalogue.terms(recording))
        asked = queue_request(catalogue.engine, material, RefinementSettings.of(settings))
    if isinstance(asked, Plan):
        dollars = {} if asked.dollars is None else {"expected_dollars": asked.dollars}
        return dg.MaterializeResult(metadata={"requests": len(asked.requests), **dollars})
    return dg.MaterializeResult(metadata={"requests": 0, "note": asked.note})
