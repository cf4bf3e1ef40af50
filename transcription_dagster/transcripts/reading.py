"""A transcript as people read it: turns of speakers, and between them what the model heard and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Transcript, Word
from transcription_dagster.transcripts.paragraphs import paragraph_starts


@dataclass(frozen=True, slots=True)
class Turn:
    """One paragraph: words `first` up to, not including, `stop`, all said by one speaker."""

    first: int
    stop: int
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One wording of a recording in turns; times in seconds from its start."""

    recording: str
    words: tuple[Word, ...]
    turns: tuple[Turn, ...]
    language: str = "en"
    duration: float = 0.0
    model: str = ""
    removed: tuple[RemovedSpeech, ...] = ()
    doubtful: tuple[DoubtfulSpeech, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers in the order in which they first speak."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns if turn.speaker is not None))


def reading_of(transcript: Transcript) -> Reading:
    """The machine's own words in turns."""
    return Reading(
        recording=transcript.recording,
        words=transcript.words,
        turns=turns_of(transcript.words),
        language=transcript.language,
        duration=transcript.duration,
        model=transcript.model,
        removed=transcript.removed,
        doubtful=transcript.doubtful,
        gaps=transcript.gaps,
    )


def turns_of(words: Sequence[Word]) -> tuple[Turn, ...]:
    """The turns of some words: a new one wherever a paragraph begins."""
    starts = paragraph_starts(words)
    stops = (*starts[1:], len(words))
    return tuple(Turn(first, stop, words[first].speaker) for first, stop in zip(starts, stops, strict=False))
