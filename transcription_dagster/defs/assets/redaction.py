"""The redacted files of a recording; these assets exist if TRANSCRIPTION_REDACT names kinds."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import dagster as dg

from transcription_dagster.audio.flac import audible_spans, write_silenced
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.quality import Finding, Severity
from transcription_dagster.captions.subtitles import read_srt, read_vtt, to_srt, to_vtt
from transcription_dagster.corrections.manuscript import Manuscript, load_corrected
from transcription_dagster.corrections.reading import Passage
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import check_result, table
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import AUDIO_FILE, REDACTED_AUDIO_FILE, unless_forgotten
from transcription_dagster.defs.versions import REFRESH_OR_ADD, from_cues
from transcription_dagster.errors import DataRemains
from transcription_dagster.model import Audio, Cue, Transcript, Word
from transcription_dagster.redaction.detectors import Detector, detect, detectors, undetectable
from transcription_dagster.redaction.removal import (
    Redaction,
    SpokenData,
    disjoint,
    in_corrected_words,
    redact,
    remaining,
    without_names,
)
from transcription_dagster.settings import Settings, presidio_installed
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.store.scratch import scratch_folder
from transcription_dagster.transcripts.plain_text import join_words, to_text, without_speakers

#: Each asset's kind and description.
_ASSETS = {
    "redacted_txt": (
        "text",
        "The corrected text with marks such as `[card]` in place of sensitive data (`redacted.txt`).",
    ),
    "redacted_json": ("json", "The same word by word, with times and speakers (`redacted.json`, Amazon's layout)."),
    "redacted_srt": ("srt", "Captions with these marks (`redacted.srt`)."),
    "redacted_vtt": ("webvtt", "Captions with these marks and the speakers (`redacted.vtt`)."),
    "redacted_audio": ("flac", "The audio, silent during these words (`redacted.flac`)."),
}
NAMES = tuple(_ASSETS)
#: Kinds of the binary assets' values; the others are texts.
_TYPES = {"redacted_json": Transcript, "redacted_audio": dg.Nothing}


def redaction_code_version(settings: Settings) -> str:
    """Return the code version, which includes the kinds and the detectors, but not the versions of their models."""
    presidio = "-presidio" if presidio_installed() else ""
    return from_cues(f"6-{'-'.join(sorted(settings.redact))}-{settings.insights}{presidio}")


@dg.multi_asset(
    name="redaction",
    partitions_def=recordings,
    group_name="redaction",
    outs={
        name: dg.AssetOut(
            description=description,
            kinds={kind},
            automation_condition=REFRESH_OR_ADD,
            dagster_type=_TYPES.get(name, str),
        )
        for name, (kind, description) in _ASSETS.items()
    },
    # Only the freshness of the text matters here: its value has no times.
    deps=["corrected_txt"],
    check_specs=[
        dg.AssetCheckSpec(
            "redacted", asset=name, partitions_def=recordings, description="No removed value remains in the file."
        )
        for name in NAMES
    ],
)
def redaction(
    context: dg.AssetExecutionContext,
    audio: Audio,
    conversation: Transcript,
    refined_txt: str,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # pyright: ignore[reportMissingTypeArgument]  Dagster would read it as a tuple
    with reported_failures():
        now = load_corrected(catalogue.engine, Manuscript.of(conversation, refined_txt)).reading
        passages = list(now.passages())
        used = detectors(conversation.language, settings)
        redacted = _redacted(conversation, passages, settings.redact, used)
        missed = undetectable(settings.redact, used) if conversation.words else []
    values = _values(conversation, redacted.words)
    metadata = _metadata(redacted, used, missed)
    with reported_failures(), scratch_folder(settings) as folder:
        files, key = store.open(), object_key(audio.recording, REDACTED_AUDIO_FILE)
        flac = _silenced(files, audio.recording, redacted, folder)
        readable = {
            name: remaining(read, redacted, settings.redact, conversation.language)
            for name, (_, read) in values.items()
        }
        checked = _checked(readable, audible_spans(flac, redacted.spans), missed, conversation.language)
        if settings.publish == "redacted" and any(
            finding.severity is Severity.ERROR for finding in chain(*checked.values())
        ):
            # Before anything is stored, which programs could read.
            yield from (check_result("redacted", name, findings) for name, findings in checked.items())
            raise DataRemains(
                "data remains in the redacted files, so that they are not published: see the check redacted"
            )
        with unless_forgotten(catalogue.engine, files, audio.recording, key):
            files.put_file(key, flac)
        size = flac.stat().st_size
    results = {name: check_result("redacted", name, findings) for name, findings in checked.items()}
    for name, (value, _) in values.items():
        yield dg.MaterializeResult(asset_key=name, value=value, metadata=metadata, check_results=[results[name]])
    yield dg.MaterializeResult(
        asset_key="redacted_audio",
        metadata=metadata | {"uri": dg.MetadataValue.url(files.uri(key)), "bytes": size},
        check_results=[results["redacted_audio"]],
    )


def _checked(
    readable: Mapping[str, Sequence[str]],
    audible: Sequence[tuple[float, float]],
    missed: Sequence[str],
    language: str,
) -> dict[str, list[Finding]]:
    """Return the findings of the check by asset: what can be read or heard, and the kinds that were not searched."""
    unsearched = [
        Finding("not searched", number, f"nothing here detects the kind {kind} in {language!r}", Severity.WARN)
        for number, kind in enumerate(missed, start=1)
    ]
    messages_by_asset = {
        name: [f"a value of the kind {kind} can be read" for kind in kinds] for name, kinds in readable.items()
    }
    messages_by_asset["redacted_audio"] = [f"{start:.1f} s to {end:.1f} s can be heard" for start, end in audible]
    return {
        name: [
            *(Finding("remains", number, message, Severity.ERROR) for number, message in enumerate(messages, start=1)),
            *unsearched,
        ]
        for name, messages in messages_by_asset.items()
    }


def _redacted(
    conversation: Transcript, passages: Sequence[Passage], kinds: Sequence[str], used: Sequence[Detector]
) -> Redaction:
    """Return the corrected words without the data that is detected in them or in the machine's words."""
    words = [word for passage in passages for word in passage.words]
    in_audio = detect(conversation.words, kinds, used)
    # Detectors can be slow and can cost money.
    in_text = in_audio if words == list(conversation.words) else detect(words, kinds, used)
    if "name" in kinds:
        words = list(without_names(words))
    detections = disjoint([*in_text, *in_corrected_words(in_audio, passages)])
    spoken = [SpokenData(finding.kind, conversation.words[finding.first : finding.stop]) for finding in in_audio]
    spoken += _in_removed_speech(conversation, kinds, used)
    return redact(words, detections, conversation.duration, spoken)


