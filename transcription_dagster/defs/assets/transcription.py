"""The transcription stage: words with times, from a GPU executor."""

import hashlib
import json
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import gap_findings, loop_findings, silence_findings
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import check_result, table, transcript_preview, without_quotations
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, InferenceResource
from transcription_dagster.model import OPENAI_WHISPER, Audio, DoubtfulSpeech, RemovedSpeech, SpeechOptions, Transcript
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.settings import Settings
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster.vocabulary.prompts import initial_prompt


class TranscriptConfig(dg.Config):
    """Options of this run; defaults come from the recording and the settings."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    initial_prompt: str | None = None
    beam_size: int | None = None
    temperatures: list[float] | None = None
    condition_on_previous_text: bool | None = None


def transcript_code_version(settings: Settings) -> str:
    """Return the code version, which includes model, engine and decoding options."""
    options = asdict(settings.speech_options())
    if options["engine"] == OPENAI_WHISPER:
        # Transcripts that predate the second engine were made by this one.
        del options["engine"]
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    return f"2-{PurePath(settings.model).name}-{digest[:12]}"


@dg.asset(
    partitions_def=recordings,
    group_name="transcription",
    kinds={"whisper", "json"},
    op_tags={GPU_TAG: ANY_GPU},
    description="The words with their times (`transcript.json`, Amazon Transcribe's layout), by Whisper on a GPU.",
    check_specs=[
        dg.AssetCheckSpec(
            "plausible",
            asset="transcript",
            partitions_def=recordings,
            description="No repetition loops, and no words in silence.",
        ),
        dg.AssetCheckSpec(
            "complete",
            asset="transcript",
            partitions_def=recordings,
            description="All detected speech has words.",
        ),
    ],
)
def transcript(
    context: dg.AssetExecutionContext,
    config: TranscriptConfig,
    audio: Audio,
    catalogue: CatalogueResource,
    inference: InferenceResource,
    settings: dg.ResourceParam[Settings],
):
    with reported_failures():
        options = options_of_run(config, catalogue, settings, context.partition_key)
        answer = inference.transcribe(context, audio, options)
        value = read_transcript(answer.result["transcript"])
    for removed in value.removed:
        context.log.warning(f"Left out {removed.start:.1f} s to {removed.end:.1f} s: {removed.reason}.")
    findings = [*loop_findings(value.words, value.segments), *silence_findings(value.segments, audio.levels)]
    return dg.MaterializeResult(
        value=value,
        metadata=without_quotations(_metadata(audio, value, answer), settings),
        check_results=[
            check_result("plausible", "transcript", findings, settings),
            check_result("complete", "transcript", gap_findings(value.gaps)),
        ],
    )


def options_of_run(
    config: TranscriptConfig, catalogue: CatalogueResource, settings: Settings, uuid: str
) -> SpeechOptions:
    """Return the decoding options. The run's config overrides the recording's options, which override the settings."""
    defaults = asdict(settings.speech_options())
    recording = catalogue.recording(uuid)
    if recording.language is not None:
        defaults["language"] = recording.language
    elif recording.languages:
        defaults["language"], defaults["languages"] = None, recording.languages
    if defaults["initial_prompt"] is None:
        shared_terms, own_terms = catalogue.terms(uuid)
        defaults["initial_prompt"] = initial_prompt(shared_terms, own_terms=own_terms) or None
    overrides = {name: value for name, value in config.model_dump().items() if value is not None}
    merged: dict[str, Any] = {**defaults, **overrides}
    if "languages" in overrides and "language" not in overrides:
        merged["language"] = None
    merged["temperatures"], merged["languages"] = tuple(merged["temperatures"]), tuple(merged["languages"])
    return SpeechOptions(**merged)


def _metadata(audio: Audio, value: Transcript, answer: InferenceAnswer) -> dict[str, Any]:
    words = len(value.words)
    confidence = sum(word.confidence for word in value.words) / words if words else None
    return {
        "preview": dg.MetadataValue.md(transcript_preview(value)),
        "audio_seconds": round(audio.seconds, 3),
        "gpu_wait_seconds": round(answer.waited_seconds, 3),
        "gpu_seconds": round(answer.gpu_seconds, 3),
        "real_time_factor": round(answer.gpu_seconds / audio.seconds, 4) if audio.seconds else 0.0,
        "words": words,
        "segments": len(value.segments),
        "language": value.language,
        "model": PurePath(value.model).name,
        "device": answer.result["device"],
        "executor": answer.result["executor"],
        "attempts": len(answer.attempts),
        "options": dg.MetadataValue.json(dict(value.options)),
        "removed": len(value.removed),
        **({"removed_list": dg.MetadataValue.md(_removed(value))} if value.removed else {}),
        "doubtful": len(value.doubtful),
        **({"doubtful_list": dg.MetadataValue.md(_doubtful(value))} if value.doubtful else {}),
        "gaps": len(value.gaps),
        "gap_seconds": round(sum(gap.end - gap.start for gap in value.gaps), 1),
        **({} if confidence is None else {"mean_confidence": round(confidence, 3)}),
        **({} if words else {"note": "No speech was found in this recording."}),
    }


def _removed(value: Transcript) -> str:
    rows = [(_place(item), item.text, item.instead, item.reason, ", ".join(item.witnesses)) for item in value.removed]
    return table(("seconds", "text", "replaced by", "left out because", "witnesses"), rows)


def _doubtful(value: Transcript) -> str:
    rows = [(_place(item), item.text, ", ".join(item.witnesses)) for item in value.doubtful]
    return table(("seconds", "text", "witnesses against it"), rows)


def _place(item: RemovedSpeech | DoubtfulSpeech) -> str:
    return f"{item.start:.1f} to {item.end:.1f}"
