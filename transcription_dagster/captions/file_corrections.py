"""Apply a corrected text to a caption file, changing only the words that differ in the file's own lines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from transcription_dagster.captions.cue_corrections import places_of
from transcription_dagster.captions.layout import CaptionLimits, display_width, line_stops
from transcription_dagster.captions.marks import (
    LOOSE_DASH,
    NOTES,
    MarkedToken,
    marked_tokens,
    shown_tokens,
    unspoken_finder,
)
from transcription_dagster.captions.markup import (
    Atom,
    CaptionKind,
    ShownWord,
    cue_atoms,
    escaped,
    shown_words,
    without_invisible,
)
from transcription_dagster.captions.subtitles import CaptionFile
from transcription_dagster.language.tokenization import Token
from transcription_dagster.model import Word

#: Share of cues starting with the previous line above which captions without word times count as rolling.
_ROLLING = 0.5
_TURN_MARK = re.compile(r"[-‐–—>]")


def correct_file(captions: CaptionFile, corrected: str, limits: CaptionLimits | None = None) -> str:
    """Return the file with the words of `corrected`; everything else stays identical to the byte.

    Markup, dialogue dashes and music notes keep their places; a cue without such marks gets those of `corrected`.
    Sounds in brackets stay if `corrected` has no brackets at all, and names of speakers ("MAN:") that it never names. A
    cue that loses all its words is dropped, without renumbering. Lines are broken again only if one becomes too wide.
    Raises `UnrelatedText` if the text has too little in common with the captions.
    """
    cues = _cue_texts(captions, unspoken_finder(corrected))
    spoken, spoken_indices = _spoken_words(cues)
    corrected = without_invisible(corrected, [atom for cue in cues for atom in cue.atoms])
    loose_dashes = _dashes_mark_turns(cues)
    new = marked_tokens(corrected, loose_dashes=loose_dashes)
    old = marked_tokens(spoken_text(captions), loose_dashes=loose_dashes)
    if new and new == old:
        # Nothing is corrected, so ambiguous marks such as a lone "#" need no interpretation.
        return "".join(captions.lines)
    new_tokens: defaultdict[int, list[MarkedToken]] = defaultdict(list)
    places = places_of([word.token.text for word in spoken], [token.token.text for token in new])
    for token, place in zip(new, places, strict=True):
        new_tokens[place].append(token)
    widest = max([(limits or CaptionLimits()).max_line_characters, *(width for cue in cues for width in cue.widths())])
    # Two cues show each line of rolling captions, and the marks of one say nothing about the other.
    added = _Added(False, False) if any(_rolling_lines(cues)) else _added_marks(old, new)
    texts = [
        _corrected(cue, [new_tokens[index] for index in indices], widest, added)
        for cue, indices in zip(cues, spoken_indices, strict=True)
    ]
    return "".join(_assembled(captions, texts))


def _dashes_mark_turns(cues: Sequence[_CueText]) -> bool:
    """Return whether a dash between spaces marks a turn: whether the captions use dashes for turns only."""
    atoms = [atom for cue in cues for atom in cue.atoms]
    marked = any(atom.mark and atom.source in "-‐–—>" for atom in atoms)
    return marked and not LOOSE_DASH.search("".join(atom.shown for atom in atoms))


def spoken_text(captions: CaptionFile) -> str:
    """Return the captions' text line by line, with each line of rolling captions once."""
    cues = _cue_texts(captions)
    _, spoken_indices = _spoken_words(cues)
    lines: list[str] = []
    seen = 0
    for cue, indices in zip(cues, spoken_indices, strict=True):
        new_lines = {word.line for word, index in zip(cue.words, indices, strict=True) if index >= seen}
        seen = max([seen, *(index + 1 for index in indices)])
        rows = "".join(atom.source if atom.mark else atom.shown for atom in cue.atoms).split("\n")
        lines += [row.strip() for number, row in enumerate(rows) if number in new_lines]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _CueText:
    """The text of a cue as atoms, and the words they show."""

    kind: CaptionKind
    source: str
    atoms: list[Atom]
    words: list[ShownWord]

    def lines(self) -> list[list[ShownWord]]:
        """Return the words of each line that has any."""
        return [list(line) for _, line in groupby(self.words, key=lambda word: word.line)]

    def has_marks(self, pattern: re.Pattern[str]) -> bool:
        """Return whether it has marks that match the pattern."""
        return any(atom.mark and pattern.search(atom.source) for atom in self.atoms)

    def widths(self) -> Iterator[int]:
        """Return the width of each line in columns."""
        return (display_width(line.strip()) for line in "".join(atom.shown for atom in self.atoms).split("\n"))


