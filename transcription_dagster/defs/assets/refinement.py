"""The refinement stage: the text corrected by the vocabulary and by Claude, asked at once or in a Message Batch."""

from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import faithfulness
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import check_result, refinement_metadata, without_quotations
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import EDITS_FILE, edits_document, unless_forgotten
from transcription_dagster.defs.versions import REFRESH
from transcription_dagster.model import Transcript
from transcription_dagster.refinement.account_store import open_account
from transcription_dagster.refinement.accounts import price_of
from transcription_dagster.refinement.claude import connect
from transcription_dagster.refinement.direct import NO_CREDENTIALS, SWITCHED_OFF, refine_directly
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.batch_plans import Plan
from transcription_dagster.refinement.message_batches.workflow import RefinementInput, queue_request, refined_by_batch
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import object_key
from transcription_dagster.transcripts.plain_text import join_words

#: Increase it when the instructions or the rules for edits change, so that older refinements become stale.
REFINEMENT_VERSION = "1"


def refinement_code_version(settings: Settings) -> str:
    """Return the code version, which includes the model, if there is one."""
    model = settings.refinement if settings.refinement == "off" else settings.claude_model
    return f"{REFINEMENT_VERSION}-{model}"


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
            batch_store.refuse(
                catalogue.engine, recording, "", status=RefinementStatus.VOCABULARY_ONLY, note=NO_CREDENTIALS
            )
            return dg.MaterializeResult(metadata={"requests": 0, "note": NO_CREDENTIALS})
        source = RefinementInput(conversation, *catalogue.terms(recording))
        planned = queue_request(catalogue.engine, source, RefinementSettings.of(settings))
    if isinstance(planned, Plan):
        dollars = {} if planned.dollars is None else {"expected_dollars": planned.dollars}
        return dg.MaterializeResult(metadata={"requests": len(planned.requests), **dollars})
    return dg.MaterializeResult(metadata={"requests": 0, "note": planned.note})


def _refined_txt(
    context: dg.AssetExecutionContext,
    conversation: Transcript,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
):
    with reported_failures():
        refined = _refined(conversation, catalogue, settings)
    if refined is None:
        context.log.warning(
            "Claude has not answered yet; its answer will start a run that makes this asset and those after it."
        )
        return
    if refined.note:
        context.log.info(refined.note)
    with reported_failures():
        files, key = store.open(), object_key(conversation.recording, EDITS_FILE)
        with unless_forgotten(catalogue.engine, files, conversation.recording, key):
            files.put_bytes(key, edits_document(refined))
    metadata = without_quotations(refinement_metadata(conversation, refined), settings)
    yield dg.MaterializeResult(value=refined.text, metadata=metadata)


def refined_text(*, in_batches: bool) -> dg.AssetsDefinition:
    """Return the asset `refined_txt`; if Claude answers in batches, it depends on the request to Claude."""
    return dg.asset(
        name="refined_txt",
        partitions_def=recordings,
        group_name="refinement",
        # In batch mode there is no text until Claude answers; that is not a failure.
        output_required=False,
        # In batch mode a stale text is requested again, and the answer starts the run.
        automation_condition=None if in_batches else REFRESH,
        deps=["refinement_request"] if in_batches else [],
        kinds={"claude", "text"},
        description="The text with corrected words, names and punctuation (`refined.txt`): by the vocabulary, and by "
        "Claude's edits, each of them validated.",
    )(_refined_txt)


refined_txt = refined_text(in_batches=False)


# A separate check and not part of the asset: it can run again without asking Claude.
@dg.asset_check(
    asset=refined_txt,
    partitions_def=recordings,
    additional_ins={"conversation": dg.AssetIn("conversation")},
    description="Few words changed, and no numbers.",
)
def faithful(refined_txt: str, conversation: Transcript, settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    findings = faithfulness(join_words(conversation.words), refined_txt)
    return check_result("faithful", "refined_txt", findings, settings)


def _refined(conversation: Transcript, catalogue: CatalogueResource, settings: Settings) -> Refined | None:
    """Refine as the settings say; the cost is recorded, in batch mode by the exchange.

    Return None until Claude has answered in a batch.
    """
    shared_terms, own_terms = catalogue.terms(conversation.recording)
    refining = RefinementSettings.of(settings)
    if settings.refinement == "batch":
        return refined_by_batch(catalogue.engine, RefinementInput(conversation, shared_terms, own_terms), refining)
    if settings.refinement == "off":
        return refine_directly(
            conversation, shared_terms, None, refining, own_terms=own_terms, without_client=SWITCHED_OFF
        )
    with open_account(
        catalogue.engine, conversation.recording, model=refining.model, limits=refining.spending
    ) as account:
        return refine_directly(
            conversation,
            shared_terms,
            connect(),
            refining,
            own_terms=own_terms,
            price=price_of(refining.model),
            account=account,
        )
