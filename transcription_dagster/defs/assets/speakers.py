"""The diarization stage: who speaks when."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording
from transcription_dagster.database.voice_prints import VoicePrint, replace_voice_prints
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import table
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, InferenceResource
from transcription_dagster.model import BUILT_IN_DIARIZER, Audio, Speakers, SpeakerTurn, speaker_limits
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.settings import Settings
from transcription_dagster.transcripts.plain_text import clock

_OFF = "TRANSCRIPTION_SPEAKERS, or the recording's worklist, says off."

_BY_CHANNEL = "Each channel of the recording holds one speaker."


def speakers_code_version(settings: Settings) -> str:
    """Return the code version, which includes the settings, so that recordings made with others show as stale."""
    diarizer = "" if settings.diarizer == BUILT_IN_DIARIZER else f"-{settings.diarizer}"
    return f"1-{settings.speakers}{diarizer}"


@dg.asset(
    partitions_def=recordings,
    group_name="transcription",
    kinds={"torch", "json"},
    # Ordered after the transcript, on which more assets depend.
    op_tags={GPU_TAG: ANY_GPU, "dagster/priority": "-1"},
    description="Who speaks when (`speakers.json`): turns with times, by the voices alone.",
)
def speakers(
    context: dg.AssetExecutionContext,
    audio: Audio,
    catalogue: CatalogueResource,
    inference: InferenceResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Speakers]:
    with reported_failures():
        registered = catalogue.recording(context.partition_key)
        limits = speaker_limits(registered.speakers or settings.speakers)
        if limits.mode == "off":
            return dg.MaterializeResult(
                value=Speakers(audio.recording, skipped=_OFF), metadata={"speakers": 0, "note": _OFF}
            )
        if audio.flac_channels > 1:
            value = Speakers(audio.recording, by_channel=True, skipped=_BY_CHANNEL)
            return dg.MaterializeResult(value=value, metadata={"speakers": audio.flac_channels, "note": _BY_CHANNEL})
        keeps = settings.voice_prints
        answer = inference.diarize(context, audio, limits, voices=keeps)
        prints = _store_voices(catalogue.engine, audio.recording, answer.result) if keeps else ()
    value = _with_names(audio.recording, registered, prints, answer.result)
    return dg.MaterializeResult(value=value, metadata=_metadata(value, answer) | _suggestions(prints))


def _store_voices(engine: Engine, recording: str, result: Mapping[str, Any]) -> Sequence[VoicePrint]:
    """Store the voices of the recording, and match them with named people."""
    seconds = _spoken(result["turns"])
    voices = {label: (seconds[label], vector) for label, vector in result["voices"].items()}
    return replace_voice_prints(engine, recording, result["model"], voices)


def _spoken(turns: Iterable[tuple[float, float, str]]) -> Mapping[str, float]:
    """Return the seconds of speech of each speaker."""
    seconds: dict[str, float] = defaultdict(float)
    for start, end, speaker in turns:
        seconds[speaker] += end - start
    return seconds


def _with_names(
    recording: str, registered: Recording, prints: Sequence[VoicePrint], result: Mapping[str, Any]
) -> Speakers:
    """Return the speakers with names: those of the recording in order of first appearance, otherwise those matched by
    voice.
    """
    by_voice = ((voice.label, voice.name) for voice in prints)
    names = {label: name for label, name in by_voice if name is not None and name not in registered.speaker_names}
    names |= {f"spk_{number}": name for number, name in enumerate(registered.speaker_names)}
    diarized: Sequence[tuple[float, float, str]] = result["turns"]
    turns = tuple(SpeakerTurn(start, end, names.get(label, label)) for start, end, label in diarized)
    return Speakers(recording, turns, model=result["model"], skipped=result["skipped"])


def _suggestions(prints: Sequence[VoicePrint]) -> dict[str, Any]:
    unsure = [voice for voice in prints if voice.person is not None and voice.name is None]
    rows = [(voice.label, voice.person or "", f"{voice.similarity:.2f}") for voice in unsure]
    return {"suggestions": dg.MetadataValue.md(table(("speaker", "may be", "similarity"), rows))} if rows else {}


def _metadata(value: Speakers, answer: InferenceAnswer) -> dict[str, Any]:
    seconds = _spoken((turn.start, turn.end, turn.speaker) for turn in value.turns)
    shares = [(speaker, f"{spoken:.1f}") for speaker, spoken in sorted(seconds.items(), key=lambda item: -item[1])]
    turns = [(clock(turn.start), f"{turn.end - turn.start:.1f}", turn.speaker) for turn in value.turns]
    return {
        "speakers": len(seconds),
        "turns": len(value.turns),
        "model": value.model,
        "gpu_wait_seconds": round(answer.waited_seconds, 3),
        "gpu_seconds": round(answer.gpu_seconds, 3),
        **({"shares": dg.MetadataValue.md(table(("speaker", "seconds"), shares))} if shares else {}),
        **({"preview": dg.MetadataValue.md(table(("time", "seconds", "speaker"), turns))} if turns else {}),
        **({"note": value.skipped} if value.skipped else {}),
    }
