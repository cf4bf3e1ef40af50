"""Limits on captions: the numbers of the subtitling guides."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from transcription_dagster.errors import InvalidSetting

#: Marks each turn in a cue that two speakers share.
DASH = "- "


@dataclass(frozen=True, slots=True)
class CaptionLimits:
    """Limits on captions. The defaults are Netflix's for adult programmes in English."""

    max_lines: int = 2
    #: Columns per line; a wide (East Asian) character takes two.
    max_line_characters: int = 42
    min_seconds: float = 5 / 6
    max_seconds: float = 7.0
    characters_per_second: float = 20.0
    gap_frames: int = 2
    frame_rate: float = 24.0
    #: Shorter gaps between cues are reduced to `gap_frames`.
    close_gap_seconds: float = 0.5
    #: Seconds that a cue may stay after its last word if it would be too short or too fast to read (BBC).
    linger_seconds: float = 1.5
    #: Seconds of silence that no cue spans.
    max_pause_seconds: float = 2.5

    def __post_init__(self) -> None:
        """Raise `InvalidSetting` for limits that no caption can meet."""
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = int if isinstance(field.default, int) else int | float
            if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
                raise InvalidSetting(
                    f"a caption's {field.name} must be a number such as {field.default}, not {value!r}"
                )
        for name in ("max_lines", "max_line_characters", "characters_per_second", "frame_rate", "max_pause_seconds"):
            if getattr(self, name) <= 0:
                raise InvalidSetting(f"a caption's {name} must be greater than 0, not {getattr(self, name)}")
        if not 0 < self.min_seconds <= self.max_seconds:
            raise InvalidSetting(f"a caption cannot last {self.min_seconds} to {self.max_seconds} seconds")
        if min(self.gap_frames, self.close_gap_seconds, self.linger_seconds) < 0:
            raise InvalidSetting("a caption's gap and linger cannot be negative")

    @property
    def gap_ms(self) -> int:
        return math.ceil(self.gap_frames * 1000 / self.frame_rate)
