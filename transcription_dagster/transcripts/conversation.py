"""Assign a speaker to each word of a transcript, from the speakers' turns or the recording's channels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from transcription_dagster.model import SpeakerTurn, Transcript, Word

#: A word in the gap between two turns of one speaker is that speaker's if the gap is at most this long, in seconds.
_LONGEST_GAP = 1.0
#: If two speakers talk during a word, it is assigned to the one with more time only if it has this share more.
_CLEARLY_MORE = 1.1
_LABEL = re.compile(r"(?:ch_(\d+)/?)?(?:spk_(\d+))?", re.ASCII)


def with_speakers(transcript: Transcript, turns: Sequence[SpeakerTurn], names: Sequence[str] = ()) -> Transcript:
    """Return the transcript with the speaker of each word.

    Words with a speaker keep it: those of a recording with one voice per channel, or of an imported transcript. Each of
    the others gets the speaker whose turns overlap it most, or None if that is uncertain. `names` are those of the
    channels, or of the speakers in the order of their labels.
    """
    words = transcript.words
    if not any(word.speaker for word in words):
        speakers = _speakers(words, turns)
        words = tuple(replace(word, speaker=speaker) for word, speaker in zip(words, speakers, strict=True))
    name_of = {f"{prefix}_{number}": name for number, name in enumerate(names) for prefix in ("ch", "spk")}
    return replace(transcript, words=tuple(_with_name(word, name_of) for word in words))


def shown_speaker(speaker: str) -> str:
    """Return a speaker in readable form: a name as it is, and a label such as `spk_0` as "Speaker 1"."""
    label = _LABEL.fullmatch(speaker)
    if label is None:
        return speaker
    channel, number = label.groups()
    parts = ([f"Channel {int(channel) + 1}"] if channel else []) + ([f"Speaker {int(number) + 1}"] if number else [])
    return ", ".join(parts)


def is_label(speaker: str) -> bool:
    """Return True for a label such as `spk_0` or `ch_1`, False for a name."""
    return _LABEL.fullmatch(speaker) is not None


def in_turns(words: Sequence[Word]) -> Sequence[Word]:
    """Return words that all have a speaker if any has: a word without one gets that of the surrounding turn."""
    speaker = next((word.speaker for word in words if word.speaker), None)
    if speaker is None or all(word.speaker for word in words):
        return words
    completed = []
    for word in words:
        speaker = word.speaker or speaker
        completed.append(word if word.speaker else replace(word, speaker=speaker))
    return completed


def _with_name(word: Word, name_of: Mapping[str, str]) -> Word:
    name = name_of.get(word.speaker or "")
    return word if name is None else replace(word, speaker=name)


def _speakers(words: Sequence[Word], turns: Sequence[SpeakerTurn]) -> Iterator[str | None]:
    """Yield the speaker of each word; words and starts of turns must be in order of time."""
    upcoming = iter(turns)
    following = next(upcoming, None)
    current: list[SpeakerTurn] = []
    ended: SpeakerTurn | None = None
    speaker: str | None = None
    for word in words:
        while following is not None and following.start < word.end:
            current.append(following)
            following = next(upcoming, None)
        over = [turn for turn in current if turn.end <= word.start]
        ended = max([*over, *([ended] if ended else [])], key=lambda turn: turn.end, default=None)
        current = [turn for turn in current if turn.end > word.start]
        speaker = _speaker(word, current, before=speaker) if current else _between(ended, following)
        yield speaker


def _speaker(word: Word, turns: Sequence[SpeakerTurn], *, before: str | None) -> str | None:
    """Return the speaker with the most time in a word; if two are almost equal, the previous speaker or None."""
    seconds: dict[str, float] = {}
    for turn in turns:
        overlap = min(word.end, turn.end) - max(word.start, turn.start)
        seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + max(0.0, overlap)
    first, *others = sorted(seconds, key=lambda speaker: -seconds[speaker])
    rivals = [first, *(other for other in others if seconds[other] * _CLEARLY_MORE >= seconds[first])]
    if len(rivals) == 1:
        return first
    return before if before in rivals else None


def _between(ended: SpeakerTurn | None, following: SpeakerTurn | None) -> str | None:
    """Return the speaker of a word outside all turns: one who speaks both before and after it."""
    if ended is None or following is None or ended.speaker != following.speaker:
        return None
    return ended.speaker if following.start - ended.end <= _LONGEST_GAP else None
