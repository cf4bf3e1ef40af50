"""Find personal data with AWS Comprehend, which also detects names and postal addresses.

`DetectPiiEntities` takes texts of up to 100 KB in English or Spanish
(https://docs.aws.amazon.com/comprehend/latest/dg/how-pii.html).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.insights.text_pieces import cut
from transcription_dagster.model import Word
from transcription_dagster.redaction.finding import Found
from transcription_dagster.transcripts.plain_text import join_words

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


def find_by_comprehend(words: Sequence[Word], kinds: Collection[str], language: str) -> list[Found]:
    """Return what Comprehend finds of these kinds, in order; nothing in a language that it does not support.

    Raises `ServiceRefused` or `ServiceUnavailable`.
    """
    code = language.partition("-")[0].lower()
    if code not in LANGUAGES or not words:
        return []
    text = join_words(words)
    # The end of each word in the text, including the space before it.
    ends = list(accumulate(len(word.text) + (0 if word.glued or not index else 1) for index, word in enumerate(words)))
    client = aws_client("comprehend", retries="adaptive")
    found = []
    for piece in cut(text, _MAX_BYTES):
        if not piece.text.strip():
            continue
        with aws_errors("Could not detect PII entities with Comprehend"):
            answer = client.detect_pii_entities(Text=piece.text, LanguageCode=code)
        for entity in answer["Entities"]:
            kind = _KINDS.get(entity["Type"])
            if kind in kinds:
                begin, end = piece.start + entity["BeginOffset"], piece.start + entity["EndOffset"]
                found.append(Found(bisect_right(ends, begin), bisect_right(ends, end - 1) + 1, str(kind)))
    return sorted(found)


def apart(found: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """Merge both in order, without those of `others` that overlap `found`."""
    kept = list(found)
    for other in others:
        if all(other.stop <= each.first or each.stop <= other.first for each in kept):
            kept.append(other)
    return sorted(kept)
