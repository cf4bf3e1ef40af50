"""The source text of a cue: the shown text and the markup between, which corrections leave in place."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transcription_dagster.captions.caption_file import CaptionFile, CaptionKind
from transcription_dagster.captions.marks import NOTES, TURNS
from transcription_dagster.language.alignment import Token, tokenize

#: `{\an8}` of SubStation Alpha and `{y:i}` of MicroDVD, which players accept in SRT.
_BRACES = r"\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}"
_PIECES: dict[CaptionKind, re.Pattern[str]] = {
    "vtt": re.compile(rf"(?P<markup><[^<>]*>|{_BRACES})|&(?:#\d+|#x[0-9a-f]+|\w+);|\r\n|.", re.DOTALL | re.IGNORECASE),
    "srt": re.compile(
        rf"(?P<markup></?(?:b|i|u|s|em|strong|font|span|c|v|lang|ruby|rt)(?:[ .][^<>]*)?>"
        rf"|<[0-9:.]+>|{_BRACES})|\r\n|.",
        re.DOTALL | re.IGNORECASE,
    ),
}


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


def cue_atoms(source: str, kind: CaptionKind) -> list[Atom]:
    """Split a cue's source into atoms that join back to the source."""
    atoms = []
    for piece in _PIECES[kind].finditer(source):
        text = piece.group()
        shown = "" if piece["markup"] else "\n" if text in ("\r\n", "\r") else text
        atoms.append(Atom(text, html.unescape(shown) if kind == "vtt" and len(shown) > 1 else shown))
    shown_by = [atom for atom in atoms for _ in atom.shown]
    text = "".join(atom.shown for atom in atoms)
    for first, stop in [*(match.span() for match in NOTES.finditer(text)), *_turn_spans(text)]:
        for atom in shown_by[first:stop]:
            if not atom.shown.isspace():
                atom.shown, atom.mark = "", True
    return atoms


def _turn_spans(text: str) -> Iterator[tuple[int, int]]:
    return (match.span("mark") for match in TURNS.finditer(text))


def shown_words(atoms: Sequence[Atom]) -> list[ShownWord]:
    """Return the words that the atoms show, in order."""
    shown_by = [atom for atom in atoms for _ in atom.shown]
    text = "".join(atom.shown for atom in atoms)
    words: list[ShownWord] = []
    position = line = 0
    for token in tokenize(text):
        first = text.index(token.text, position)
        line += text.count("\n", position, first)
        position = first + len(token.text)
        own = {id(atom): atom for atom in shown_by[first:position]}
        words.append(ShownWord(token, line, tuple(own.values())))
    return words


def shown_lines(captions: CaptionFile) -> list[tuple[str, ...]]:
    """Return the lines each cue shows, with music and dialogue marks, without markup and empty lines."""
    shown = []
    for cue in captions.cues:
        atoms = cue_atoms("".join(captions.lines[cue.first : cue.stop]), captions.kind)
        text = "".join(_visible(atom, captions.kind) for atom in atoms)
        shown.append(tuple(bare for line in text.split("\n") if (bare := line.strip())))
    return shown


def converted(source: str, given: CaptionKind, wanted: CaptionKind) -> str:
    """Convert a cue's text to another format: bold, italic and underline stay; other tags and empty lines go."""
    pieces = []
    for atom in cue_atoms(source, given):
        style = _STYLE.fullmatch(atom.source)
        pieces.append(f"<{style[1]}{style[2].lower()}>" if style else escaped(_visible(atom, given), wanted))
    lines = (line.strip() for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def escaped(text: str, kind: CaptionKind) -> str:
    """Escape a text for a format."""
    return html.escape(text, quote=False) if kind == "vtt" else text.replace("-->", "->")


def _visible(atom: Atom, kind: CaptionKind) -> str:
    if not atom.mark:
        return atom.shown
    return html.unescape(atom.source) if kind == "vtt" else atom.source
