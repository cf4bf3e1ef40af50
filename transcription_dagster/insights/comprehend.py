"""Languages, entities, key phrases and sentiment from AWS Comprehend.

A call takes at most 25 documents of 5,000 bytes of UTF-8, all in one language
(https://docs.aws.amazon.com/comprehend/latest/dg/guidelines-and-limits.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.insights.findings import Entity, Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.language.sentences import TextPiece, cut_text

MAX_BYTES = 5_000
MAX_DOCUMENTS = 25
LANGUAGES = frozenset({"en", "es", "fr", "de", "it", "pt", "ar", "hi", "ja", "ko", "zh", "zh-TW"})
_MOODS = ("Positive", "Negative", "Neutral", "Mixed")


class PieceResult(NamedTuple):
    """Comprehend's result for one piece of the text."""

    piece: TextPiece
    response: Mapping[str, Any]


class ComprehendAnalyser:
    """Sends a text to Comprehend in pieces and merges the results.

    Raises `ServiceRefused` or `ServiceUnavailable` if Comprehend answers nothing at all. Failed pieces are retried once
    and then listed in the notes.
    """

    name = "comprehend"

    def analyse(self, text: str, language: str) -> Insights:
        """Analyse the text in the language that Comprehend detects in most of it, or else in `language`."""
        pieces = [piece for piece in cut_text(text, MAX_BYTES) if piece.text.strip()]
        if not pieces:
            return Insights(self.name, notes=("There is no text to analyse.",))
        notes: list[str] = []
        languages = merge_languages(self._detect("detect_dominant_language", pieces, notes))
        main_language = languages[0].code if languages else language
        code = supported_language(main_language)
        if code is None:
            notes.append(f"Comprehend does not find entities, key phrases and sentiment in {main_language!r}.")
            return Insights(self.name, languages, notes=tuple(notes))
        return Insights(
            analyser=self.name,
            languages=languages,
            entities=merge_entities(self._detect("detect_entities", pieces, notes, code)),
            key_phrases=merge_key_phrases(self._detect("detect_key_phrases", pieces, notes, code)),
            sentiment=merge_sentiments(self._detect("detect_sentiment", pieces, notes, code)),
            notes=tuple(notes),
        )

    def _detect(
        self, operation: str, pieces: Sequence[TextPiece], notes: list[str], language: str | None = None
    ) -> Sequence[PieceResult]:
        """Call an operation for all pieces, and once more for those that fail; note those that fail twice."""
        results, failures = self._detect_once(operation, pieces, language)
        if failures:
            retried, failures = self._detect_once(operation, [piece for piece, _ in failures], language)
            results = sorted([*results, *retried], key=lambda result: result.piece.start)
        notes += (
            f"{operation} failed for the characters {piece.start} to {piece.end}: {error}" for piece, error in failures
        )
        return results

    def _detect_once(
        self, operation: str, pieces: Sequence[TextPiece], language: str | None
    ) -> tuple[list[PieceResult], list[tuple[TextPiece, str]]]:
        results: list[PieceResult] = []
        failures: list[tuple[TextPiece, str]] = []
        in_language = {"LanguageCode": language} if language else {}
        for first in range(0, len(pieces), MAX_DOCUMENTS):
            batch = pieces[first : first + MAX_DOCUMENTS]
            with aws_errors(f"Could not {operation.replace('_', ' ')} with Comprehend"):
                call: Callable[..., Any] = getattr(self._client, f"batch_{operation}")
                answer = call(TextList=[piece.text for piece in batch], **in_language)
            results += (PieceResult(batch[result["Index"]], result) for result in answer["ResultList"])
            failures += (
                (batch[error["Index"]], f"{error.get('ErrorMessage', '')} ({error.get('ErrorCode', '')})")
                for error in answer["ErrorList"]
            )
        return results, failures

    @cached_property
    def _client(self) -> Any:
        return aws_client("comprehend", retries="adaptive")


def supported_language(code: str) -> str | None:
    """Return Comprehend's code of a language, `pt` for `pt-BR`; None if it can only detect, not analyse, it."""
    return next((name for name in (code, code.partition("-")[0]) if name in LANGUAGES), None)


def merge_languages(results: Sequence[PieceResult]) -> tuple[Language, ...]:
    """Return each language's share of the text: the pieces' scores weighted by length."""
    shares: Counter[str] = Counter()
    total = sum(len(piece.text) for piece, _ in results)
    for piece, response in results:
        for language in response["Languages"]:
            shares[language["LanguageCode"]] += language["Score"] * len(piece.text) / total
    return tuple(Language(code, share) for code, share in shares.most_common())


def merge_entities(results: Sequence[PieceResult]) -> tuple[Entity, ...]:
    """Return the entities of all pieces with offsets in the whole text."""
    return tuple(
        Entity(
            text=entity["Text"],
            type=entity["Type"],
            score=entity["Score"],
            begin=piece.start + entity["BeginOffset"],
            end=piece.start + entity["EndOffset"],
        )
        for piece, response in results
        for entity in response["Entities"]
    )


def merge_key_phrases(results: Sequence[PieceResult]) -> tuple[KeyPhrase, ...]:
    """Return the key phrases of all pieces with offsets in the whole text."""
    return tuple(
        KeyPhrase(
            phrase["Text"], phrase["Score"], piece.start + phrase["BeginOffset"], piece.start + phrase["EndOffset"]
        )
        for piece, response in results
        for phrase in response["KeyPhrases"]
    )


def merge_sentiments(results: Sequence[PieceResult]) -> Sentiment | None:
    """Return the pieces' mean scores weighted by length, and the leading sentiment; None without scores."""
    total = sum(len(piece.text) for piece, _ in results)
    if not total:
        return None
    means = {
        mood: sum(response["SentimentScore"][mood] * len(piece.text) for piece, response in results) / total
        for mood in _MOODS
    }
    leading = max(_MOODS, key=lambda mood: means[mood])
    return Sentiment(leading.upper(), *(means[mood] for mood in _MOODS))
