"""The publication stage: a row in Postgres and an index of the recording's files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import faithfulness, gap_findings, loop_findings
from transcription_dagster.corrections.desk import with_named_speakers
from transcription_dagster.database import publications
from transcription_dagster.defs.automation import REFRESH
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.forgetting import writing
from transcription_dagster.defs.manifest import MANIFEST_FILE, make_manifest
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import stored_value
from transcription_dagster.defs.versions import versions_made
from transcription_dagster.insights.findings import Insights, speaker_shares
from transcription_dagster.model import Transcript
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import object_key
from transcription_dagster.transcripts.plain_text import join_words

#: Maximum number of warnings per recording; further ones add nothing.
_MOST_WARNINGS = 100
_NOT_PUBLISHED = Insights("none", notes=("Only the redacted files are published.",))


def publication_code_version(settings: Settings) -> str:
    """Return the code version, which includes whether only redacted files are published."""
    return "2" if settings.publish == "all" else f"3-{settings.publish}"


def _publication(
    context: dg.AssetExecutionContext,
    conversation: Transcript,
    refined_txt: str,
    corrected_txt: str,
    insights: Insights,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    recording = context.partition_key
    redacted_only = settings.publish == "redacted"
    with reported_failures():
        files = store.open()
        manifest = make_manifest(
            files, recording, catalogue.recording(recording), conversation, redacted_only=redacted_only
        )
        named = with_named_speakers(catalogue.engine, conversation)
        text, corrected, warnings = join_words(conversation.words), corrected_txt, _warnings(conversation, refined_txt)
        if redacted_only:
            # Findings in the text, and quotations in checks, may contain removed data.
            text = corrected = stored_value(files, "redacted_txt", recording)
            named, warnings = stored_value(files, "redacted_json", recording), ()
            insights = replace(_NOT_PUBLISHED, speakers=speaker_shares(named.words, named.language))
        publications.publish(
            catalogue.engine,
            publications.Publication(
                recording=recording,
                text=text,
                refined_text=corrected,
                language=conversation.language,
                model=conversation.model,
                words=len(conversation.words),
                duration=conversation.duration,
                versions=versions_made(context),
                sha256s=manifest.sha256s,
                speakers=tuple(sorted({word.speaker for word in named.words if word.speaker})),
                warnings=warnings,
                insights=publications.PublishedInsights(insights.analyser, insights.to_json()),
            ),
        )
        key = object_key(recording, MANIFEST_FILE)
        with writing(catalogue.engine, files, recording, key):
            files.put_bytes(key, manifest.document)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.url(f"/recordings/{recording}"),
            "uri": dg.MetadataValue.url(files.uri(key)),
            "files": len(manifest.sha256s),
            "bytes": manifest.total_bytes,
            "words": len(conversation.words),
        }
    )


def publication_asset(*, after: Sequence[str] = ()) -> dg.AssetsDefinition:
    """Return the asset `publication`, which reads files of `after` beside its inputs."""
    return dg.asset(
        name="publication",
        partitions_def=recordings,
        group_name="publication",
        automation_condition=REFRESH,
        kinds={"postgres", "json"},
        deps=[
            "transcript_txt",
            "captions_srt",
            "captions_vtt",
            "corrected_json",
            "refined_srt",
            "refined_vtt",
            "embeddings",
            "peaks",
            *after,
            "reading",
        ],
        description="The recording's row in Postgres, and `recording.json`: its files with their sizes and hashes.",
    )(_publication)


publication = publication_asset()


def _warnings(conversation: Transcript, refined_text: str) -> tuple[publications.Warned, ...]:
    """Return the findings of the checks of the transcript and the refined text, for readers to look at first."""
    findings = [*loop_findings(conversation.words, conversation.segments), *gap_findings(conversation.gaps)]
    places = [publications.Warned(found.kind, found.place, found.message) for found in findings]
    changed = faithfulness(join_words(conversation.words), refined_text)
    return (*places[:_MOST_WARNINGS], *(publications.Warned(found.kind, None, found.message) for found in changed))
