"""Insights into a text and the protocol of the analysers that find them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from transcription_dagster.insights.speakers import SpeakerShare
from transcription_dagster.settings import Settings


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
            languages=tuple(Language(**found) for found in document["languages"]),
            entities=tuple(Entity(**found) for found in document["entities"]),
            key_phrases=tuple(KeyPhrase(**found) for found in document["key_phrases"]),
            sentiment=Sentiment(**sentiment) if sentiment else None,
            notes=tuple(document["notes"]),
            speakers=tuple(SpeakerShare(**share) for share in document.get("speakers", ())),
        )


class Analyser(Protocol):
    """Finds languages, key phrases, entities and sentiment in a text."""

    @property
    def name(self) -> str: ...

    def analyse(self, text: str, language: str) -> Insights:
        """Analyse a text; `language` is the recording's language according to the speech model."""
        ...


def open_analyser(settings: Settings) -> Analyser:
    """Return the analyser that the settings choose. Does no I/O."""
    if settings.insights == "comprehend":
        from transcription_dagster.insights.comprehend import ComprehendAnalyser

        return ComprehendAnalyser()
    from transcription_dagster.insights.local import LocalAnalyser

    return LocalAnalyser()
