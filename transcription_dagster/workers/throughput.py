"""An executor's work and speed: its recordings, its rates, and its bottleneck."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from transcription_dagster.pool.worker_registry import ExecutorWork, RecordingProgress
from transcription_dagster.whisper.engine import Usage

#: Seconds over which rates are measured.
_SPAN_SECONDS = 60.0
#: Enough to decode a recording's audio, and too little for another executor to start it sooner.
_LOOK_AHEAD_SECONDS = 3.0
#: Below this share of busy time, the device is waiting for something.
_BUSY_SHARE = 0.95


class Job:
    """A job in progress. Its thread reports the progress."""

    def __init__(self, recording: str, started: float) -> None:
        self.recording = recording
        self.started = started
        #: Fraction done, 0 to 1.
        self.share = 0.0
        #: Length of the audio in seconds; None until it is prepared.
        self.seconds: float | None = None

    def prepared(self, seconds: float) -> None:
        """Report that the preparation is done."""
        self.seconds = seconds

    def progressed(self, share: float) -> None:
        """Report the fraction done."""
        self.share = share

    def seconds_left(self, now: float, pace: float | None) -> float | None:
        """Return the remaining time, from its progress or from the `pace` of another job: seconds per second of audio.

        None if neither is known.
        """
        elapsed = now - self.started
        if self.share:
            return elapsed * (1 - self.share) / self.share
        # A recording of a single window reports no progress before its end.
        return None if pace is None or self.seconds is None else pace * self.seconds - elapsed

    @property
    def seconds_done(self) -> float:
        return self.share * (self.seconds or 0.0)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The counters at one time."""

    at: float
    usage: Usage
    #: Seconds of audio transcribed so far.
    audio: float


class Throughput:
    """An executor's jobs and rates. Used in the event loop, except for `Job.progressed`."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._audio_of_ended = 0.0
        #: Seconds per second of audio of the last finished job.
        self._pace: float | None = None
        self._moments: deque[_Moment] = deque()

    @contextmanager
    def job(self, recording: str) -> Iterator[Job]:
        """Count a job while it is in progress."""
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
        """Return the number of jobs that end so soon that others should be prepared."""
        left = (job.seconds_left(time.monotonic(), self._pace) for job in self.jobs)
        return sum(seconds is not None and seconds <= _LOOK_AHEAD_SECONDS for seconds in left)

    def measure(self, now: float, usage: Usage) -> None:
        """Record the counters at `now`, in seconds of a monotonic clock."""
        audio = self._audio_of_ended + sum(job.seconds_done for job in self.jobs)
        self._moments.append(_Moment(now, usage, audio))
        while now - self._moments[0].at > _SPAN_SECONDS:
            self._moments.popleft()

    def described(self) -> ExecutorWork:
        """Return the current state."""
        first, last = self._moments[0], self._moments[-1]
        # At the first measurement, the rates before it are unknown.
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
        """Return what the device waits for; None if it is busy."""
        if not self.jobs:
            return "requests"
        if busy >= _BUSY_SHARE:
            return None
        if all(job.seconds is None for job in self.jobs):
            return "audio that is decoded"
        return "spectrograms and checks of the text"
