"""Languages by their names and codes."""

from __future__ import annotations

import pytest
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.codes import WHISPER_LANGUAGES, whisper_language


def test_the_languages_are_those_of_the_installed_whisper() -> None:
    assert dict(WHISPER_LANGUAGES) == LANGUAGES
    assert {name: whisper_language(name) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE
    assert {code: whisper_language(code) for code in LANGUAGES} == {code: code for code in LANGUAGES}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EN", "en"), ("eng", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("deu", "de"), ("ger", "de"), ("German", "de"),
        ("castilian", "es"), ("zh-Hant-TW", "zh"), ("cmn", "zh"), ("zh-yue", "yue"), ("nb", "no"), ("nob", "no"),
        ("jv", "jw"), ("jav", "jw"), ("fil", "tl"), ("iw", "he"), ("fra", "fr"),
        ("arb", "ar"), ("pes", "fa"), ("Farsi", "fa"), ("zsm", "ms"), ("swh", "sw"), ("ekk_Latn", "et"), ("npi", "ne"),
        (" fr ", "fr"), ("Haitian Creole", "ht"),
    ],
)  # fmt: skip
def test_codes_tags_and_names(name: str, code: str) -> None:
    assert whisper_language(name) == code


@pytest.mark.parametrize("name", [None, "auto", "AUTO"])
def test_auto_means_detection(name: str | None) -> None:
    assert whisper_language(name) is None


@pytest.mark.parametrize("name", ["", "klingon", "tlh", "xx", "en\nde", "english please", "e", "🙂"])
def test_languages_unknown_to_whisper_are_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match="not a language that Whisper knows"):
        whisper_language(name)
