"""Group captions into chunks that an embedding model can read whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from transcription_dagster.language.boundaries import closes_sentence
from transcription_dagster.model import Cue

#: Share of a full chunk from which it may end early, at the end of a sentence.
_FULL_ENOUGH = 0.6

#: Seconds from which a turn counts as long.
_LONG_TURN_SECONDS = 15.0

#: Counts the tokens of each text, without the special tokens at its ends.
CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage and its time in seconds."""

    text: str
    start: float
    end: float
    #: Its speakers, in order of first appearance; empty if they are unknown.
    speakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A cue, or a part of one that is too long, and its tokens."""

    words: tuple[str, ...]
    start: float
    end: float
    tokens: int
    speakers: tuple[str, ...] = ()
    #: True at the start of a long turn and of the turn after one: a new chunk begins here.
    starts_chunk: bool = False


def make_chunks(cues: Sequence[Cue], count_tokens: CountTokens, max_tokens: int, overlap: int) -> list[Chunk]:
    """Group the cues into chunks of at most `max_tokens` tokens, along the cues' boundaries, sentences if possible.

    Each chunk begins with the cues that ended the one before it, as many as fit `overlap` tokens. A cue that alone
    is too long is divided, and its time with it. A chunk holds short turns of several speakers, but never a long turn
    and another one. Raises `ValueError` unless 0 <= overlap < max_tokens.
    """
    if not 0 <= overlap < max_tokens:
        raise ValueError(f"chunks of {max_tokens} tokens cannot overlap by {overlap}")
    pieces = _mark_long_turns(_pieces(cues, count_tokens, max_tokens))
    chunks = []
    first = 0
    while first < len(pieces):
        stop = _stop(pieces, first, max_tokens)
        chunks.append(_chunk(pieces[first:stop]))
        if stop == len(pieces):
            break
        first = _overlapping_first(pieces, first, stop, min(overlap, max_tokens - pieces[stop].tokens))
    return chunks


def _pieces(cues: Sequence[Cue], count_tokens: CountTokens, max_tokens: int) -> list[_Piece]:
    words = [tuple(" ".join(cue.lines).split()) for cue in cues]
    counts = count_tokens([" ".join(parts) for parts in words]) if cues else []
    pieces: list[_Piece] = []
    for cue, parts, count in zip(cues, words, counts, strict=True):
        if parts:
            whole = _Piece(parts, cue.start_ms / 1000, cue.end_ms / 1000, count, cue.speakers)
            pieces += _divide(whole, count_tokens, max_tokens)
    return pieces


def _mark_long_turns(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Mark the pieces that must start a chunk because a long turn starts or has just ended."""
    turns = [list(turn) for _, turn in groupby(pieces, key=lambda piece: piece.speakers)]
    is_long = [turn[-1].end - turn[0].start >= _LONG_TURN_SECONDS for turn in turns]
    for (before, after), turn in zip(pairwise(is_long), turns[1:], strict=True):
        turn[0] = replace(turn[0], starts_chunk=before or after)
    return [piece for turn in turns for piece in turn]


def _divide(piece: _Piece, count_tokens: CountTokens, max_tokens: int) -> list[_Piece]:
    if piece.tokens <= max_tokens or len(piece.words) == 1:
        return [piece]
    half = len(piece.words) // 2
    middle = round(piece.start + (piece.end - piece.start) * half / len(piece.words), 3)
    parts = piece.words[:half], piece.words[half:]
    counts = count_tokens([" ".join(part) for part in parts])
    halves = (
        replace(piece, words=parts[0], end=middle, tokens=counts[0]),
        replace(piece, words=parts[1], start=middle, tokens=counts[1]),
    )
    return [part for side in halves for part in _divide(side, count_tokens, max_tokens)]


def _stop(pieces: Sequence[_Piece], first: int, max_tokens: int) -> int:
    """Return where the chunk that starts at `first` ends: when it is full, or at the last sentence shortly before."""
    total = 0
    sentence_stop = None
    for index in range(first, len(pieces)):
        if pieces[index].starts_chunk and index > first:
            return index
        total += pieces[index].tokens
        if total > max_tokens and index > first:
            return sentence_stop or index
        if total >= _FULL_ENOUGH * max_tokens and closes_sentence(pieces[index].words[-1]):
            sentence_stop = index + 1
    return len(pieces)


def _overlapping_first(pieces: Sequence[_Piece], first: int, stop: int, room: int) -> int:
    """Return the first piece of the chunk after [`first`, `stop`), so that the overlap fits into `room` tokens."""
    begin = stop
    while begin - 1 > first and pieces[begin - 1].tokens <= room and not pieces[begin].starts_chunk:
        begin -= 1
        room -= pieces[begin].tokens
    return begin


def _chunk(pieces: Sequence[_Piece]) -> Chunk:
    text = " ".join(word for piece in pieces for word in piece.words)
    speakers = dict.fromkeys(speaker for piece in pieces for speaker in piece.speakers)
    return Chunk(text, pieces[0].start, pieces[-1].end, tuple(speakers))
