"""The source text of a cue as atoms: pieces of shown text, and markup, which corrections leave in place."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from transcription_dagster.captions.marks import NOTES, TURNS
from transcription_dagster.language.tokenization import Token, token_starts, tokenize

CaptionKind = Literal["srt", "vtt"]

#: `{\an8}` of SubStation Alpha and `{y:i}` of MicroDVD, which players accept in SRT.
_BRACES = r"\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}"
#: A reading above a word (ruby), which is not spoken in addition to the word.
_READING = r"<r[tp](?:[ .][^<>]*)?>[^<]*"
#: SRT has no escapes, but programs that convert HTML or WebVTT to it leave these.
_LEFT_ESCAPES = r"&(?:amp|lt|gt|quot|apos|nbsp|lrm|rlm|#\d{1,7}|#x[0-9a-f]{1,6});"
_PIECES: dict[CaptionKind, re.Pattern[str]] = {
    "vtt": re.compile(
        rf"(?P<markup>{_READING}|<[^<>]*>|{_BRACES})|&(?:#\d+|#x[0-9a-f]+|\w+);|\r\n|.", re.DOTALL | re.IGNORECASE
    ),
    "srt": re.compile(
        rf"(?P<markup>{_READING}|</?(?:b|i|u|s|em|strong|font|span|c|v|lang|ruby|r[tp])(?:[ .][^<>]*)?>"
        rf"|<[0-9:.]+>|{_BRACES})|{_LEFT_ESCAPES}|\\N|\\h|\r\n|.",
        re.DOTALL | re.IGNORECASE,
    ),
}
#: SubStation Alpha's line break and hard space, which Aegisub leaves in SRT.
_HARD_BREAKS = {"\\N": "\n", "\\h": "\xa0"}
#: The direction of text (UAX #9).
_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_DIRECTION = re.compile(f"[{_DIRECTIONS}]")
#: Invisible characters: directions, soft hyphens, byte order marks and control characters.
_INVISIBLE = re.compile(f"[{_DIRECTIONS}\u00ad\ufeff\x00-\x08\x0e-\x1f\x7f]")

#: The tags common to SRT and WebVTT, with WebVTT's classes.
_STYLE = re.compile(r"<(/?)([biu])(?:[. \t][^<>]*)?>", re.IGNORECASE)


@dataclass(slots=True)
class Atom:
    """A piece of a cue's source and the text it shows; empty for markup and for marks such as ♪."""

    source: str
    shown: str
    mark: bool = False


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word of a cue and its atoms, possibly with markup between them."""

    token: Token
    line: int
    atoms: tuple[Atom, ...]


def cue_atoms(
    source: str, kind: CaptionKind, unspoken: Callable[[str], Iterable[tuple[int, int]]] = lambda _text: ()
) -> list[Atom]:
    """Split a cue's source into atoms, which join back to the source; spans that `unspoken` yields become marks."""
    atoms = []
    for piece in _PIECES[kind].finditer(source):
        text = piece.group()
        atoms.append(Atom(text, "" if piece["markup"] else _INVISIBLE.sub("", _unescaped(text, kind))))
    shown_by = [atom for atom in atoms for _ in atom.shown]
    text = "".join(atom.shown for atom in atoms)
    turns = (match.span("mark") for match in TURNS.finditer(text))
    for first, stop in [*(match.span() for match in NOTES.finditer(text)), *turns, *unspoken(text)]:
        for atom in shown_by[first:stop]:
            if not atom.shown.isspace():
                atom.shown, atom.mark = "", True
    return atoms


def _unescaped(piece: str, kind: CaptionKind) -> str:
    if piece in ("\r\n", "\r"):
        return "\n"
    if kind == "srt" and piece in _HARD_BREAKS:
        return _HARD_BREAKS[piece]
    return html.unescape(piece) if len(piece) > 1 else piece


def without_invisible(text: str, captions: Sequence[Atom]) -> str:
    """Return a corrected text without invisible characters; directions stay if the captions have none."""
    has_directions = any(not atom.shown and _direction(atom) for atom in captions)
    return _INVISIBLE.sub(lambda match: "" if has_directions or not _DIRECTION.match(match[0]) else match[0], text)


def _direction(atom: Atom) -> str:
    """Return the direction of text that an atom sets."""
    return "".join(_DIRECTION.findall(html.unescape(atom.source))) if not atom.source.startswith("<") else ""


def shown_words(atoms: Sequence[Atom]) -> list[ShownWord]:
    """Return the words that the atoms show, in order."""
    shown_by = [atom for atom in atoms for _ in atom.shown]
    text = "".join(atom.shown for atom in atoms)
    words: list[ShownWord] = []
    tokens = tokenize(text)
    position = line = 0
    for token, first in zip(tokens, token_starts(text, tokens), strict=True):
        line += text.count("\n", position, first)
        position = first
        atoms_of_word = {id(atom): atom for atom in shown_by[first : first + len(token.text)]}
        words.append(ShownWord(token, line, tuple(atoms_of_word.values())))
    return words


def converted(source: str, kind: CaptionKind, target: CaptionKind) -> str:
    """Convert a cue's text to another format: bold, italic and underline stay; other tags and empty lines go."""
    pieces = []
    for atom in cue_atoms(source, kind):
        style = _STYLE.fullmatch(atom.source)
        pieces.append(f"<{style[1]}{style[2].lower()}>" if style else escaped(visible_text(atom, kind), target))
    lines = (line.strip() for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def escaped(text: str, kind: CaptionKind) -> str:
    """Escape a text for a format."""
    return html.escape(text, quote=False) if kind == "vtt" else text.replace("-->", "->")


def visible_text(atom: Atom, kind: CaptionKind) -> str:
    """Return the text that an atom shows on the screen, with marks and directions but without markup."""
    if not atom.mark:
        return atom.shown or _direction(atom)
    return html.unescape(atom.source) if kind == "vtt" else atom.source
