"""Unspoken marks in captions: music notes around songs, and the dashes and arrows before turns of dialogue."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from transcription_dagster.language.alignment import Token, tokenize
from transcription_dagster.model import Word

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
    starts = _starts(bare, tokens)
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


def _starts(text: str, tokens: Sequence[MarkedToken]) -> list[int]:
    starts: list[int] = []
    position = 0
    for token in tokens:
        starts.append(text.index(token.token.text, position))
        position = starts[-1] + len(token.token.text)
    return starts


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
        shown.append(replace(token.token, text=mark + before + token.token.text + after))
    return shown


#: A word that consists of a note and optional punctuation.
_NOTE_ALONE = re.compile(r"([♩♪♫♬]+|#)[.,;!?]*")
_OPENING = re.compile(r"[♩♪♫♬]+(?=\w)|[♩♪♫♬]+(?=[^\s\w]*\w)")
_CLOSING = re.compile(r"(?<=\w)[^\s\w]*?([♩♪♫♬]+)\Z")
#: Notes further apart than this enclose speech between two pieces of music, not a song.
_LONGEST_SONG_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Song:
    """The words [`first`, `stop`) of a song, including its notes."""

    first: int
    stop: int
    mark: str
    #: Separates a note from the word beside it.
    space: str


@dataclass(frozen=True, slots=True)
class SungWords:
    """Words with the notes of songs joined to their neighbours, so that no break separates them."""

    words: Sequence[Word]
    #: Index of each word's start among the transcript's words, followed by the number of those.
    edges: Sequence[int]
    #: The songs, in terms of these words.
    songs: Sequence[Song]

    def sung(self) -> list[bool]:
        """Return, for each word, whether it belongs to a song."""
        flags = [False] * len(self.words)
        for song in self.songs:
            flags[song.first : song.stop] = [True] * (song.stop - song.first)
        return flags

    def shown(self, first: int, stop: int) -> list[Word]:
        """Return the words [`first`, `stop`) as a cue or a speaker's line shows them, with notes around each song."""
        words = [*self.words[first:stop]]
        if (song := self._song_at(first)) and song.first < first:
            words[0] = replace(words[0], text=f"{song.mark}{song.space}{words[0].text}")
        if (song := self._song_at(stop - 1)) and song.stop > stop:
            words[-1] = replace(words[-1], text=f"{words[-1].text}{song.space}{song.mark}")
        return words

    def _song_at(self, index: int) -> Song | None:
        number = bisect_right(self.songs, index, key=lambda song: song.first) - 1
        return self.songs[number] if number >= 0 and index < self.songs[number].stop else None


def find_songs(words: Sequence[Word]) -> list[Song]:
    """Find the songs among the words, in order. An unpaired note, as for instrumental music, makes no song."""
    songs: list[Song] = []
    opened: Song | None = None
    for index, word in enumerate(words):
        if note := _NOTE_ALONE.fullmatch(word.text):
            opened = _at_note(words, index, note[1], opened, songs)
            continue
        if opening := _OPENING.match(word.text):
            opened = Song(index, index, opening[0], "")
        if opened and opened.mark != "#" and _CLOSING.search(word.text):
            _close_song(words, opened, index + 1, songs)
            opened = None
    return songs


def _at_note(words: Sequence[Word], index: int, mark: str, opened: Song | None, songs: list[Song]) -> Song | None:
    """Return the open song after a separate note, which closes an open song or opens one."""
    following = words[index + 1] if index + 1 < len(words) else None
    if mark == "#" and ((opened and opened.mark != "#") or (not opened and (not following or _is_number(following)))):
        return opened
    if opened and (opened.mark == "#") == (mark == "#") and index > opened.first + 1:
        _close_song(words, opened, index + 1, songs)
        return None
    return Song(index, index, mark, "" if following and following.glued else " ")


def _close_song(words: Sequence[Word], opened: Song, stop: int, songs: list[Song]) -> None:
    if words[stop - 1].end - words[opened.first].start <= _LONGEST_SONG_SECONDS:
        songs.append(replace(opened, stop=stop))


def _is_number(word: Word) -> bool:
    return word.text[:1].isdigit()


def join_marks(words: Sequence[Word]) -> SungWords:
    """Join separate song notes and »quotation marks« to their neighbours."""
    quoted, edges = join_quotes(words)
    sung = _join_notes(quoted)
    return sung if quoted is words else SungWords(sung.words, [edges[edge] for edge in sung.edges], sung.songs)


def join_quotes(words: Sequence[Word]) -> tuple[Sequence[Word], Sequence[int]]:
    """Join separate guillemets to the words of a German »quotation«; return the edges too.

    French « quotations » need no joining: the rules already keep » from starting and « from ending a line.
    """
    if next((word.text for word in words if word.text in "»«›‹"), "") not in ("»", "›"):
        return words, range(len(words) + 1)
    joined: list[Word] = []
    edges: list[int] = []
    opening: tuple[int, Word] | None = None
    for index, word in enumerate(words):
        if word.text in ("»", "›") and index + 1 < len(words):
            opening = (
                (opening[0], replace(opening[1], text=_joined_text(opening[1], word))) if opening else (index, word)
            )
            continue
        if word.text[:1] in "«‹" and len(word.text.rstrip(".,;:!?")) == 1 and joined and not opening:
            joined[-1] = replace(joined[-1], text=_joined_text(joined[-1], word))
            continue
        if opening:
            index, mark = opening
            word = replace(word, text=_joined_text(mark, word), glued=mark.glued)
        joined.append(word)
        edges.append(index)
        opening = None
    return joined, [*edges, len(words)]


def _joined_text(before: Word, after: Word) -> str:
    return before.text + ("" if after.glued else " ") + after.text


def _join_notes(words: Sequence[Word]) -> SungWords:
    """Join the notes of songs to their neighbours, whose times they take."""
    songs = find_songs(words)
    if not songs:
        return SungWords(words, range(len(words) + 1), [])
    joined: list[Word] = []
    edges: list[int] = []
    joined_songs: list[Song] = []
    position = 0
    for song in songs:
        joined += words[position : song.first]
        edges += range(position, song.first)
        sung, sung_edges = _sung(words, song)
        joined_songs.append(replace(song, first=len(joined), stop=len(joined) + len(sung)))
        joined += sung
        edges += sung_edges
        position = song.stop
    return SungWords([*joined, *words[position:]], [*edges, *range(position, len(words) + 1)], joined_songs)


def _sung(words: Sequence[Word], song: Song) -> tuple[list[Word], list[int]]:
    """Return the words of a song with its notes joined to the first and last, and where each starts."""
    opening = _NOTE_ALONE.fullmatch(words[song.first].text) is not None
    closing = _NOTE_ALONE.fullmatch(words[song.stop - 1].text) is not None
    first, stop = song.first + opening, song.stop - closing
    sung = [*words[first:stop]]
    if opening:
        note = words[song.first]
        sung[0] = replace(sung[0], text=f"{note.text}{song.space}{sung[0].text}", glued=note.glued)
    if closing:
        sung[-1] = replace(sung[-1], text=f"{sung[-1].text}{song.space}{words[song.stop - 1].text}")
    return sung, [song.first, *range(first + 1, stop)]
