"""The insight stage: embeddings for search, and an analysis of the text."""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.quality import Finding, Severity
from transcription_dagster.defs.assets.conversation import corrected_cues
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import check_result, insight_metadata, without_quotations
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, InferenceResource, StoreResource
from transcription_dagster.defs.stored_values import stored_value
from transcription_dagster.defs.versions import REDACTED_CHUNKS, REFRESH, from_corrected_cues
from transcription_dagster.insights.analyser import analyse_parts, language_parts, open_analyser
from transcription_dagster.insights.findings import Insights, speaker_shares
from transcription_dagster.model import Transcript
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG
from transcription_dagster.pool.inference_requests import EmbeddingRequest
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks
from transcription_dagster.settings import Settings
from transcription_dagster.transcripts.word_languages import language_between


def embeddings_code_version(settings: Settings) -> str:
    """Return the code version, which includes the embedding model: vectors of different models are incomparable."""
    published = "" if settings.publish == "all" else f"{REDACTED_CHUNKS}2"
    return from_corrected_cues(f"1-{settings.embedder.rsplit('/', 1)[-1]}{published}")


def insights_code_version(settings: Settings) -> str:
    """Return the code version, which includes the analyser."""
    return f"1-{settings.insights}"


def _embeddings(
    context: dg.AssetExecutionContext,
    conversation: Transcript,
    corrected_txt: str,
    catalogue: CatalogueResource,
    store: StoreResource,
    inference: InferenceResource,
    settings: dg.ResourceParam[Settings],
):
    name = settings.embedder
    if name == "none":
        return dg.MaterializeResult(
            metadata={"chunks": 0, "note": "Not indexed: TRANSCRIPTION_EMBEDDER is none."},
            check_results=[check_result("complete", "embeddings", [])],
        )
    if settings.publish == "redacted":
        with reported_failures():
            redacted = stored_value(store.open(), "redacted_json", conversation.recording)
        cues = make_cues(redacted.words, duration=redacted.duration)
    else:
        cues = corrected_cues(conversation, corrected_txt, catalogue)
    request = EmbeddingRequest(conversation.recording, name, tuple(cues))
    with reported_failures():
        answer = inference.embed(context, request)
        result = answer.result
        chunks = [
            EmbeddedChunk(**chunk, language=language_between(conversation, chunk["start"], chunk["end"]))
            for chunk in result["chunks"]
        ]
        model = EmbeddingModel(result["model"], result["dimensions"])
        replace_chunks(catalogue.engine, conversation.recording, model, chunks, language=conversation.language)
    missing = bool(cues) and not chunks
    findings = [Finding("missing", 1, "there are captions and no chunks", Severity.ERROR)] if missing else []
    return dg.MaterializeResult(
        metadata={
            "chunks": len(chunks),
            "model": model.name,
            "dimensions": model.dimensions,
            "gpu_wait_seconds": answer.waited_seconds,
            "gpu_seconds": answer.gpu_seconds,
        },
        check_results=[check_result("complete", "embeddings", findings)],
    )


def embeddings_asset(*, after: Sequence[str] = ()) -> dg.AssetsDefinition:
    """Return the asset `embeddings`, which reads files of `after` beside its inputs."""
    return dg.asset(
        name="embeddings",
        deps=after,
        partitions_def=recordings,
        group_name="insight",
        automation_condition=REFRESH,
        kinds={"postgres", "sentencetransformers"},
        op_tags={GPU_TAG: ANY_GPU},
        description="The corrected text in chunks of a few cues, each with its time and its embedding.",
        check_specs=[
            dg.AssetCheckSpec(
                "complete",
                asset="embeddings",
                partitions_def=recordings,
                description="All of the text can be found by search.",
            )
        ],
    )(_embeddings)


embeddings = embeddings_asset()


@dg.asset(
    partitions_def=recordings,
    group_name="insight",
    automation_condition=REFRESH,
    description="Languages, entities, key phrases and sentiment of the corrected text, and what each speaker "
    "contributes (`insights.json`).",
)
def insights(
    conversation: Transcript, corrected_txt: str, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[Insights]:
    with reported_failures():
        parts = language_parts(corrected_txt, conversation.words, conversation.language)
        findings = analyse_parts(open_analyser(settings), corrected_txt, parts)
        findings = replace(findings, speakers=speaker_shares(conversation.words, conversation.language))
    return dg.MaterializeResult(value=findings, metadata=without_quotations(insight_metadata(findings), settings))
