"""The job that submits waiting recordings in Message Batches and collects the answers."""

import dagster as dg

from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import stored_value
from transcription_dagster.errors import RefinementFailed
from transcription_dagster.refinement.claude import connect
from transcription_dagster.refinement.message_batches.batch_store import exchange_lock
from transcription_dagster.refinement.message_batches.client import ClaudeBatches
from transcription_dagster.refinement.message_batches.workflow import Material, collect_ended, submit_waiting
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.settings import Settings


@dg.op(description="Submit the recordings that wait for a Message Batch, and collect the answers.")
def exchange(
    context: dg.OpExecutionContext,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
) -> None:
    def material(recording: str) -> Material:
        return stored_value(store.open(), "conversation", recording), *catalogue.terms(recording)

    with reported_failures(), exchange_lock(catalogue.engine) as is_alone:
        if not is_alone:
            context.log.info("Another run is already exchanging batches.")
            return
        # Retries by the SDK could submit the same batch twice; the step's own retry checks first.
        claude = connect(retries=0)
        if claude is None:
            raise RefinementFailed("there are no credentials for Claude")
        batches = ClaudeBatches(claude)
        for batch in collect_ended(catalogue.engine, batches):
            context.log.info(f"Collected the batch {batch.id} with {len(batch.recordings)} recordings.")
        for batch in submit_waiting(catalogue.engine, batches, material, RefinementSettings.of(settings)):
            context.log.info(f"Submitted the batch {batch.id} with {len(batch.recordings)} recordings.")


@dg.job(description="Submit the recordings that wait for a Message Batch, and collect the answers.")
def exchange_refinements() -> None:
    exchange()
