"""Keep a recording on its own clock: gaps in its time stamps become silence, and overlapping sound is cut.

Otherwise every word after a gap would come too early, and captions would drift late in a recording whose stamps run
slower than its samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

#: Smallest difference in seconds to correct: more than containers round by, and less than the 42 ms of a frame at 24
#: frames a second, which a viewer of captions could notice.
_TOLERANCE_SECONDS = 0.03

#: Stamps of live recordings jitter: a difference counts only if every stamp within this many seconds shows it.
_LOOK_AHEAD_SECONDS = 0.5
_LOOK_AHEAD_FRAMES = 3

#: Longer jumps ahead must be confirmed by the container's length; otherwise the recorder's clock was set.
_LARGEST_UNCONFIRMED_GAP_SECONDS = 600.0

#: Longer jumps back count only in containers that stamp their own sound; otherwise the recorder's clock was set.
_LARGEST_UNCONFIRMED_OVERLAP_SECONDS = 1.0
_LARGEST_OVERLAP_SECONDS = 30.0

#: Stamps that return to the very beginning belong to a second recording, joined to the first.
_RESTART_SECONDS = 0.5


class Stamped(Protocol):
    """A piece of sound with its time stamp."""

    @property
    def stamp(self) -> float | None:
        """Return its time stamp in seconds on the container's clock."""
        ...

    @property
    def seconds(self) -> float:
        """Return its length in seconds."""
        ...


Piece = TypeVar("Piece", bound=Stamped)


@dataclass(frozen=True, slots=True)
class Clock:
    """A container's statements about time."""

    #: Time stamp in seconds of the recording's start; None for that of its first sound.
    origin: float | None = None
    #: Claimed length in seconds; None if there is none or it is only derived from the stamps.
    claimed_seconds: float | None = None


def place(pieces: Iterable[Piece], clock: Clock) -> Iterator[tuple[float, Piece]]:
    """Yield each piece with the correction to apply before it, in seconds.

    A positive correction inserts silence; a negative one cuts the beginning of the piece.
    """
    origin = clock.origin
    position = 0.0
    #: Remaining seconds to cut of an overlap that began in an earlier piece.
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
    """Yield, for each piece, a deque of it and its successors within the look-ahead."""
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
    """Return by how many seconds all stamps of the window are late (positive) or early; 0 within the tolerance."""
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
    """Return whether sound stamped `seconds` before the end of the previous sound overlaps it."""
    if position < _RESTART_SECONDS:
        return seconds < _RESTART_SECONDS
    limit = _LARGEST_UNCONFIRMED_OVERLAP_SECONDS if clock.claimed_seconds is None else _LARGEST_OVERLAP_SECONDS
    return seconds <= limit
