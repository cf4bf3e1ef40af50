"""The prompt's description of the words."""

from __future__ import annotations

from dataclasses import replace

from transcription_dagster.model import Word
from transcription_dagster.refinement.prompt import make_request
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.refinement.text_windows import TextWindow
from transcription_dagster_tests.captions.speech import say


def first_line(words: list[Word], window: TextWindow) -> str:
    return make_request(words, window, (), "en", RefinementSettings("some-model")).user.splitlines()[0]


def test_a_window_in_one_language_names_it() -> None:
    words = say("the museum opens at nine")
    assert first_line(words, TextWindow(0, 5)) == "Language: en"
    assert first_line([replace(word, language="de") for word in words], TextWindow(0, 5)) == "Language: de"


def test_a_window_in_several_languages_says_which_words_are_in_which() -> None:
    words = say("the museum opens guten Morgen zusammen")
    mixed = [replace(word, language="en" if number < 3 else "de") for number, word in enumerate(words)]
    assert first_line(mixed, TextWindow(0, 6)) == "Languages, by the indices of their words: en (0 to 2), de (3 to 5)"
    assert first_line(mixed, TextWindow(1, 6)) == "Languages, by the indices of their words: en (1 to 2), de (3 to 5)"
    assert first_line(mixed, TextWindow(3, 6)) == "Language: de"
