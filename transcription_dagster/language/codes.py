"""Whisper's languages, under all their usual names and codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from langcodes import Language
from langcodes.tag_parser import LanguageTagError

from transcription_dagster.errors import InvalidSetting

#: Whisper's codes and English names (whisper/tokenizer.py); a test compares them with the installed release.
WHISPER_LANGUAGES: Mapping[str, str] = {
    "en": "english",
    "zh": "chinese",
    "de": "german",
    "es": "spanish",
    "ru": "russian",
    "ko": "korean",
    "fr": "french",
    "ja": "japanese",
    "pt": "portuguese",
    "tr": "turkish",
    "pl": "polish",
    "ca": "catalan",
    "nl": "dutch",
    "ar": "arabic",
    "sv": "swedish",
    "it": "italian",
    "id": "indonesian",
    "hi": "hindi",
    "fi": "finnish",
    "vi": "vietnamese",
    "he": "hebrew",
    "uk": "ukrainian",
    "el": "greek",
    "ms": "malay",
    "cs": "czech",
    "ro": "romanian",
    "da": "danish",
    "hu": "hungarian",
    "ta": "tamil",
    "no": "norwegian",
    "th": "thai",
    "ur": "urdu",
    "hr": "croatian",
    "bg": "bulgarian",
    "lt": "lithuanian",
    "la": "latin",
    "mi": "maori",
    "ml": "malayalam",
    "cy": "welsh",
    "sk": "slovak",
    "te": "telugu",
    "fa": "persian",
    "lv": "latvian",
    "bn": "bengali",
    "sr": "serbian",
    "az": "azerbaijani",
    "sl": "slovenian",
    "kn": "kannada",
    "et": "estonian",
    "mk": "macedonian",
    "br": "breton",
    "eu": "basque",
    "is": "icelandic",
    "hy": "armenian",
    "ne": "nepali",
    "mn": "mongolian",
    "bs": "bosnian",
    "kk": "kazakh",
    "sq": "albanian",
    "sw": "swahili",
    "gl": "galician",
    "mr": "marathi",
    "pa": "punjabi",
    "si": "sinhala",
    "km": "khmer",
    "sn": "shona",
    "yo": "yoruba",
    "so": "somali",
    "af": "afrikaans",
    "oc": "occitan",
    "ka": "georgian",
    "be": "belarusian",
    "tg": "tajik",
    "sd": "sindhi",
    "gu": "gujarati",
    "am": "amharic",
    "yi": "yiddish",
    "lo": "lao",
    "uz": "uzbek",
    "fo": "faroese",
    "ht": "haitian creole",
    "ps": "pashto",
    "tk": "turkmen",
    "nn": "nynorsk",
    "mt": "maltese",
    "sa": "sanskrit",
    "lb": "luxembourgish",
    "my": "myanmar",
    "bo": "tibetan",
    "tl": "tagalog",
    "mg": "malagasy",
    "as": "assamese",
    "tt": "tatar",
    "haw": "hawaiian",
    "ln": "lingala",
    "ha": "hausa",
    "ba": "bashkir",
    "jw": "javanese",
    "su": "sundanese",
    "yue": "cantonese",
}

#: Other names that Whisper accepts.
_ALIASES: Mapping[str, str] = {
    "burmese": "my",
    "valencian": "ca",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "pushto": "ps",
    "panjabi": "pa",
    "moldavian": "ro",
    "moldovan": "ro",
    "sinhalese": "si",
    "castilian": "es",
    "mandarin": "zh",
    "farsi": "fa",
}

#: Whisper's nonstandard codes, by the standard codes that langcodes returns.
_WHISPER_CODES: Mapping[str, str] = {"jv": "jw", "nb": "no", "fil": "tl", "cmn": "zh"}

_BY_NAME = {name: code for code, name in WHISPER_LANGUAGES.items()} | dict(_ALIASES)


def whisper_language(language: str | None) -> str | None:
    """Return Whisper's code for a language name, BCP 47 tag or ISO 639 code, in any case.

    `english`, `EN`, `eng` and `en-GB` are `en`, `arb` is `ar`. None and `auto` give None: the language is detected.
    Raises `InvalidSetting` for a language that Whisper does not know.
    """
    name = "auto" if language is None else language.strip().lower()
    if name == "auto":
        return None
    code = _BY_NAME.get(name) or _code_of_tag(name)
    if code not in WHISPER_LANGUAGES:
        raise InvalidSetting(
            f"{language!r} is not a language that Whisper knows; use a code such as en, de or pt-BR, or auto"
        )
    return code


def whisper_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """Return Whisper's codes of languages, each once.

    Raises `InvalidSetting` for `auto`, and for a language that Whisper does not know.
    """
    codes = [whisper_language(language) for language in languages]
    if None in codes:
        raise InvalidSetting("auto is no language: leave languages out to let any be spoken")
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def base_language(tag: str) -> str | None:
    """Return the shortest code of the language in a BCP 47 tag or ISO 639 code; None if it is neither."""
    try:
        return Language.get(tag.strip().replace("_", "-")).language
    except LanguageTagError:
        return None


def _code_of_tag(tag: str) -> str | None:
    if tag in WHISPER_LANGUAGES:
        return tag
    language = base_language(tag)
    if language is None or language in WHISPER_LANGUAGES:
        return language
    # ISO 639-3 has codes of its own for Standard Arabic, Iranian Persian and the like.
    return _WHISPER_CODES.get(language, Language.get(language).prefer_macrolanguage().language)
