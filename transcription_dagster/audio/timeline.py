"""Keeping a recording's own clock: sound that comes late, or goes missing on the way, leaves a silence of its length.

Without it every word after a hole would be too early, and all the words of a video whose sound begins after its
picture.
"""

from __future__ import annotations

#: Time stamps are rounded, and some containers jitter: only a difference that can be seen in captions is a hole.
_SMALLEST_HOLE_SECONDS = 0.25

#: A longer jump is a clock that was set, not sound that is missing.
_LARGEST_HOLE_SECONDS = 600.0


class Timeline:
    """Compares where a recording's time stamps say that its sound is with where the sound before it ended."""

    def __init__(self, origin: float | None) -> None:
        """`origin` is the time stamp, in seconds, that the recording starts with; None: that of its first sound."""
        self._origin = origin

    def hole_before(self, stamp: float | None, position: float) -> float:
        """Return how many seconds are missing between `position`, where the sound so far ends, and `stamp`."""
        if stamp is None:
            return 0.0
        if self._origin is None:
            self._origin = stamp
        hole = stamp - self._origin - position
        if _SMALLEST_HOLE_SECONDS <= hole <= _LARGEST_HOLE_SECONDS:
            return hole
        if abs(hole) > _LARGEST_HOLE_SECONDS:
            self._origin += hole
        return 0.0
