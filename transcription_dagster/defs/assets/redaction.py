"""The recording without what must not be read or heard; these assets exist where TRANSCRIPTION_REDACT names kinds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from transcription_dagster.audio.silencing import audible_spans, write_silenced
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.quality import Finding, Severity
from transcription_dagster.captions.subtitles import to_srt
from transcription_dagster.defs.automation import REFRESH
from transcription_dagster.defs.check_results import check_result
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.forgetting import writing
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.previews import table
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import AUDIO_FILE, REDACTED_AUDIO_FILE
from transcription_dagster.model import Audio, Transcript
from transcription_dagster.redaction.comprehend import apart, find_by_comprehend
from transcription_dagster.redaction.finding import Found, find
from transcription_dagster.redaction.words import Redaction, redact, remaining
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.store.scratch import scratch_folder
from transcription_dagster.transcripts.plain_text import to_text

NAMES = ("redacted_txt", "redacted_srt", "redacted_audio")
_DESCRIPTIONS = {
    "redacted_txt": "The transcript's text with marks such as `[card]` for what must not be read (`redacted.txt`).",
    "redacted_srt": "Captions with these marks (`redacted.srt`).",
    "redacted_audio": "The sound, silent where these things are said (`redacted.flac`).",
}


def redaction_code_version(settings: Settings) -> str:
    """Changes with the kinds and with who finds them."""
    return f"1-{'-'.join(sorted(settings.redact))}-{settings.insights}"


@dg.multi_asset(
    name="redaction",
    partitions_def=recordings,
    group_name="redaction",
    outs={
        name: dg.AssetOut(
            description=_DESCRIPTIONS[name],
            kinds={kind},
            automation_condition=REFRESH,
            dagster_type=dg.Nothing if name == "redacted_audio" else str,
        )
        for name, kind in zip(NAMES, ("text", "srt", "flac"), strict=True)
    },
    check_specs=[
        dg.AssetCheckSpec("redacted", asset=name, partitions_def=recordings, description="Nothing of it is left.")
        for name in NAMES
    ],
)
def redaction(
    context: dg.AssetExecutionContext,
    audio: Audio,
    conversation: Transcript,
    catalogue: CatalogueResource,
    store: StoreResource,
) -> Iterator[dg.MaterializeResult]:
    settings = load_settings()
    with reported_failures():
        redacted = redact(conversation.words, _found(conversation, settings), conversation.duration)
    text, captions = to_text(redacted.words), to_srt(make_cues(redacted.words, duration=conversation.duration))
    with reported_failures(), scratch_folder(settings) as folder:
        files, key = store.open(), object_key(audio.recording, REDACTED_AUDIO_FILE)
        flac = _silenced(files, audio.recording, redacted, folder)
        with writing(catalogue.engine, files, audio.recording, key):
            files.put_file(key, flac)
        heard = [
            Finding("remains", number, f"{start:.1f} s to {end:.1f} s can be heard", Severity.ERROR)
            for number, (start, end) in enumerate(audible_spans(flac, redacted.spans), start=1)
        ]
        size = flac.stat().st_size
    language, metadata = conversation.language, _metadata(redacted)
    for name, value in (("redacted_txt", text), ("redacted_srt", captions)):
        left = [
            Finding("remains", number, f"a value of the kind {kind} can be read", Severity.ERROR)
            for number, kind in enumerate(remaining(value, redacted, settings.redact, language), start=1)
        ]
        yield dg.MaterializeResult(
            asset_key=name, value=value, metadata=metadata, check_results=[check_result("redacted", name, left)]
        )
    yield dg.MaterializeResult(
        asset_key="redacted_audio",
        metadata=metadata | {"uri": dg.MetadataValue.url(files.uri(key)), "bytes": size},
        check_results=[check_result("redacted", "redacted_audio", heard)],
    )


def _found(conversation: Transcript, settings: Settings) -> Sequence[Found]:
    found = find(conversation.words, settings.redact, conversation.language)
    if settings.insights != "comprehend":
        return found
    return apart(found, find_by_comprehend(conversation.words, settings.redact, conversation.language))


def _silenced(store: ObjectStore, recording: str, redacted: Redaction, folder: Path) -> Path:
    key = object_key(recording, AUDIO_FILE)
    source = store.local_path(key)
    if source is None:
        source = folder / AUDIO_FILE
        store.download(key, source)
    target = folder / REDACTED_AUDIO_FILE
    write_silenced(source, target, redacted.spans)
    return target


def _metadata(redacted: Redaction) -> dict[str, dg.MetadataValue | int | float]:
    """How much was taken out, and where; never what it was."""
    rows = [(f"{start:.1f} to {end:.1f}",) for start, end in redacted.spans]
    kinds = [each.kind for each in redacted.found]
    counts = [(kind, str(kinds.count(kind))) for kind in dict.fromkeys(kinds)]
    return {
        "found": len(kinds),
        "silent_seconds": round(sum(end - start for start, end in redacted.spans), 1),
        **({"kinds": dg.MetadataValue.md(table(("kind", "found"), counts))} if counts else {}),
        **({"spans": dg.MetadataValue.md(table(("seconds",), rows))} if rows else {}),
    }
