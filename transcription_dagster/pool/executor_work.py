"""An executor's report on its work, in `transcription_workers.work`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """Progress of one recording."""

    recording: str
    #: Fraction done, 0 to 1.
    progress: float


@dataclass(frozen=True, slots=True)
class ExecutorWork:
    """An executor's recordings, and its rates over the last minute."""

    #: Number of windows that it can decode together, and the number in progress.
    slots: int
    slots_busy: int
    recordings: tuple[RecordingProgress, ...]
    windows_per_second: float
    audio_hours_per_hour: float
    #: Share of time in which the device is busy, 0 to 1.
    device_busy: float
    #: What the device waits for; None if it is busy.
    waits_for: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ExecutorWork:
        """Read what `as_json` returned."""
        recordings = tuple(RecordingProgress(**each) for each in content["recordings"])
        return cls(**{**content, "recordings": recordings})

    def rates(self) -> str:
        """Return the speed and the bottleneck as text."""
        doing = (
            f"{self.slots_busy} of {self.slots} slots, {self.windows_per_second:.2g} windows a second, "
            f"{self.audio_hours_per_hour:.1f} hours of audio an hour"
        )
        return f"{doing}; waits for {self.waits_for}" if self.waits_for else doing