def _cue_texts(
    captions: CaptionFile, unspoken: Callable[[str], Iterable[tuple[int, int]]] = lambda _text: ()
) -> list[_CueText]:
    """Return the texts of the cues, in which the spans that `unspoken` yields count as marks, not as words."""
    texts = []
    for cue in captions.cues:
        source = "".join(captions.lines[cue.first : cue.stop])
        atoms = cue_atoms(source, captions.kind, unspoken)
        texts.append(_CueText(captions.kind, source, atoms, shown_words(atoms)))
    return texts


def _spoken_words(cues: Sequence[_CueText]) -> tuple[list[ShownWord], list[list[int]]]:
    """Return the spoken words, and for each word of each cue the index of the spoken word it shows.

    In rolling captions (YouTube's) a cue repeats the last line of the cue before it.
    """
    repeated = _rolling_lines(cues)
    spoken: list[ShownWord] = []
    indices: list[list[int]] = []
    last_line: list[int] = []
    for cue, repeats in zip(cues, repeated, strict=True):
        cue_indices: list[int] = []
        for number, line in enumerate(cue.lines()):
            if number > 0 or not repeats:
                last_line = list(range(len(spoken), len(spoken) + len(line)))
                spoken += line
            cue_indices += last_line
        indices.append(cue_indices)
    return spoken, indices


def _rolling_lines(cues: Sequence[_CueText]) -> list[bool]:
    """Return, for each cue, whether its first line repeats the line before; all False unless the captions roll."""
    lines = [[[word.token.text for word in line] for line in cue.lines()] for cue in cues]
    repeats = [bool(before and after) and before[-1] == after[0] for before, after in pairwise(lines)]
    timed_words = any("<" in cue.source and "><c>" in cue.source for cue in cues)
    rolls = any(repeats) and (timed_words or (sum(repeats) > 1 and sum(repeats) >= _ROLLING * len(repeats)))
    return [False, *(rolls and repeat for repeat in repeats)][: len(cues)]


@dataclass(frozen=True, slots=True)
class _Added:
    """The kinds of marks that a corrected text adds to the captions."""

    notes: bool
    turns: bool


def _added_marks(old: Sequence[MarkedToken], new: Sequence[MarkedToken]) -> _Added:
    """Return the kinds of marks of which the corrected text has more than the captions."""

    def notes(tokens: Sequence[MarkedToken]) -> int:
        return sum(bool(token.before) + bool(token.after) for token in tokens)

    def turns(tokens: Sequence[MarkedToken]) -> int:
        return sum(bool(token.turn) for token in tokens)

    return _Added(notes(new) > notes(old), turns(new) > turns(old))


def _corrected(cue: _CueText, marked: Sequence[Sequence[MarkedToken]], widest: int, added: _Added) -> str | None:
    """Return the source of a cue with its new words, or None if none of its words are left."""
    new_words = _with_new_marks(cue, marked, added)
    if all([token.text for token in new] == [word.token.text] for word, new in zip(cue.words, new_words, strict=True)):
        return cue.source
    if not any(new_words):
        return None
    newline = next((end for end in ("\r\n", "\n", "\r") if end in cue.source), "\n")
    for number, (word, new) in enumerate(zip(cue.words, new_words, strict=True)):
        _reword(cue, word, new, newline)
        if not new:
            _close_gap(cue, number, new_words)
        elif number and not new[0].glued and (word.token.glued or not new_words[number - 1]):
            _open_gap(cue, word)
    _close_empty_lines(cue, new_words)
    source = "".join(atom.source for atom in cue.atoms)
    changed = _CueText(cue.kind, source, atoms := cue_atoms(source, cue.kind), shown_words(atoms))
    if max(changed.widths()) > widest and not any(atom.mark for atom in atoms):
        _break_again(changed, max(2, len(cue.lines())), widest, newline)
    return "".join(atom.source for atom in changed.atoms)


def _with_new_marks(cue: _CueText, marked: Sequence[Sequence[MarkedToken]], added: _Added) -> list[list[Token]]:
    """Return a cue's new words, with `added` marks of the kinds that the cue does not have yet."""
    tokens = [token for new in marked for token in new]
    turns = added.turns and not cue.has_marks(_TURN_MARK)
    shown = shown_tokens(tokens, notes=added.notes and not cue.has_marks(NOTES), turns=turns)
    for index, token in enumerate(tokens):
        if turns and token.turn and index:
            shown[index] = Token(f"\n{shown[index].text}", glued=True)
    remaining = iter(shown)
    return [[next(remaining) for _ in new] for new in marked]


