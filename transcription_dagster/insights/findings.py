"""Insights into a text: what an analyser finds in it, and each speaker's share of the talk and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from transcription_dagster.language.sentences import sentences
from transcription_dagster.model import Word
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker
from transcription_dagster.transcripts.plain_text import join_words

_QUESTION_MARKS = ("?", "？", "؟", "⁇", ";")
_CLOSING = "\"'”’»)]」』"


@dataclass(frozen=True, slots=True)
class SpeakerShare:
    """What one speaker contributes to a recording."""

    speaker: str
    #: Seconds of the speaker's words, and their share of the time of all words, 0 to 1.
    seconds: float
    share: float
    words: int
    turns: int
    #: Sentences that end with a question mark.
    questions: int


@dataclass(frozen=True, slots=True)
class Language:
    """One language of a text."""

    #: ISO 639-1 code, or a BCP 47 tag if the source is more specific.
    code: str
    #: Its share of the text, 0 to 1; None if it was not measured.
    score: float | None


@dataclass(frozen=True, slots=True)
class KeyPhrase:
    """A phrase that the text is about, at the characters [`begin`, `end`)."""

    text: str
    #: 0 to 1, higher is better; comparable only within one analyser.
    score: float
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A person, place, date or the like, at the characters [`begin`, `end`)."""

    text: str
    #: Comprehend's types: PERSON, LOCATION, ORGANIZATION, COMMERCIAL_ITEM, EVENT, DATE, QUANTITY, TITLE, OTHER.
    type: str
    score: float
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The sentiment of the whole text; the four scores sum to 1."""

    #: POSITIVE, NEGATIVE, NEUTRAL or MIXED.
    label: str
    positive: float
    negative: float
    neutral: float
    mixed: float


@dataclass(frozen=True, slots=True)
class Insights:
    """The findings of an analyser. Offsets count code points of the whole text."""

    #: Name of the analyser.
    analyser: str
    #: Largest share first.
    languages: tuple[Language, ...] = ()
    entities: tuple[Entity, ...] = ()
    key_phrases: tuple[KeyPhrase, ...] = ()
    sentiment: Sentiment | None = None
    #: A sentence for each missing finding, with the reason.
    notes: tuple[str, ...] = ()
    #: Most time first; empty if the speakers are unknown.
    speakers: tuple[SpeakerShare, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of `insights.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Insights:
        """Read the document that `to_json` writes."""
        sentiment = document["sentiment"]
        return cls(
            analyser=document["analyser"],
            languages=tuple(Language(**language) for language in document["languages"]),
            entities=tuple(Entity(**entity) for entity in document["entities"]),
            key_phrases=tuple(KeyPhrase(**phrase) for phrase in document["key_phrases"]),
            sentiment=Sentiment(**sentiment) if sentiment else None,
            notes=tuple(document["notes"]),
            speakers=tuple(SpeakerShare(**share) for share in document.get("speakers", ())),
        )


def speaker_shares(words: Sequence[Word], language: str) -> tuple[SpeakerShare, ...]:
    """Return the share of each speaker, most time first; empty if the speakers are unknown.

    `language` decides whether `;` is a question mark, as in Greek.
    """
    marks = _QUESTION_MARKS if language.startswith("el") else _QUESTION_MARKS[:-1]
    turns = [(speaker, list(turn)) for speaker, turn in groupby(in_turns(words), key=lambda word: word.speaker)]
    total = sum(word.end - word.start for word in words)
    shares = []
    for speaker in dict.fromkeys(speaker for speaker, _ in turns if speaker):
        turns_of_speaker = [turn for other, turn in turns if other == speaker]
        seconds = sum(word.end - word.start for turn in turns_of_speaker for word in turn)
        shares.append(
            SpeakerShare(
                speaker=shown_speaker(speaker),
                seconds=round(seconds, 3),
                share=round(seconds / total, 4) if total else 0.0,
                words=sum(len(turn) for turn in turns_of_speaker),
                turns=len(turns_of_speaker),
                questions=sum(_questions(join_words(turn), marks) for turn in turns_of_speaker),
            )
        )
    return tuple(sorted(shares, key=lambda share: -share.seconds))


def _questions(text: str, marks: tuple[str, ...]) -> int:
    return sum(sentence.rstrip(_CLOSING).endswith(marks) for sentence in sentences(text))
