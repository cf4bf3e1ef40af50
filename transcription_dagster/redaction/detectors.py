"""The detectors of personal data: our patterns, and AWS Comprehend or Microsoft Presidio if they are available.

Comprehend's `DetectPiiEntities` takes texts of up to 100 KB in English or Spanish
(https://docs.aws.amazon.com/comprehend/latest/dg/how-pii.html). It and Presidio also detect names and postal addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.model import Word
from transcription_dagster.redaction.entities import (
    OF_WORDS,
    EntitySpan,
    entities_in_words,
    mentions,
    merged_detections,
)
from transcription_dagster.redaction.patterns import KINDS, Detection, find_patterns
from transcription_dagster.redaction.presidio import find_by_presidio, installed_model, presidio_version
from transcription_dagster.settings import Settings, presidio_installed

_COMPREHEND_LANGUAGES = frozenset({"en", "es"})
#: Bytes of UTF-8 per call; entities are short, and pieces end with a sentence.
_COMPREHEND_BYTES = 50_000
#: Comprehend's types by our kinds.
_COMPREHEND_KINDS: Mapping[str, str] = {
    "NAME": "name",
    "ADDRESS": "address",
    "CREDIT_DEBIT_NUMBER": "card",
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER": "iban",
    "EMAIL": "email",
    "PHONE": "phone",
    "SSN": "ssn",
    "BANK_ACCOUNT_NUMBER": "digits",
    "PIN": "digits",
    "CREDIT_DEBIT_CVV": "digits",
}


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds data of some kinds in the words of one language."""

    #: With versions, if they are known.
    name: str
    kinds: frozenset[str]
    #: Takes the words of a recording and the kinds to find; returns detections in order.
    find: Callable[[Sequence[Word], Collection[str]], list[Detection]]


def detectors(language: str, settings: Settings) -> list[Detector]:
    """Return the detectors of the settings' kinds in a language (ISO 639-1 or BCP 47), our patterns first."""
    code = language.partition("-")[0].lower()
    available = [Detector("patterns", frozenset(KINDS), partial(find_patterns, language=language))]
    if settings.insights == "comprehend" and code in _COMPREHEND_LANGUAGES:
        available.append(
            Detector("Comprehend", frozenset(_COMPREHEND_KINDS.values()), partial(find_by_comprehend, language=code))
        )
    model = installed_model(code) if presidio_installed() else None
    if model:
        name = f"Presidio {presidio_version()} with {model.package} {model.version}"
        available.append(Detector(name, model.kinds, partial(find_by_presidio, model=model)))
    return [each for each in available if not each.kinds.isdisjoint(settings.redact)]


def detect(words: Sequence[Word], kinds: Collection[str], used: Sequence[Detector]) -> list[Detection]:
    """Return the data of these kinds that any detector finds, in order and disjoint; earlier detectors take precedence.

    A name or address that is detected once is detected wherever it is spoken.
    """
    detections: list[Detection] = []
    for detector in used if words else ():
        detections = merged_detections(detections, detector.find(words, kinds))
    texts = [word.text for word in words]
    phrases = [(each.kind, texts[each.first : each.stop]) for each in detections if each.kind in OF_WORDS]
    return merged_detections(detections, mentions(texts, phrases))


def undetectable(kinds: Collection[str], used: Sequence[Detector]) -> list[str]:
    """Return the kinds that no detector finds."""
    return [kind for kind in kinds if all(kind not in detector.kinds for detector in used)]


def find_by_comprehend(words: Sequence[Word], kinds: Collection[str], language: str) -> list[Detection]:
    """Return what Comprehend finds of these kinds, in order; `language` is `en` or `es`.

    Raises `ServiceRefused` or `ServiceUnavailable`.
    """
    client = aws_client("comprehend", retries="adaptive")

    def detect(text: str) -> Iterable[EntitySpan]:
        with aws_errors("Could not detect PII entities with Comprehend"):
            answer = client.detect_pii_entities(Text=text, LanguageCode=language)
        return [
            EntitySpan(each["BeginOffset"], each["EndOffset"], _COMPREHEND_KINDS[each["Type"]])
            for each in answer["Entities"]
            if each["Type"] in _COMPREHEND_KINDS
        ]

    return entities_in_words(words, kinds, _COMPREHEND_BYTES, detect)
