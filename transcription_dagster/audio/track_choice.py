"""Choose which audio tracks of a recording to transcribe, and say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.stream import Disposition

from transcription_dagster.errors import UnusableAudio
from transcription_dagster.language.codes import base_language

#: Audio tracks of a source. Each that is mixed has a demuxer of its own, which has a decoder for every track: 900 of
#: them need 8 GB.
_MAX_TRACKS = 128

#: Tracks that accompany another one, such as commentary or audio description.
_SECONDARY = (
    Disposition.comment
    | Disposition.hearing_impaired
    | Disposition.visual_impaired
    | Disposition.descriptions
    | Disposition.karaoke
    | Disposition.non_diegetic
)


@dataclass(frozen=True, slots=True)
class TrackChoice:
    """The tracks to transcribe, by index in the container; several are mixed."""

    indexes: tuple[int, ...]
    #: Explains the choice; empty if the container has a single audio track.
    note: str = ""


def track_choices(container: InputContainer, language: str | None) -> Sequence[TrackChoice]:
    """Return choices of tracks, best first; later ones are fallbacks for tracks that do not decode.

    Tracks in `language` (a BCP 47 tag or ISO 639 code) come first. Several mono tracks of one kind are mixed: broadcast
    recorders write the channels of a recording that way.
    Raises `UnusableAudio` if no track has a decoder, or if there are too many.
    """
    tracks = [track for track in container.streams.audio if _has_decoder(track)]
    if not tracks:
        raise UnusableAudio(_why_no_track(container))
    total = len(container.streams.audio)
    if total > _MAX_TRACKS:
        raise UnusableAudio(f"the source has {total} audio tracks, more than the limit of {_MAX_TRACKS}")
    best = container.streams.best("audio")
    ranked = sorted(tracks, key=lambda track: (*_rank(track, language), track is not best, track.index))
    if total == 1:
        return [TrackChoice((ranked[0].index,))]
    choices = [TrackChoice((track.index,), _choice_note(track, total, language)) for track in ranked]
    channels = _channels_of_one_recording(tracks)
    if channels:
        names = f"audio tracks 1 to {total} are mixed: they are mono and of one kind, as the channels of one recording"
        choices.insert(0, TrackChoice(tuple(track.index for track in channels), names))
    return choices


def _has_decoder(track: av.AudioStream) -> bool:
    # PyAV sets no codec context if FFmpeg has no decoder.
    return getattr(track, "codec_context", None) is not None


def _why_no_track(container: InputContainer) -> str:
    if container.streams.audio:
        return "the source's audio is in a codec that cannot be decoded"
    kinds = sorted({stream.type or "unknown" for stream in container.streams}) or ["nothing"]
    return f"the source has no audio stream, only {', '.join(kinds)}"


def _rank(track: av.AudioStream, language: str | None) -> tuple[bool, bool, bool]:
    secondary = bool(track.disposition & _SECONDARY)
    return not _is_in_language(track, language), secondary, not track.disposition & Disposition.default


def _is_in_language(track: av.AudioStream, language: str | None) -> bool:
    spoken = _language(track)
    return language is not None and spoken is not None and spoken == base_language(language)


def _language(track: av.AudioStream) -> str | None:
    tag = track.metadata.get("language", "")
    return base_language(tag) if tag and tag not in ("und", "mul", "zxx", "mis") else None


def _channels_of_one_recording(tracks: Sequence[av.AudioStream]) -> Sequence[av.AudioStream]:
    """Return the tracks if all are mono with one codec and rate, and none is marked as an alternative."""
    kinds = {
        (track.codec_context.name, track.codec_context.sample_rate, track.codec_context.channels) for track in tracks
    }
    languages = {_language(track) for track in tracks}
    if len(tracks) < 2 or len(kinds) != 1 or len(languages) != 1 or any(t.disposition & _SECONDARY for t in tracks):
        return ()
    return tracks if next(iter(kinds))[2] == 1 else ()


def _choice_note(track: av.AudioStream, total: int, language: str | None) -> str:
    audio = track.container.streams.audio
    others = ", ".join(_description(other, number) for number, other in enumerate(audio, 1) if other is not track)
    number = [stream.index for stream in audio].index(track.index) + 1
    why = ", which is in the recording's language" if _is_in_language(track, language) else ""
    return f"of {total} audio tracks the source's {_description(track, number)} is used{why}; the others are {others}"


def _description(track: av.AudioStream, number: int) -> str:
    codec = track.codec_context.name if _has_decoder(track) else "no decoder"
    details = filter(None, [track.metadata.get("title", ""), _language(track), codec])
    return f"track {number} ({', '.join(details)})"
