"""The publication stage: a row in Postgres, and `recording.json`, the index of a recording's files."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import faithfulness, gap_findings, loop_findings
from transcription_dagster.corrections.manuscript import with_named_speakers
from transcription_dagster.database import publications
from transcription_dagster.database.recordings import Recording
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import (
    AUDIO_FILE,
    EDITS_FILE,
    REDACTED_AUDIO_FILE,
    REDACTED_FILES,
    STORED_FORMS,
    stored_value,
    unless_forgotten,
)
from transcription_dagster.defs.versions import REFRESH, versions_made
from transcription_dagster.insights.findings import Insights, speaker_shares
from transcription_dagster.model import Audio, Transcript
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.urls import shown_url

MANIFEST_FILE = "recording.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The index of a recording's files."""

    document: bytes
    #: File name -> hexadecimal SHA-256.
    sha256s: Mapping[str, str]
    total_bytes: int


def make_manifest(
    store: ObjectStore, recording: str, registered: Recording, transcript: Transcript, *, redacted_only: bool = False
) -> Manifest:
    """Index a recording's files in the store, or only the redacted ones. The result is deterministic."""
    files = {}
    names = {form.file for form in STORED_FORMS.values()} | {AUDIO_FILE, EDITS_FILE}
    if redacted_only:
        names = set(REDACTED_FILES)
    for stored in sorted(store.list(recording), key=lambda file: file.key):
        name = stored.key.split("/", 1)[1]
        if name in names and name != AUDIO_FILE:
            files[name] = _described(store.get_bytes(stored.key))
    if (form := STORED_FORMS["audio"]).file in files:
        # The hash was computed when the file was written: the file is large and may be remote.
        audio: Audio = form.decode(store.get_bytes(object_key(recording, form.file)))
        files[AUDIO_FILE] = {"bytes": audio.flac_bytes, "sha256": audio.flac_sha256}
    if store.head(key := object_key(recording, REDACTED_AUDIO_FILE)) is not None:
        files[REDACTED_AUDIO_FILE] = _described_file(store, key)
    content = {
        "uuid": recording,
        "title": registered.title,
        "source": shown_url(registered.source),
        "language": transcript.language,
        "model": transcript.model,
        "seconds": transcript.duration,
        "words": len(transcript.words),
        "files": files,
    }
    return Manifest(
        document=json.dumps(content, indent=1, ensure_ascii=False).encode(),
        sha256s={name: str(file["sha256"]) for name, file in files.items()},
        total_bytes=sum(int(file["bytes"]) for file in files.values()),
    )


def _described_file(store: ObjectStore, key: str) -> dict[str, int | str]:
    """Describe an object without reading it into memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = store.file(key, Path(folder))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}


def _described(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


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
        with unless_forgotten(catalogue.engine, files, recording, key):
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
    places = [publications.Warned(finding.kind, finding.place, finding.message) for finding in findings]
    changed = faithfulness(join_words(conversation.words), refined_text)
    return (
        *places[:_MOST_WARNINGS],
        *(publications.Warned(finding.kind, None, finding.message) for finding in changed),
    )
