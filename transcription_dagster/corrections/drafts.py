"""Turn requests into drafts of changes: new text, speakers' names, split and joined turns, find and replace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transcription_dagster.corrections.changes import UNINTELLIGIBLE, ChangedWords, Draft, Kind, WordRange
from transcription_dagster.corrections.differences import token_differences
from transcription_dagster.corrections.reading import CorrectedReading, Passage
from transcription_dagster.errors import UnusableCorrection
from transcription_dagster.language.tokenization import Token, tokenize
from transcription_dagster.model import Word
from transcription_dagster.transcripts.plain_text import join_words

#: Longest name of a speaker, in characters.
_LONGEST_NAME = 100
#: Most characters per save: the words of about twenty minutes.
LONGEST_TEXT = 20_000

_CONTROL = re.compile(r"[^\S ]+|[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]+")

#: Longest text to find, and longest replacement, in characters.
_LONGEST_SOUGHT = 200


def retype(reading: CorrectedReading, first: int, stop: int, text: str) -> list[Draft]:
    """Return the smallest changes after which the words `first` up to `stop` read `text`; none if they already do.

    Raises `UnusableCorrection` for a range that is invalid or cuts a passage, and for a text that is too long.
    """
    passages = _whole_passages(reading, first, stop)
    if len(text) > LONGEST_TEXT:
        raise UnusableCorrection(f"the text has {len(text)} characters; the limit is {LONGEST_TEXT}")
    new = tokenize(_CONTROL.sub(" ", text))
    differences = token_differences([tokenize(join_words(passage.words)) for passage in passages], new)
    return [
        _text_draft(reading, passages[place.first : place.stop], new[place.new_first : place.new_stop])
        for place in differences.places
    ]


def mark_unintelligible(reading: CorrectedReading, first: int, stop: int) -> list[Draft]:
    """Return the change that marks the words as unintelligible."""
    passages = _whole_passages(reading, first, stop)
    where, old = _stretch(reading, passages), _text(passages)
    return [Draft(Kind.UNINTELLIGIBLE, where, old, UNINTELLIGIBLE, reading.heard(where.first, where.stop))]


def restore(reading: CorrectedReading, state: ChangedWords, first: int, stop: int) -> list[Draft]:
    """Return the change that restores the machine's words; none if nothing was changed."""
    passages = _whole_passages(reading, first, stop)
    if not any(word in state.texts for word in range(first, stop)):
        return []
    where = _stretch(reading, passages)
    heard = reading.heard(where.first, where.stop)
    return [Draft(Kind.RESTORE, where, _text(passages), heard, heard)]


def set_speaker(reading: CorrectedReading, first: int, stop: int, speaker: str, *, everywhere: bool) -> list[Draft]:
    """Return the change that names the speaker of the turns in the range, or `everywhere` of all turns of this speaker.

    The name of another speaker merges the two. Raises `UnusableCorrection` for an empty or too long name.
    """
    passages = _whole_passages(reading, first, stop)
    name = " ".join(_CONTROL.sub(" ", speaker).split())
    if not name or len(name) > _LONGEST_NAME:
        raise UnusableCorrection(f"a speaker's name has 1 to {_LONGEST_NAME} characters")
    old = passages[0].speaker
    stretches = tuple(
        reading.stretch(turn.first, turn.stop)
        for turn in reading.outline()
        if (turn.speaker == old if everywhere else turn.first < stop and first < turn.stop) and turn.speaker != name
    )
    if not stretches:
        return []
    where = reading.stretch(stretches[0].first, stretches[-1].stop)
    return [Draft(Kind.SPEAKER, where, old or "", name, stretches=stretches)]


def split_turn(reading: CorrectedReading, first: int) -> list[Draft]:
    """Return the change that begins a turn at the word; none if a turn begins there already."""
    passage = _whole_passages(reading, first, first + 1, may_begin_in=True)[0]
    if passage.first in reading.starts:
        return []
    where = _stretch(reading, [passage])
    return [Draft(Kind.SPLIT, where, heard=reading.heard(where.first, where.stop))]


def join_turns(reading: CorrectedReading, first: int) -> list[Draft]:
    """Return the change that joins the turn that begins at the word to the previous turn, and to its speaker.

    Raises `UnusableCorrection` if no turn begins there or there is no previous turn.
    """
    if first not in reading.starts[1:]:
        raise UnusableCorrection(f"no turn that can be joined to the previous one begins at word {first}")
    before, turn = reading.turns(first - 1, first + 1)
    old, new = turn.speaker, before.passages[-1].speaker
    stretches = (reading.stretch(turn.first, turn.stop),) if new != old and new is not None else ()
    where = _stretch(reading, turn.passages[:1])
    heard = reading.heard(where.first, where.stop)
    return [Draft(Kind.JOIN, where, old or "", new or "", heard, stretches)]


