"""A transcript in turns, with its gaps, removed text and edits: what the page of a recording shows (`reading.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Transcript, Word
from transcription_dagster.transcripts.conversation import in_turns
from transcription_dagster.transcripts.plain_text import paragraph_starts

#: Fields of a reading that are lists of values.
_LISTS = ("removed", "doubtful", "gaps", "edits")


@dataclass(frozen=True, slots=True)
class Turn:
    """One paragraph: words `first` up to but excluding `stop`, all of one speaker."""

    first: int
    stop: int
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class SignedEdit:
    """A replacement of the words `first` to `last`, both included, with its author.

    `kind` is the reason: a term of the vocabulary, punctuation, casing, a mishearing or a disfluency.
    """

    first: int
    last: int
    old: str
    new: str
    kind: str
    author: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The words of a recording in turns, and the edits of its refined text; times in seconds from its start."""

    recording: str
    words: tuple[Word, ...]
    turns: tuple[Turn, ...]
    language: str = "en"
    duration: float = 0.0
    model: str = ""
    removed: tuple[RemovedSpeech, ...] = ()
    doubtful: tuple[DoubtfulSpeech, ...] = ()
    gaps: tuple[Gap, ...] = ()
    #: In order, without overlap.
    edits: tuple[SignedEdit, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns if turn.speaker is not None))


def reading_of(transcript: Transcript, edits: Sequence[SignedEdit] = ()) -> Reading:
    """Return the machine's words in turns, with the edits of the refined text."""
    return Reading(
        recording=transcript.recording,
        words=transcript.words,
        turns=_turns_of(transcript.words),
        language=transcript.language,
        duration=transcript.duration,
        model=transcript.model,
        removed=transcript.removed,
        doubtful=transcript.doubtful,
        gaps=transcript.gaps,
        edits=tuple(edits),
    )


def _turns_of(words: Sequence[Word]) -> tuple[Turn, ...]:
    """Return turns, one per paragraph. A word without a certain speaker does not begin one."""
    ordered = in_turns(words)
    starts = paragraph_starts(ordered)
    stops = (*starts[1:], len(ordered))
    return tuple(Turn(first, stop, ordered[first].speaker) for first, stop in zip(starts, stops, strict=False))


def write_reading(reading: Reading) -> bytes:
    """Write a reading as JSON by columns: the transcript's own layout takes ten times as long to read.

    Times are kept to the millisecond, confidences to the percent.
    """
    words = reading.words
    content = {
        "recording": reading.recording,
        "language": reading.language,
        "duration": reading.duration,
        "model": reading.model,
        "texts": [word.text for word in words],
        "starts_ms": [round(word.start * 1000) for word in words],
        "ends_ms": [round(word.end * 1000) for word in words],
        "confidences": [round(word.confidence * 100) for word in words],
        "glued": [number for number, word in enumerate(words) if word.glued],
        "turns": [(turn.first, turn.stop, turn.speaker) for turn in reading.turns],
        **{name: [asdict(value) for value in getattr(reading, name)] for name in _LISTS},
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_reading(document: bytes) -> Reading:
    """Read the output of `write_reading`."""
    content = json.loads(document)
    turns = tuple(Turn(*turn) for turn in content["turns"])
    return Reading(
        recording=content["recording"],
        words=_words(content, turns),
        turns=turns,
        language=content["language"],
        duration=content["duration"],
        model=content["model"],
        removed=tuple(RemovedSpeech(**_with_witnesses(fields)) for fields in content["removed"]),
        doubtful=tuple(DoubtfulSpeech(**_with_witnesses(fields)) for fields in content["doubtful"]),
        gaps=tuple(Gap(**fields) for fields in content["gaps"]),
        edits=tuple(SignedEdit(**fields) for fields in content["edits"]),
    )


def _words(content: Mapping[str, Any], turns: Sequence[Turn]) -> tuple[Word, ...]:
    glued = set(content["glued"])
    speakers = [turn.speaker for turn in turns for _ in range(turn.first, turn.stop)]
    columns = zip(
        content["texts"], content["starts_ms"], content["ends_ms"], content["confidences"], speakers, strict=True
    )
    # Equal texts and confidences share one object: the words of ten hours take 15 MB instead of 23.
    texts: dict[str, str] = {}
    confidences = [percent / 100 for percent in range(101)]
    return tuple(
        Word(texts.setdefault(text, text), start / 1000, end / 1000, confidences[confidence], number in glued, speaker)
        for number, (text, start, end, confidence, speaker) in enumerate(columns)
    )


def _with_witnesses(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, "witnesses": tuple(fields["witnesses"])}
