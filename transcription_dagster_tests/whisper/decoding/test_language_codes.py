"""The candidate languages of a recording."""

from __future__ import annotations

import pytest

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.decoding.language_codes import language_choice


@pytest.mark.parametrize(
    ("language", "codes"),
    [
        (None, ()),
        ("en", ("en",)),
        ("EN", ("en",)),
        ("en-GB", ("en",)),
        ("pt_BR", ("pt",)),
        ("German", ("de",)),
        ("castilian", ("es",)),
    ],
)
def test_languages_by_code_and_by_name(language, codes):
    assert language_choice(SpeechOptions("base", language=language), multilingual=True) == codes


def test_a_given_language_takes_precedence_over_candidates():
    limited = SpeechOptions("base", languages=("en", "German", "de"))
    assert language_choice(limited, multilingual=True) == ("en", "de")
    fixed = SpeechOptions("base", language="fr", languages=("en", "de"))
    assert language_choice(fixed, multilingual=True) == ("fr",)


@pytest.mark.parametrize("language", ["xx", "", "klingon", "-", "en; drop table"])
def test_an_unknown_language_is_refused(language):
    with pytest.raises(InvalidSetting, match="not a language"):
        language_choice(SpeechOptions("base", language=language), multilingual=True)


def test_an_english_only_model_refuses_other_languages():
    assert language_choice(SpeechOptions("base.en", language="english"), multilingual=False) == ("en",)
    assert language_choice(SpeechOptions("base.en", languages=("de", "en")), multilingual=False) == ("en",)
    with pytest.raises(InvalidSetting, match="English only, not French"):
        language_choice(SpeechOptions("base.en", language="fr"), multilingual=False)