def undo(reading: CorrectedReading, state: ChangedWords, change: Draft, version: int) -> list[Draft]:
    """Return the change that undoes `change`, which has that version.

    Raises `UnusableCorrection` if its words were changed again since, or it belongs to an earlier transcript.
    """
    if version in state.undone:
        raise UnusableCorrection(f"change {version} is already undone")
    if not state.is_untouched_since(version):
        raise UnusableCorrection(f"the words of change {version} were changed again since: undo the later change first")
    where = reading.stretch(change.where.first, change.where.stop)
    return [Draft(Kind.UNDO, where, change.new, change.old, change.heard, change.stretches, undoes=version)]


def _whole_passages(reading: CorrectedReading, first: int, stop: int, *, may_begin_in: bool = False) -> list[Passage]:
    if not 0 <= first < stop <= len(reading.words):
        raise UnusableCorrection(f"words {first} to {stop} are not among the {len(reading.words)} of the transcript")
    passages = list(reading.passages(first, stop))
    if not may_begin_in and (passages[0].first != first or passages[-1].stop != stop):
        raise UnusableCorrection(
            f"words {first} to {stop} cut a passage: use {passages[0].first} to {passages[-1].stop}"
        )
    return passages


def _text_draft(reading: CorrectedReading, passages: Sequence[Passage], new: Sequence[Token]) -> Draft:
    where = _stretch(reading, passages)
    text = join_words([Word(token.text, 0.0, 0.0, glued=token.glued) for token in new])
    return Draft(Kind.TEXT, where, _text(passages), text, reading.heard(where.first, where.stop))


def _stretch(reading: CorrectedReading, passages: Sequence[Passage]) -> WordRange:
    return reading.stretch(passages[0].first, passages[-1].stop)


def _text(passages: Sequence[Passage]) -> str:
    return join_words([word for passage in passages for word in passage.words])


@dataclass(frozen=True, slots=True)
class Replacement:
    """One turn with replacements, before and after."""

    first: int
    stop: int
    #: Seconds from the start of the recording.
    start: float
    old: str
    new: str
    #: `old` cut at the matches: the text before the first match, the match, the text up to the next match, and so on.
    parts: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of matches in the turn."""
        return len(self.parts) // 2


def find_replacements(
    reading: CorrectedReading, sought: str, new: str, *, match_case: bool = False
) -> list[Replacement]:
    """Return the turns that a replacement would change. Only whole words match, in any case unless `match_case`.

    In a script without spaces, any position matches. Raises `UnusableCorrection` for an empty or too long search.
    """
    sought = " ".join(sought.split())
    if not sought or len(sought) > _LONGEST_SOUGHT or len(new) > _LONGEST_SOUGHT:
        raise UnusableCorrection(
            f"enter the text to find and its replacement, at most {_LONGEST_SOUGHT} characters each"
        )
    pattern = _pattern(sought, match_case=match_case)
    return list(_changed_turns(reading, pattern, " ".join(new.split())))


def replace_all(reading: CorrectedReading, turns: list[Replacement]) -> list[Draft]:
    """Return the changes that make the replacements."""
    return [draft for turn in turns for draft in retype(reading, turn.first, turn.stop, turn.new)]


def _changed_turns(reading: CorrectedReading, pattern: re.Pattern[str], new: str) -> Iterator[Replacement]:
    for turn in reading.turns():
        old = turn.text
        parts = tuple(pattern.split(old))
        text = "".join(new if index % 2 else part for index, part in enumerate(parts))
        if text != old:
            yield Replacement(turn.first, turn.stop, reading.words[turn.first].start, old, text, parts)


def _pattern(sought: str, *, match_case: bool) -> re.Pattern[str]:
    # Word boundaries count only next to letters and digits, so that "C#" is found as well as "cat".
    before = r"(?<!\w)" if sought[0].isascii() and sought[0].isalnum() else ""
    after = r"(?!\w)" if sought[-1].isascii() and sought[-1].isalnum() else ""
    words = r"\s+".join(re.escape(word) for word in sought.split(" "))
    return re.compile(f"({before}{words}{after})", 0 if match_case else re.IGNORECASE)
