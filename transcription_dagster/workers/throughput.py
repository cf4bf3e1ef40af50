"""What an executor does and how fast: its recordings, the audio it gets done, and why its device waits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from transcription_dagster.pool.executor_work import ExecutorWork, RecordingProgress
from transcription_dagster.whisper.engine import Usage

#: Rates are measured over so many seconds.
_SPAN_SECONDS = 60.0
#: Enough to decode a recording's audio, and too little for another executor to have begun with it sooner.
_LOOK_AHEAD_SECONDS = 3.0
#: A device that works for less of the time waits for something.
_BUSY_SHARE = 0.95


class Job:
    """One piece of work under way. Its thread tells of its progress."""

    def __init__(self, recording: str, started: float) -> None:
        self.recording = recording
        self.started = started
        #: Fraction that is done, 0 to 1.
        self.share = 0.0
        #: Length of the audio; None until it is prepared.
        self.seconds: float | None = None

    def prepared(self, seconds: float) -> None:
        """Say that the preparation is done."""
        self.seconds = seconds

    def progressed(self, share: float) -> None:
        """Say how much is done."""
        self.share = share

    def seconds_left(self, now: float, pace: float | None) -> float | None:
        """Return how long it will go on, by its progress, or by the `pace` of another: seconds for a second of audio.

        None if neither is known.
        """
        elapsed = now - self.started
        if self.share:
            return elapsed * (1 - self.share) / self.share
        # A recording of a single window has no progress before it ends.
        return None if pace is None or self.seconds is None else pace * self.seconds - elapsed

    @property
    def seconds_done(self) -> float:
        return self.share * (self.seconds or 0.0)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The counters at a moment."""

    at: float
    usage: Usage
    #: Seconds of audio that were transcribed so far.
    audio: float


class Throughput:
    """The jobs of an executor and its rates. Used in the event loop, but for `Job.progressed`."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._audio_of_ended = 0.0
        #: Seconds that the last job took for a second of audio.
        self._pace: float | None = None
        self._moments: deque[_Moment] = deque()

    @contextmanager
    def job(self, recording: str) -> Iterator[Job]:
        """Count a job while it is under way."""
        job = Job(recording, time.monotonic())
        self.jobs.append(job)
        try:
            yield job
        finally:
            self.jobs.remove(job)
            self._audio_of_ended += job.seconds_done
            if job.seconds_done:
                self._pace = (time.monotonic() - job.started) / job.seconds_done

    @property
    def ending(self) -> int:
        """How many jobs end so soon that it is time to prepare others."""
        left = (job.seconds_left(time.monotonic(), self._pace) for job in self.jobs)
        return sum(seconds is not None and seconds <= _LOOK_AHEAD_SECONDS for seconds in left)

    def measure(self, now: float, usage: Usage) -> None:
        """Take the counters at `now`, in seconds of a clock that never goes back."""
        audio = self._audio_of_ended + sum(job.seconds_done for job in self.jobs)
        self._moments.append(_Moment(now, usage, audio))
        while now - self._moments[0].at > _SPAN_SECONDS:
            self._moments.popleft()

    def described(self) -> ExecutorWork:
        """Return the present state."""
        first, last = self._moments[0], self._moments[-1]
        # At the first moment nothing is known of the time before it.
        seconds = last.at - first.at or 1.0
        busy = (last.usage.worked_seconds - first.usage.worked_seconds) / seconds
        return ExecutorWork(
            slots=last.usage.slots,
            slots_busy=last.usage.busy,
            recordings=tuple(RecordingProgress(job.recording, round(job.share, 3)) for job in self.jobs),
            windows_per_second=round((last.usage.windows - first.usage.windows) / seconds, 3),
            audio_hours_per_hour=round((last.audio - first.audio) / seconds, 2),
            device_busy=round(min(1.0, busy), 3),
            waits_for=self._waits_for(busy),
        )

    def _waits_for(self, busy: float) -> str | None:
        """Return what the device waits for, None if it works."""
        if not self.jobs:
            return "requests"
        if busy >= _BUSY_SHARE:
            return None
        if all(job.seconds is None for job in self.jobs):
            return "audio that is decoded"
        return "spectrograms and checks of the text"
