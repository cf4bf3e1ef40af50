"""The analysers of texts: their protocol, and the one that the settings choose."""

from __future__ import annotations

from typing import Protocol

from transcription_dagster.insights.findings import Insights
from transcription_dagster.settings import Settings


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
