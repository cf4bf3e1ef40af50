"""Songs and quotations among timed words: their notes and guillemets stay with the words beside them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transcription_dagster.model import Word

#: A word that consists of a note and optional punctuation.
_NOTE_ALONE = re.compile(r"([♩♪♫♬]+|#)[.,;!?]*")
_OPENING = re.compile(r"[♩♪♫♬]++(?=[^\s\w]*+\w)")
_CLOSING = re.compile(r"(?<=\w)[^\s\w]*+(?<=[♩♪♫♬])\Z")
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
    songs = _find_songs(words)
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


def _find_songs(words: Sequence[Word]) -> list[Song]:
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
