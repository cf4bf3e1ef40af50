"""Format times, languages and search matches for the pages."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup, escape

from transcription_dagster.language.codes import WHISPER_LANGUAGES
from transcription_dagster.search.query import MATCH_END, MATCH_START

#: Whisper's languages that are written from right to left.
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})


def short_clock(seconds: float) -> str:
    """Return a position or a length as `m:ss`, or as `h:mm:ss` from an hour on, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def day(when: datetime) -> str:
    """Return a date such as `4 May 2026`."""
    return f"{when.day} {when:%b %Y}"


def moment(when: datetime) -> str:
    """Return a time in UTC in the format of HTML's `datetime` attributes."""
    return when.isoformat(timespec="seconds")


def language_name(code: str) -> str:
    """Return the English name of a language and region, such as `English (US)`, or its code if it has no name."""
    primary, _, region = code.partition("-")
    name = WHISPER_LANGUAGES.get(primary.lower())
    if name is None:
        return code
    return f"{name.capitalize()} ({region})" if region else name.capitalize()


def direction(code: str) -> str:
    """Return the writing direction of a language as HTML's `dir` attribute has it."""
    return "rtl" if code.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"


def marked(snippet: str) -> Markup:
    """Return a search snippet with its matches in `<mark>` and everything else escaped."""
    escaped = str(escape(snippet))
    return Markup(escaped.replace(MATCH_START, "<mark>").replace(MATCH_END, "</mark>"))  # noqa: S704 - escaped above