def _in_removed_speech(
    conversation: Transcript, kinds: Sequence[str], used: Sequence[Detector]
) -> Iterator[SpokenData]:
    """Yield the data in speech that was removed from the transcript: if it was spoken after all, the audio has it."""
    for removed in conversation.removed:
        words = [Word(text, removed.start, removed.end) for text in removed.text.split()]
        yield from (
            SpokenData(finding.kind, tuple(words[finding.first : finding.stop]))
            for finding in detect(words, kinds, used)
        )


def _values(conversation: Transcript, words: tuple[Word, ...]) -> dict[str, tuple[str | Transcript, str]]:
    """Return the value of each text asset, and the words that can still be read in it.

    These are read back without speakers, cue numbers and times, which could look like spoken numbers.
    """
    cues = make_cues(words, duration=conversation.duration)
    text, srt, vtt = to_text(words), to_srt(cues), to_vtt(cues)
    # Only the words: removed and doubtful text was not searched for personal data.
    transcript = Transcript(
        conversation.recording,
        words,
        language=conversation.language,
        duration=conversation.duration,
        model=conversation.model,
    )
    return {
        "redacted_txt": (text, without_speakers(text)),
        "redacted_json": (transcript, join_words(words)),
        "redacted_srt": (srt, _lines(read_srt(srt))),
        "redacted_vtt": (vtt, _lines(read_vtt(vtt))),
    }


def _lines(cues: Sequence[Cue]) -> str:
    return "\n".join(line for cue in cues for line in cue.lines)


def _silenced(store: ObjectStore, recording: str, redacted: Redaction, folder: Path) -> Path:
    target = folder / REDACTED_AUDIO_FILE
    write_silenced(store.file(object_key(recording, AUDIO_FILE), folder), target, redacted.spans)
    return target


def _metadata(
    redacted: Redaction, used: Sequence[Detector], missed: Sequence[str]
) -> dict[str, dg.MetadataValue | int | float | str]:
    """Return how much was removed, where and by which detectors, but never its content."""
    rows = [(f"{start:.1f} to {end:.1f}",) for start, end in redacted.spans]
    kinds = [finding.kind for finding in redacted.detections]
    counts = [(kind, str(kinds.count(kind))) for kind in dict.fromkeys(kinds)]
    return {
        "detectors": ", ".join(detector.name for detector in used) or "none",
        **({"not_searched": ", ".join(missed)} if missed else {}),
        "found": len(kinds),
        "silent_seconds": round(sum(end - start for start, end in redacted.spans), 1),
        **({"kinds": dg.MetadataValue.md(table(("kind", "found"), counts))} if counts else {}),
        **({"spans": dg.MetadataValue.md(table(("seconds",), rows))} if rows else {}),
    }
