from __future__ import annotations

import json
from pathlib import Path

import pytest

from transcription_dagster.insights.analyser import open_analyser
from transcription_dagster.insights.comprehend import ComprehendAnalyser
from transcription_dagster.insights.findings import Entity, Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.insights.local import LocalAnalyser
from transcription_dagster.settings import Settings

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
    found = LocalAnalyser().analyse(TALK, "en")
    phrases = {phrase.text.lower() for phrase in found.key_phrases}
    assert "harbour" in " ".join(phrases)
    assert "ferry" in " ".join(phrases)
    assert not phrases & {"the", "and", "which"}
    scores = [phrase.score for phrase in found.key_phrases]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    for phrase in found.key_phrases:
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
    found = LocalAnalyser().analyse(TALK, language)
    assert found.languages == (Language(language, None),)
    assert (found.sentiment is None) == (language != "en")
    *about, names = found.notes
    assert "need Comprehend" in names
    assert len(about) == len(notes)
    assert all(note.startswith(start) for note, start in zip(about, notes, strict=True))


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_analysed(text: str) -> None:
    for analyser in (LocalAnalyser(), ComprehendAnalyser()):
        assert analyser.analyse(text, "en") == Insights(analyser.name, notes=("There is no text to analyse.",))
