"""The languages that a recording may be in, as Whisper's codes."""

from __future__ import annotations

from collections.abc import Iterable

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.codes import WHISPER_LANGUAGES, whisper_language
from transcription_dagster.model import SpeechOptions


def language_choice(options: SpeechOptions, *, multilingual: bool) -> tuple[str, ...]:
    """Return the candidate languages: the given one, the ones that may be spoken, or none, which means any.

    Raises `InvalidSetting` if Whisper, or a model that is not `multilingual`, does not know one.
    """
    if options.language is not None:
        return _codes([options.language], multilingual=multilingual)
    if not multilingual:
        return ("en",)
    return _codes(options.languages, multilingual=multilingual)


def _codes(languages: Iterable[str], *, multilingual: bool) -> tuple[str, ...]:
    codes = [code for language in languages if (code := whisper_language(language)) is not None]
    for code in codes:
        if code != "en" and not multilingual:
            raise InvalidSetting(f"the model knows English only, not {WHISPER_LANGUAGES[code].title()}")
    return tuple(dict.fromkeys(codes))
