"""What the language of a text says, whoever found it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from transcription_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class Language:
    """A language of the text."""

    #: ISO 639-1 code, or BCP 47 where the source says more.
    code: str
    #: Share of the text that is in it, 0 to 1; None where nobody measured.
    score: float | None


@dataclass(frozen=True, slots=True)
class KeyPhrase:
    """A phrase that tells what the text is about, at the characters `begin` up to, not including, `end`."""

    text: str
    #: 0 to 1, more is better; to be compared within one analyser only.
    score: float
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A person, place, date and the like, at the characters `begin` up to, not including, `end`."""

    text: str
    #: Comprehend's types: PERSON, LOCATION, ORGANIZATION, COMMERCIAL_ITEM, EVENT, DATE, QUANTITY, TITLE, OTHER.
    type: str
    score: float
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The mood of the whole text; the four scores add up to 1."""

    #: POSITIVE, NEGATIVE, NEUTRAL or MIXED.
    label: str
    positive: float
    negative: float
    neutral: float
    mixed: float


@dataclass(frozen=True, slots=True)
class Insights:
    """What an analyser found in a text. Offsets count characters (code points) of the whole text."""

    #: Who found it.
    analyser: str
    #: Most of the text first.
    languages: tuple[Language, ...] = ()
    entities: tuple[Entity, ...] = ()
    key_phrases: tuple[KeyPhrase, ...] = ()
    sentiment: Sentiment | None = None
    #: A sentence for each thing that could not be found out, and why.
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that stands in `insights.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Insights:
        """The insights in a document that `to_json` made."""
        sentiment = document["sentiment"]
        return cls(
            analyser=document["analyser"],
            languages=tuple(Language(**found) for found in document["languages"]),
            entities=tuple(Entity(**found) for found in document["entities"]),
            key_phrases=tuple(KeyPhrase(**found) for found in document["key_phrases"]),
            sentiment=Sentiment(**sentiment) if sentiment else None,
            notes=tuple(document["notes"]),
        )


class Analyser(Protocol):
    """Finds out what the language of a text says."""

    @property
    def name(self) -> str: ...

    def analyse(self, text: str, language: str) -> Insights:
        """`language` is what the speech model took the recording for."""
        ...


def open_analyser(settings: Settings) -> Analyser:
    """The analyser that the settings choose. Opening one does no I/O."""
    if settings.insights == "comprehend":
        from transcription_dagster.insights.comprehend import ComprehendAnalyser

        return ComprehendAnalyser()
    from transcription_dagster.insights.local import LocalAnalyser

    return LocalAnalyser()
