"""Unspoken marks in the text of captions: music notes, the dashes and arrows before turns of dialogue, and sounds."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from transcription_dagster.language.tokenization import Token, token_starts, tokenize

#: Music notes: alone in brackets for instrumental music, around the words of a song, or # instead (but not "# 1").
NOTES = re.compile(r"\[[\s♩♪♫♬]+\]|\([\s♩♪♫♬]+\)|[♩♪♫♬]+|(?<!\S)#(?!\S)(?!\s+\d)")
#: The mark of a turn of dialogue, at the start of a line or after a sentence.
TURNS = re.compile(
    r"(?:(?m:^)[ \t]*|(?<=[.?!…♪♫\])\"”»。？！])[ \t]+)(?P<mark>[-‐–—](?=[ \t]+\S|[^\s\d‐–—-])|>>>?(?=[ \t]|\w))"
)
#: The mark of a turn in this program's own captions.
OWN_TURNS = re.compile(r"(?m:^)(?P<mark>-)(?= \S)")
#: A sound or a speaker in brackets on one line, as in captions for the deaf and hard of hearing.
_BRACKETED = re.compile(r"\[[^\[\]\n]+\]|\([^()\n]+\)|（[^（）\n]+）|［[^［］\n]+］")
#: A speaker's name in capitals before the spoken words.
_NAME = re.compile(r"(?m:^)[ \t]*(?:[-‐–—][ \t]?|>>>?[ \t]?)?(?P<name>[A-Z][A-Z0-9 .'’-]{0,30}:)(?=\s)")
LOOSE_DASH = re.compile(r"(?<!\S)(?:[-‐–—]|>>>?)(?!\S)")


@dataclass(frozen=True, slots=True)
class MarkedToken:
    """A word and the marks beside it, including the space between."""

    token: Token
    #: A dash or arrow before it.
    turn: str = ""
    before: str = ""
    after: str = ""
    #: The opening and closing notes of its song; empty outside of songs.
    song: tuple[str, str] = ("", "")


def marked_tokens(text: str, turns: re.Pattern[str] = TURNS, *, loose_dashes: bool = False) -> list[MarkedToken]:
    """Return the words of a text, each with the marks beside it.

    `turns` finds the marks of turns; `loose_dashes`: a dash between spaces marks a turn at any position.
    """
    bare, marks = _blanked(text, turns, loose_dashes=loose_dashes)
    tokens = [MarkedToken(token) for token in tokenize(bare)]
    starts = token_starts(bare, (token.token for token in tokens))
    opened: int | None = None
    for position, mark, is_turn in marks if tokens else ():
        index = bisect_right(starts, position)
        space = " " if text[position + len(mark) : position + len(mark) + 1].isspace() else ""
        if is_turn:
            if index < len(tokens):
                tokens[index] = replace(tokens[index], turn=mark + space)
            continue
        glued_before = position > 0 and not text[position - 1].isspace() and bare[position - 1] == text[position - 1]
        closes = index == len(tokens) or (opened is not None and opened < index) or (bool(space) and glued_before)
        if closes and index > 0:
            _close(tokens, opened, index - 1, ("" if glued_before else " ") + mark)
            opened = None
        else:
            tokens[index] = replace(tokens[index], before=tokens[index].before + mark + space)
            opened = index if mark[0] not in "[(" else None
    return tokens


def unspoken_finder(corrected: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return a function that yields the unspoken spans of a cue's text: those that `corrected` never has.

    These are sounds in brackets if `corrected` has no brackets, and names of speakers ("MAN:") that do not occur in it.
    """
    has_brackets = _BRACKETED.search(corrected) is not None
    folded = corrected.casefold()

    def spans(text: str) -> Iterator[tuple[int, int]]:
        if not has_brackets:
            yield from (match.span() for match in _BRACKETED.finditer(text))
        yield from (match.span("name") for match in _NAME.finditer(text) if match["name"].casefold() not in folded)

    return spans


def _close(tokens: list[MarkedToken], opened: int | None, last: int, note: str) -> None:
    tokens[last] = replace(tokens[last], after=tokens[last].after + note)
    if opened is not None:
        song = (tokens[opened].before, note)
        tokens[opened : last + 1] = [replace(token, song=song) for token in tokens[opened : last + 1]]


def _blanked(text: str, turns: re.Pattern[str], *, loose_dashes: bool) -> tuple[str, list[tuple[int, str, bool]]]:
    """Return the text with its marks blanked, and the marks as (position, mark, whether it marks a turn)."""
    marks = [(match.start(), match.group(), False) for match in NOTES.finditer(text)]
    marks += [(match.start("mark"), match["mark"], True) for match in turns.finditer(text)]
    if loose_dashes:
        known = {position for position, _, _ in marks}
        marks += [(m.start(), m.group(), True) for m in LOOSE_DASH.finditer(text) if m.start() not in known]
    characters = list(text)
    for position, mark, _ in marks:
        characters[position : position + len(mark)] = " " * len(mark)
    return "".join(characters), sorted(marks)


def shown_tokens(tokens: Sequence[MarkedToken], *, notes: bool, turns: bool) -> list[Token]:
    """Return the words of one cue as shown, with music notes and turn marks.

    A song that continues beyond the cue has notes at both ends of the cue. If several turns share the cue, each starts
    with its mark.
    """
    marks = [""] * len(tokens)
    if turns:
        marks = [token.turn for token in tokens]
        if tokens and not marks[0] and any(marks):
            marks[0] = next(mark for mark in marks if mark)
    shown: list[Token] = []
    for index, (token, mark) in enumerate(zip(tokens, marks, strict=True)):
        before, after = (token.before, token.after) if notes else ("", "")
        if notes and index == 0:
            before = before or token.song[0]
        if notes and index == len(tokens) - 1:
            after = after or token.song[1]
        # Most words have no mark, and a copy costs more than the rest.
        has_mark = mark or before or after
        shown.append(replace(token.token, text=mark + before + token.token.text + after) if has_mark else token.token)
    return shown
