"""The analysers that settings choose, and insights into a text in several languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transcription_dagster.insights.analyser import LanguagePart, analyse_parts, language_parts, open_analyser
from transcription_dagster.insights.comprehend import ComprehendAnalyser
from transcription_dagster.insights.findings import Entity, Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.insights.local import LocalAnalyser
from transcription_dagster.model import Word
from transcription_dagster.settings import Settings
from transcription_dagster_tests.captions.speech import say

TALK = (
    "The ferry to the island leaves the harbour at nine. The harbour master said that the ferry would be late. "
    "Passengers of the ferry waited in the harbour restaurant, which was wonderful, and everybody loved the soup. "
)


@pytest.mark.parametrize(
    "insights",
    [
        Insights("local"),
        Insights(
            "comprehend",
            (Language("en", 0.9), Language("de", None)),
            (Entity("Ada", "PERSON", 0.9, 0, 3),),
            (KeyPhrase("the ferry", 0.8, 4, 13),),
            Sentiment("MIXED", 0.1, 0.2, 0.3, 0.4),
            ("a note",),
        ),
    ],
)
def test_insights_round_trip_as_json(insights: Insights) -> None:
    assert Insights.from_json(json.loads(json.dumps(insights.to_json()))) == insights


def test_the_settings_choose_the_analyser(tmp_path: Path) -> None:
    assert isinstance(open_analyser(Settings(home=tmp_path)), LocalAnalyser)
    assert isinstance(open_analyser(Settings(home=tmp_path, insights="comprehend")), ComprehendAnalyser)


def test_key_phrases_name_the_topics_and_their_places() -> None:
    insights = LocalAnalyser().analyse(TALK, "en")
    phrases = {phrase.text.lower() for phrase in insights.key_phrases}
    assert "harbour" in " ".join(phrases)
    assert "ferry" in " ".join(phrases)
    assert not phrases & {"the", "and", "which"}
    scores = [phrase.score for phrase in insights.key_phrases]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    for phrase in insights.key_phrases:
        assert TALK[phrase.begin : phrase.end] == phrase.text


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("This was a wonderful day. Everybody loved it!", "POSITIVE"),
        ("A terrible accident. People died and the town is in fear.", "NEGATIVE"),
        ("The meeting is at nine. The room has four chairs.", "NEUTRAL"),
        ("...", "NEUTRAL"),
    ],
)
def test_english_text_has_a_sentiment(text: str, label: str) -> None:
    sentiment = LocalAnalyser().analyse(text, "en-GB").sentiment
    assert sentiment is not None
    assert sentiment.label == label
    assert sentiment.positive + sentiment.negative + sentiment.neutral + sentiment.mixed == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("language", "notes"),
    [
        ("en", []),
        ("de", ["Sentiment is available for English only; this text is in de."]),
        ("cy", ["Key phrases are rough: no function words of cy", "Sentiment is available for English only"]),
        ("ja", ["Key phrases are found by the spaces between words", "Sentiment is available for English only"]),
        ("../../etc", ["Key phrases are rough", "Sentiment is available for English only"]),
    ],
)
def test_analyses_missing_for_a_language_are_reported(language: str, notes: list[str]) -> None:
    insights = LocalAnalyser().analyse(TALK, language)
    assert insights.languages == (Language(language, None),)
    assert (insights.sentiment is None) == (language != "en")
    *about, names = insights.notes
    assert "need Comprehend" in names
    assert len(about) == len(notes)
    assert all(note.startswith(start) for note, start in zip(about, notes, strict=True))


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_analysed(text: str) -> None:
    for analyser in (LocalAnalyser(), ComprehendAnalyser()):
        assert analyser.analyse(text, "en") == Insights(analyser.name, notes=("There is no text to analyse.",))


def spoken(*parts: tuple[str, str]) -> list[Word]:
    """Return the words of several texts, each with its language."""
    return [Word(word.text, word.start, word.end, language=language) for text, language in parts for word in say(text)]


def shown(text: str, words: list[Word]) -> list[tuple[str, str]]:
    parts = language_parts(text, words, "en")
    assert "".join(text[part.start : part.end] for part in parts) == text
    return [(part.language, text[part.start : part.end].strip()) for part in parts]


def test_a_corrected_text_keeps_its_languages() -> None:
    words = spoken(("the fairy leaves at nine", "en"), ("die Fere fährt um neun", "de"), ("thank you", "en"))
    assert shown("The ferry leaves at 9.\n\nDie Fähre fährt um neun. So, thank you!", words) == [
        ("en", "The ferry leaves at 9."),
        ("de", "Die Fähre fährt um neun. So,"),
        ("en", "thank you!"),
    ]


def test_scripts_without_spaces_keep_their_languages() -> None:
    words = spoken(("今日は いい 天気です。", "ja"), ("Good morning.", "en"))
    assert shown("今日は良い天気です。 Good morning.", words) == [
        ("ja", "今日は良い天気です。"),
        ("en", "Good morning."),
    ]


@pytest.mark.parametrize(
    ("words", "language"), [([], "cy"), (say("Good morning."), "cy"), (spoken(("a b", "fr")), "fr")]
)
def test_a_text_in_one_language_is_one_part(words: list[Word], language: str) -> None:
    assert language_parts("Good morning.", words, "cy") == (LanguagePart(language, 0, 13),)


class Echo:
    """An analyser that finds every capitalised word, and has a sentiment only for English."""

    name = "echo"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def analyse(self, text: str, language: str) -> Insights:
        self.asked.append((text, language))
        places = [(word, text.index(word)) for word in text.split() if word[0].isupper()]
        return Insights(
            self.name,
            (Language(language, None),),
            tuple(Entity(word, "OTHER", 1.0, place, place + len(word)) for word, place in places),
            tuple(KeyPhrase(word, 1 / len(word), place, place + len(word)) for word, place in places),
            Sentiment("POSITIVE", 1.0, 0.0, 0.0, 0.0) if language == "en" else None,
            ("the same note",),
        )


def test_each_language_is_analysed_once_and_found_at_its_place_in_the_whole() -> None:
    text = "Ada left. Bruno ging. Carla stayed."
    parts = (LanguagePart("en", 0, 10), LanguagePart("de", 10, 22), LanguagePart("en", 22, 35))
    analyser = Echo()
    insights = analyse_parts(analyser, text, parts)
    assert analyser.asked == [("Ada left. \n\nCarla stayed.", "en"), ("Bruno ging. ", "de")]
    assert [(entity.text, entity.begin) for entity in insights.entities] == [("Ada", 0), ("Bruno", 10), ("Carla", 22)]
    assert all(text[phrase.begin : phrase.end] == phrase.text for phrase in insights.key_phrases)
    assert insights.languages == (Language("en", 23 / 35), Language("de", 12 / 35))
    assert insights.sentiment == Sentiment("POSITIVE", 1.0, 0.0, 0.0, 0.0)
    assert insights.notes == ("the same note",)


def test_findings_across_parts_are_dropped() -> None:
    class Greedy(Echo):
        def analyse(self, text: str, language: str) -> Insights:
            return Insights(self.name, key_phrases=(KeyPhrase(text, 1.0, 0, len(text)),))

    text = "Ada left. Bruno ging. Carla stayed."
    parts = (LanguagePart("en", 0, 10), LanguagePart("de", 10, 22), LanguagePart("en", 22, 35))
    assert [phrase.text for phrase in analyse_parts(Greedy(), text, parts).key_phrases] == ["Bruno ging. "]


def test_key_phrases_of_two_languages_without_either_s_function_words() -> None:
    text = (
        "The harbour museum opens at nine, and the harbour museum is free for everybody. "
        "Das Hafenmuseum öffnet um neun, und das Hafenmuseum ist für alle frei."
    )
    cut = text.index("Das")
    insights = analyse_parts(LocalAnalyser(), text, (LanguagePart("en", 0, cut), LanguagePart("de", cut, len(text))))
    phrases = {phrase.text.lower() for phrase in insights.key_phrases}
    assert {"harbour museum", "hafenmuseum"} <= phrases
    assert not phrases & {"das", "the", "und", "für"}
    assert all(text[phrase.begin : phrase.end] == phrase.text for phrase in insights.key_phrases)
    assert insights.sentiment is not None
