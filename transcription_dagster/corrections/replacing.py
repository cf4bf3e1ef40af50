"""Find and replace in a whole recording: the preview and the changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transcription_dagster.corrections.changes import Draft
from transcription_dagster.corrections.drafts import retyped
from transcription_dagster.corrections.reading import CorrectedReading, CorrectedTurn
from transcription_dagster.errors import UnusableCorrection

#: Longest search text, in characters.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Replacement:
    """One turn with replacements, before and after."""

    first: int
    stop: int
    #: Seconds from the start of the recording.
    start: float
    old: str
    new: str
    #: Number of matches in the turn.
    count: int


def replacements(reading: CorrectedReading, sought: str, new: str, *, match_case: bool = False) -> list[Replacement]:
    """Return the turns that would change. Only whole words match, in any case unless `match_case`.

    In a script without spaces, any position matches. Raises `UnusableCorrection` for an empty or too long search.
    """
    sought = " ".join(sought.split())
    if not sought or len(sought) > _LONGEST or len(new) > _LONGEST:
        raise UnusableCorrection(f"enter the text to find and its replacement, at most {_LONGEST} characters each")
    pattern = _pattern(sought, match_case=match_case)
    return list(_found(reading, pattern, " ".join(new.split())))


def replaced(reading: CorrectedReading, found: list[Replacement]) -> list[Draft]:
    """Return the changes that make the replacements."""
    return [draft for each in found for draft in retyped(reading, each.first, each.stop, each.new)]


def _found(reading: CorrectedReading, pattern: re.Pattern[str], new: str) -> Iterator[Replacement]:
    for turn in reading.turns():
        old = turn.text
        text, count = pattern.subn(lambda _match: new, old)
        if count and text != old:
            yield Replacement(turn.first, turn.stop, _start(reading, turn), old, text, count)


def _start(reading: CorrectedReading, turn: CorrectedTurn) -> float:
    return reading.words[turn.first].start


def _pattern(sought: str, *, match_case: bool) -> re.Pattern[str]:
    # Word boundaries count only next to letters and digits, so that "C#" is found as well as "cat".
    before = r"(?<!\w)" if sought[0].isascii() and sought[0].isalnum() else ""
    after = r"(?!\w)" if sought[-1].isascii() and sought[-1].isalnum() else ""
    words = r"\s+".join(re.escape(word) for word in sought.split(" "))
    return re.compile(f"{before}{words}{after}", 0 if match_case else re.IGNORECASE)
