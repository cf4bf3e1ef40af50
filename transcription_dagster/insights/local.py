"""Key phrases and sentiment from local libraries, without AWS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from transcription_dagster.insights.findings import Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.language.sentences import sentences

_MAX_PHRASES = 30
_MAX_WORDS = 3
#: Scripts without spaces, in which YAKE cannot find words.
_UNSPACED = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})
#: Above this mean a text is positive, below its negative it is negative, as VADER's authors recommend:
#: https://github.com/cjhutto/vaderSentiment#about-the-scoring
_NEUTRAL = 0.05


class LocalAnalyser:
    """Finds key phrases with YAKE and sentiment with VADER (English only); the language is the speech model's."""

    name = "local"

    def analyse(self, text: str, language: str) -> Insights:
        """Analyse a text in the given language; the notes name what is not available for it."""
        if not text.strip():
            return Insights(self.name, notes=("There is no text to analyse.",))
        code = language.partition("-")[0].lower()
        phrases, phrase_notes = _key_phrases(text, code)
        sentiment = _english_sentiment(text) if code == "en" else None
        sentiment_notes = (
            () if sentiment else (f"Sentiment is available for English only; this text is in {language}.",)
        )
        return Insights(
            analyser=self.name,
            languages=(Language(language, None),),
            key_phrases=tuple(phrases),
            sentiment=sentiment,
            notes=(
                *phrase_notes,
                *sentiment_notes,
                "Names of people and places need Comprehend (TRANSCRIPTION_INSIGHTS=comprehend).",
            ),
        )


def _english_sentiment(text: str) -> Sentiment:
    """Return VADER's mean sentence scores weighted by length. VADER has no mixed sentiment.

    VADER: Hutto, C.J. and Gilbert, E.E. (2014), ICWSM-14.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    scored = [(len(sentence), analyser.polarity_scores(sentence)) for sentence in sentences(text)]
    total = sum(length for length, _ in scored)
    means = {
        name: sum(length * scores[name] for length, scores in scored) / total
        for name in ("pos", "neg", "neu", "compound")
    }
    label = "NEUTRAL"
    if abs(means["compound"]) >= _NEUTRAL:
        label = "POSITIVE" if means["compound"] > 0 else "NEGATIVE"
    # VADER returns all zeros for a sentence without words.
    neutral = 1.0 - means["pos"] - means["neg"]
    return Sentiment(label, positive=means["pos"], negative=means["neg"], neutral=neutral, mixed=0.0)


def _key_phrases(text: str, code: str) -> tuple[Sequence[KeyPhrase], Sequence[str]]:
    """Return the phrases, best first, each at its first occurrence, and notes about them.

    YAKE: Campos et al. (2020), Information Sciences 509. Its score is 0 for the best and has no upper bound.
    """
    from yake import KeywordExtractor

    if code in _UNSPACED:
        return (), (f"Key phrases are found by the spaces between words, which {code} does without.",)
    extractor = KeywordExtractor(lan=code, n=_MAX_WORDS, top=_MAX_PHRASES)
    phrases = [
        KeyPhrase(match[0], 1.0 / (1.0 + float(score)), match.start(), match.end())
        for phrase, score in extractor.extract_keywords(text)
        if (match := _first_occurrence(phrase, text))
    ]
    return phrases, () if _has_stop_words(code) else (f"Key phrases are rough: no function words of {code} are known.",)


def _first_occurrence(phrase: str, text: str) -> re.Match[str] | None:
    """Return the first occurrence of a phrase, ignoring case and whitespace."""
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)


def _has_stop_words(code: str) -> bool:
    return code.isalpha() and files("yake.core").joinpath("StopwordsList", f"stopwords_{code}.txt").is_file()
