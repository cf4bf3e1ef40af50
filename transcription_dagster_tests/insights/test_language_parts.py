"""Insights into a text in several languages."""

from __future__ import annotations

import pytest

from transcription_dagster.insights.analyser import LanguagePart, analyse_parts, language_parts
from transcription_dagster.insights.findings import Entity, Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.insights.local import LocalAnalyser
from transcription_dagster.model import Word
from transcription_dagster_tests.captions.speech import say


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
    found = analyse_parts(analyser, text, parts)
    assert analyser.asked == [("Ada left. \n\nCarla stayed.", "en"), ("Bruno ging. ", "de")]
    assert [(entity.text, entity.begin) for entity in found.entities] == [("Ada", 0), ("Bruno", 10), ("Carla", 22)]
    assert all(text[phrase.begin : phrase.end] == phrase.text for phrase in found.key_phrases)
    assert found.languages == (Language("en", 23 / 35), Language("de", 12 / 35))
    assert found.sentiment == Sentiment("POSITIVE", 1.0, 0.0, 0.0, 0.0)
    assert found.notes == ("the same note",)


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
    found = analyse_parts(LocalAnalyser(), text, (LanguagePart("en", 0, cut), LanguagePart("de", cut, len(text))))
    phrases = {phrase.text.lower() for phrase in found.key_phrases}
    assert {"harbour museum", "hafenmuseum"} <= phrases
    assert not phrases & {"das", "the", "und", "für"}
    assert all(text[phrase.begin : phrase.end] == phrase.text for phrase in found.key_phrases)
    assert found.sentiment is not None
