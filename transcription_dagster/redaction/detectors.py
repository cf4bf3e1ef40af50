"""The detectors of personal data: our patterns, and those that are chosen or installed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from transcription_dagster.model import Word
from transcription_dagster.redaction import comprehend
from transcription_dagster.redaction.comprehend import find_by_comprehend
from transcription_dagster.redaction.entities import OF_WORDS, mentions, merged_findings
from transcription_dagster.redaction.finding import KINDS, Found, find_patterns
from transcription_dagster.redaction.presidio import find_by_presidio, installed_model, presidio_version
from transcription_dagster.settings import Settings, presidio_installed


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds data of some kinds in the words of one language."""

    #: With versions, if they are known.
    name: str
    kinds: frozenset[str]
    #: Takes the words of a recording and the kinds to find; returns findings in order.
    find: Callable[[Sequence[Word], Collection[str]], list[Found]]


def detectors(language: str, settings: Settings) -> list[Detector]:
    """Return what detects the kinds of the settings in a language (ISO 639-1 or BCP 47), our patterns first."""
    code = language.partition("-")[0].lower()
    available = [Detector("patterns", frozenset(KINDS), partial(find_patterns, language=language))]
    if settings.insights == "comprehend" and code in comprehend.LANGUAGES:
        available.append(Detector("Comprehend", comprehend.KINDS, partial(find_by_comprehend, language=code)))
    model = installed_model(code) if presidio_installed() else None
    if model:
        name = f"Presidio {presidio_version()} with {model.package} {model.version}"
        available.append(Detector(name, model.kinds, partial(find_by_presidio, model=model)))
    return [each for each in available if not each.kinds.isdisjoint(settings.redact)]


def detect(words: Sequence[Word], kinds: Collection[str], used: Sequence[Detector]) -> list[Found]:
    """Return the findings of these kinds by all detectors, in order and disjoint; earlier detectors take precedence.

    Names and addresses that are found once are found wherever they are said.
    """
    found: list[Found] = []
    for detector in used if words else ():
        found = merged_findings(found, detector.find(words, kinds))
    texts = [word.text for word in words]
    phrases = [(each.kind, texts[each.first : each.stop]) for each in found if each.kind in OF_WORDS]
    return merged_findings(found, mentions(texts, phrases))


def undetectable(kinds: Collection[str], used: Sequence[Detector]) -> list[str]:
    """Return the kinds that no detector finds."""
    return [kind for kind in kinds if all(kind not in detector.kinds for detector in used)]
