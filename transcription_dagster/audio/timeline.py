"""Keep a recording on its own clock: a gap in its time stamps becomes silence, and sound that overlaps is cut.

Without this every word behind a gap would come too early, and in a recording whose stamps run slower than its samples
the captions would drift late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

#: Smallest difference that is corrected: less than the 42 ms of a frame at 24 frames a second, which is what a reader
#: of captions can see, and more than containers round by.
_TOLERANCE_SECONDS = 0.03

#: Stamps of live recordings jitter. A difference counts once every stamp within this stretch of sound shows it.
_LOOK_AHEAD_SECONDS = 0.5
_LOOK_AHEAD_FRAMES = 3

#: A longer jump ahead is believed only if the container's own length agrees; otherwise the clock was set.
_LARGEST_UNCONFIRMED_GAP_SECONDS = 600.0

#: A longer jump back is believed only in a container that stamps its sound itself; otherwise the clock was set.
_LARGEST_UNCONFIRMED_OVERLAP_SECONDS = 1.0
_LARGEST_OVERLAP_SECONDS = 30.0

#: Stamps that return to the very beginning belong to a second recording that was joined to the first.
_RESTART_SECONDS = 0.5


class Stamped(Protocol):
    """A piece of sound with its place."""

    @property
    def stamp(self) -> float | None:
        """Where the container puts it, in seconds on the container's clock."""
        ...

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        ...


Piece = TypeVar("Piece", bound=Stamped)


@dataclass(frozen=True, slots=True)
class Clock:
    """What a container says about time."""

    #: Stamp, in seconds, that the recording starts with; None: that of its first sound.
    origin: float | None = None
    #: Length in seconds that the container claims; None where it claims none, or has only guessed it from the stamps.
    claimed_seconds: float | None = None


def place(pieces: Iterable[Piece], clock: Clock) -> Iterator[tuple[float, Piece]]:
    """Yield each piece with the correction to make before it, in seconds.

    A positive correction is a silence to insert, a negative one is how much of the piece's beginning to cut.
    """
    origin = clock.origin
    position = 0.0
    #: Seconds still to be cut of an overlap that began in an earlier piece.
    overlap = 0.0
    for window in _windows(pieces):
        piece = window[0]
        if origin is None:
            origin = piece.stamp
        correction = 0.0
        if not overlap and origin is not None:
            drift = _persistent_drift(window, origin + position)
            if drift > 0 and (drift <= _LARGEST_UNCONFIRMED_GAP_SECONDS or _confirmed(clock, position + drift)):
                correction = drift
            elif drift < 0 and _is_overlap(clock, position + drift, -drift):
                overlap = -drift
            else:
                origin += drift
        if overlap:
            correction = -min(overlap, piece.seconds)
            overlap += correction
        position += piece.seconds + correction
        yield correction, piece


def _windows(pieces: Iterable[Piece]) -> Iterator[deque[Piece]]:
    """Yield, for each piece, the deque of it and those that follow within the look-ahead."""
    window: deque[Piece] = deque()
    held = 0.0
    for piece in pieces:
        window.append(piece)
        held += piece.seconds
        while len(window) > _LOOK_AHEAD_FRAMES and held > _LOOK_AHEAD_SECONDS:
            yield window
            held -= window.popleft().seconds
    while window:
        yield window
        window.popleft()


def _persistent_drift(window: Iterable[Stamped], expected: float) -> float:
    """Return by how much the stamps of the whole window are late (positive) or early; 0 within the tolerance."""
    smallest: float | None = None
    for piece in window:
        if piece.stamp is not None:
            drift = piece.stamp - expected
            if abs(drift) < _TOLERANCE_SECONDS or (smallest is not None and (drift > 0) != (smallest > 0)):
                return 0.0
            smallest = drift if smallest is None or abs(drift) < abs(smallest) else smallest
        elif smallest is None:
            return 0.0
        expected += piece.seconds
    return smallest or 0.0


def _confirmed(clock: Clock, position: float) -> bool:
    return clock.claimed_seconds is not None and position <= clock.claimed_seconds + 1.0


def _is_overlap(clock: Clock, position: float, seconds: float) -> bool:
    """Whether sound that is stamped `seconds` before the end of what came before it overlaps that."""
    if position < _RESTART_SECONDS:
        return seconds < _RESTART_SECONDS
    limit = _LARGEST_UNCONFIRMED_OVERLAP_SECONDS if clock.claimed_seconds is None else _LARGEST_OVERLAP_SECONDS
    return seconds <= limit