def _reword(cue: _CueText, word: ShownWord, new: Sequence[Token], newline: str) -> None:
    """Replace an old word by the new words; unchanged punctuation keeps its side of the markup."""
    if [token.text for token in new] == [word.token.text]:
        return
    text = "".join(token.text if token.glued or not number else f" {token.text}" for number, token in enumerate(new))
    head = _common_marks(word.atoms, text)
    tail = _common_marks(word.atoms[head:][::-1], text[head:][::-1])
    changed = word.atoms[head : len(word.atoms) - tail]
    middle = text[head : len(text) - tail]
    changed[0].shown, changed[0].source = middle, escaped(middle, cue.kind).replace("\n", newline)
    for atom in changed[1:]:
        atom.shown = atom.source = ""
    if text.startswith("\n"):
        _drop_space(cue.atoms, word.atoms[0])


def _close_gap(cue: _CueText, number: int, new_words: Sequence[Sequence[Token]]) -> None:
    """Remove a space beside a deleted word; in a script without spaces only where the new words have none."""
    glued_after = number + 1 < len(cue.words) and cue.words[number + 1].token.glued
    following = next((new[0] for new in new_words[number + 1 :] if new), None)
    if cue.words[number].token.glued or (glued_after and following is not None and not following.glued):
        return
    _drop_space(cue.atoms, cue.words[number].atoms[0])


def _open_gap(cue: _CueText, word: ShownWord) -> None:
    """Insert a space before a word that replaces a glued one, unless a space or a line break is there."""
    first = word.atoms[0]
    index = next(index for index, atom in enumerate(cue.atoms) if atom is first)
    before = next((atom.shown for atom in reversed(cue.atoms[:index]) if atom.shown), " ")
    if not before[-1].isspace() and not first.shown[:1].isspace():
        first.shown, first.source = f" {first.shown}", f" {first.source}"


def _common_marks(atoms: Sequence[Atom], text: str) -> int:
    """Return how many leading punctuation marks the atoms and the text share; at least one of each remains."""
    count = 0
    for atom, character in zip(atoms[:-1], text[:-1], strict=False):
        if atom.shown != character or character.isalnum() or character.isspace():
            break
        count += 1
    return count


def _drop_space(atoms: Sequence[Atom], deleted: Atom) -> None:
    """Remove the space beside a deleted word or at the start of a line, but not a line break.

    Prefers the space on the word's own side of the markup, and of two the one before it.
    """
    index = next(index for index, atom in enumerate(atoms) if atom is deleted)
    sides = (atoms[:index][::-1], atoms[index + 1 :])
    direct = [next((atom for atom in side if atom.source), None) for side in sides]
    across = [next((atom for atom in side if atom.shown), None) for side in sides]
    for beside in (*direct, *across):
        if beside is not None and beside.shown in (" ", "\t", "\u3000", "\xa0"):
            beside.shown = beside.source = ""
            return


def _close_empty_lines(cue: _CueText, new_words: Sequence[Sequence[Token]]) -> None:
    """Remove lines that lost all their words, which would end the cue; their markup stays."""
    with_words = {word.line for word, new in zip(cue.words, new_words, strict=True) if new}
    lost = {word.line for word in cue.words} - with_words
    line = 0
    rows: defaultdict[int, list[Atom]] = defaultdict(list)
    for atom in cue.atoms:
        rows[line].append(atom)
        line += atom.shown == "\n"
    for number in lost:
        for atom in rows[number]:
            if atom.shown or atom.mark:
                atom.source = atom.shown = ""
    if lost and (last := max(rows)) in lost and not cue.source.endswith(("\n", "\r")):
        for atom in rows[last - 1][-1:]:
            atom.source = atom.shown = ""


def _break_again(cue: _CueText, max_lines: int, widest: int, newline: str) -> None:
    """Break the lines again, at the best positions."""
    words = [Word(word.token.text, 0.0, 0.0, glued=word.token.glued) for word in cue.words]
    stops = set(line_stops(words, max_lines, widest))
    places = {id(atom): number for number, atom in enumerate(cue.atoms)}
    for number, (before, after) in enumerate(pairwise(cue.words), start=1):
        gap = cue.atoms[places[id(before.atoms[-1])] + 1 : places[id(after.atoms[0])]]
        spaces = [atom for atom in gap if atom.shown.isspace()]
        for atom in spaces:
            atom.source = ""
        separator = newline if number in stops else "" if after.token.glued else " "
        if spaces:
            spaces[0].source = separator
        elif number in stops:
            before.atoms[-1].source += separator


def _assembled(captions: CaptionFile, texts: Sequence[str | None]) -> Iterator[str]:
    """Yield the lines of the file with the cues' new texts; a cue without text is dropped, with its block."""
    row = 0
    for cue, text in zip(captions.cues, texts, strict=True):
        yield from captions.lines[row : cue.head]
        row = cue.stop
        if text is not None:
            yield from captions.lines[cue.head : cue.first]
            yield text
            continue
        while row < len(captions.lines) and not captions.lines[row].strip():
            row += 1
    yield from captions.lines[row:]
