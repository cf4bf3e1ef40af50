"""Key phrases and sentiment by libraries in this process, for those who do without AWS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from transcription_dagster.insights.analyser import Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.insights.text_pieces import sentences

_MAX_PHRASES = 30
_MAX_WORDS = 3
#: YAKE finds words by the spaces between them.
_UNSPACED = frozenset({"bo", "ja", "km", "lo", "my", "th", "yue", "zh"})
#: Beyond this mean a text counts as positive, below its negative as negative, as the authors of VADER use it:
#: https://github.com/cjhutto/vaderSentiment#about-the-scoring
_NEUTRAL = 0.05


class LocalAnalyser:
    """Key phrases by YAKE, sentiment by VADER (English only), the language as the speech model found it."""

    name = "local"

    def analyse(self, text: str, language: str) -> Insights:
        """Analyse a text in the given language; what does not apply to that language is said in the notes."""
        if not text.strip():
            return Insights(self.name, notes=("There is no text to analyse.",))
        code = language.partition("-")[0].lower()
        phrases, about_phrases = _key_phrases(text, code)
        sentiment = english_sentiment(text) if code == "en" else None
        about_sentiment = (
            () if sentiment else (f"Sentiment is found in English texts only, and this one is in {language}.",)
        )
        return Insights(
            analyser=self.name,
            languages=(Language(language, None),),
            key_phrases=tuple(phrases),
            sentiment=sentiment,
            notes=(*about_phrases, *about_sentiment, "Names of people and places are found by Comprehend only."),
        )


def english_sentiment(text: str) -> Sentiment:
    """The mean of VADER's scores of the sentences, weighed by their lengths; VADER knows no mixed mood.

    VADER: Hutto, C.J. and Gilbert, E.E. (2014), ICWSM-14.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    weighed = [(len(sentence), analyser.polarity_scores(sentence)) for sentence in sentences(text)]
    total = sum(length for length, _ in weighed)
    means = {
        name: sum(length * scores[name] for length, scores in weighed) / total
        for name in ("pos", "neg", "neu", "compound")
    }
    label = "NEUTRAL"
    if abs(means["compound"]) >= _NEUTRAL:
        label = "POSITIVE" if means["compound"] > 0 else "NEGATIVE"
    # VADER gives a sentence without any word all zeros.
    neutral = 1.0 - means["pos"] - means["neg"]
    return Sentiment(label, positive=means["pos"], negative=means["neg"], neutral=neutral, mixed=0.0)


def _key_phrases(text: str, code: str) -> tuple[Sequence[KeyPhrase], Sequence[str]]:
    """The phrases, best first, each where it first stands; and what is to be said about them.

    YAKE: Campos et al. (2020), Information Sciences 509. Its score is 0 for the best and has no upper bound.
    """
    from yake import KeywordExtractor

    if code in _UNSPACED:
        return (), (f"Key phrases are found by the spaces between words, which {code} does without.",)
    extractor = KeywordExtractor(lan=code, n=_MAX_WORDS, top=_MAX_PHRASES)
    phrases = [
        KeyPhrase(found[0], 1.0 / (1.0 + float(score)), found.start(), found.end())
        for phrase, score in extractor.extract_keywords(text)
        if (found := _place(phrase, text))
    ]
    return phrases, () if _has_stop_words(code) else (f"Key phrases are rough: no function words of {code} are known.",)


def _place(phrase: str, text: str) -> re.Match[str] | None:
    """Where a phrase first stands, whatever the case and the space between its words."""
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)


def _has_stop_words(code: str) -> bool:
    return code.isalpha() and files("yake.core").joinpath("StopwordsList", f"stopwords_{code}.txt").is_file()
