"""Find personal data with AWS Comprehend, which also detects names and postal addresses.

`DetectPiiEntities` takes texts of up to 100 KB in English or Spanish
(https://docs.aws.amazon.com/comprehend/latest/dg/how-pii.html).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.model import Word
from transcription_dagster.redaction.entities import EntitySpan, entities_in_words
from transcription_dagster.redaction.finding import Found

LANGUAGES = frozenset({"en", "es"})
#: Bytes of UTF-8 per call; entities are short, and pieces end with a sentence.
_MAX_BYTES = 50_000
#: Comprehend's types by our kinds.
_KINDS: Mapping[str, str] = {
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
KINDS = frozenset(_KINDS.values())


def find_by_comprehend(words: Sequence[Word], kinds: Collection[str], language: str) -> list[Found]:
    """Return what Comprehend finds of these kinds, in order; `language` is one of `LANGUAGES`.

    Raises `ServiceRefused` or `ServiceUnavailable`.
    """
    client = aws_client("comprehend", retries="adaptive")

    def detect(text: str) -> Iterable[EntitySpan]:
        with aws_errors("Could not detect PII entities with Comprehend"):
            answer = client.detect_pii_entities(Text=text, LanguageCode=language)
        return [
            EntitySpan(each["BeginOffset"], each["EndOffset"], _KINDS[each["Type"]])
            for each in answer["Entities"]
            if each["Type"] in _KINDS
        ]

    return entities_in_words(words, kinds, _MAX_BYTES, detect)
