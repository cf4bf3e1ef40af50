"""The publication stage: a row in Postgres and an index of the recording's files."""

import dagster as dg

from transcription_dagster.captions.quality import faithfulness, gap_findings, loop_findings
from transcription_dagster.database import publications
from transcription_dagster.defs.automation import REFRESH
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.forgetting import writing
from transcription_dagster.defs.manifest import MANIFEST_FILE, make_manifest
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.versions import code_versions
from transcription_dagster.insights.analyser import Insights
from transcription_dagster.model import Transcript
from transcription_dagster.store.object_store import object_key
from transcription_dagster.transcripts.plain_text import join_words

#: Of one recording; more would say no more than these.
_MOST_WARNINGS = 100


@dg.asset(
    partitions_def=recordings,
    group_name="publication",
    code_version="2",
    automation_condition=REFRESH,
    kinds={"postgres", "json"},
    deps=[
        "transcript_txt",
        "captions_srt",
        "captions_vtt",
        "refined_srt",
        "refined_vtt",
        "embeddings",
        "peaks",
        "reading",
    ],
    description="The recording's row in Postgres, and `recording.json`: its files with their sizes and hashes.",
)
def publication(
    context: dg.AssetExecutionContext,
    transcript: Transcript,
    refined_txt: str,
    corrected_txt: str,
    insights: Insights,
    catalogue: CatalogueResource,
    store: StoreResource,
) -> dg.MaterializeResult:
    recording = context.partition_key
    with reported_failures():
        files = store.open()
        manifest = make_manifest(files, recording, catalogue.recording(recording), transcript)
        publications.publish(
            catalogue.engine,
            publications.Publication(
                recording=recording,
                text=join_words(transcript.words),
                refined_text=corrected_txt,
                language=transcript.language,
                model=transcript.model,
                words=len(transcript.words),
                duration=transcript.duration,
                versions=code_versions(context),
                sha256s=manifest.sha256s,
                speakers=tuple(sorted({word.speaker for word in transcript.words if word.speaker})),
                warnings=_warnings(transcript, refined_txt),
                insights=publications.Insights(insights.analyser, insights.to_json()),
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
            "words": len(transcript.words),
        }
    )


def _warnings(transcript: Transcript, refined_text: str) -> tuple[publications.Warned, ...]:
    """What the checks of the transcript and of its refined text find: what a reader should look at first."""
    findings = [*loop_findings(transcript.words, transcript.segments), *gap_findings(transcript.gaps)]
    places = [publications.Warned(found.kind, found.place, found.message) for found in findings]
    changed = faithfulness(join_words(transcript.words), refined_text)
    return (*places[:_MOST_WARNINGS], *(publications.Warned(found.kind, None, found.message) for found in changed))
