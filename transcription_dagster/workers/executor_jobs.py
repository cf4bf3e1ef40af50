"""The jobs of a GPU executor: their progress and speed, and which of them may share the device."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sized
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from transcription_dagster.pool.worker_registry import ExecutorWork, RecordingProgress
from transcription_dagster.settings import RUNS_AHEAD
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
        times = (job.seconds_left(time.monotonic(), self._pace) for job in self.jobs)
        return sum(seconds is not None and seconds <= _LOOK_AHEAD_SECONDS for seconds in times)

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
            return "decoded audio"
        return "spectrograms and text checks"


#: Seconds that a full executor waits before it claims another job, so that others claim it first.
_LONGEST_PAUSE_SECONDS = 0.3
#: Jobs that have cost an executor share the slots divided by this number.
_SUSPECT_SHARE = 4


class DeviceSharing:
    """Counts an executor's jobs from the moment they are claimed.

    Jobs that have cost an executor run apart from others: in a quarter of the slots, and alone once they have cost two
    executors. This isolates the job that breaks the device, and loses few others with it.
    """

    def __init__(self, held: Sized, slots: Callable[[], int], ending: Callable[[], int]) -> None:
        """`ending` returns the number of jobs that end soon: as many others may be claimed and prepared meanwhile."""
        self._held = held
        self._slots = slots
        self._ending = ending
        #: Executors lost over each running job, and over each waiting job.
        self._running: list[int] = []
        self._waiting: list[int] = []
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Return the maximum number of jobs."""
        lost = max([*self._running, *self._waiting], default=0)
        return self._suspect_limit(lost) if lost else self._slots() + min(RUNS_AHEAD, self._ending())

    @property
    def may_claim(self) -> bool:
        """Return whether another job may be claimed."""
        return len(self._held) < self.limit

    @property
    def pause(self) -> float:
        """Return the seconds for which to leave the next job to others; 0 for an idle executor."""
        return _LONGEST_PAUSE_SECONDS * len(self._held) / self.limit

    @asynccontextmanager
    async def wait_for_turn(self, lost: int) -> AsyncIterator[None]:
        """Wait until a job over which `lost` executors were lost may run beside the running ones."""
        try:
            with _counted(lost, self._waiting):
                async with self._changed:
                    await self._changed.wait_for(lambda: self._may_run(lost))
            with _counted(lost, self._running):
                yield
        finally:
            # Others may be waiting for a job that has ended, or was canceled while it waited.
            async with self._changed:
                self._changed.notify_all()

    def _may_run(self, lost: int) -> bool:
        if lost == 0:
            # Suspect jobs have priority; no other job joins them.
            return not any([*self._running, *self._waiting])
        together = [*self._running, lost]
        return min(together) > 0 and len(together) <= self._suspect_limit(max(together))

    def _suspect_limit(self, lost: int) -> int:
        return max(1, self._slots() // _SUSPECT_SHARE) if lost == 1 else 1


@contextmanager
def _counted(lost: int, jobs: list[int]) -> Iterator[None]:
    """Count a job among `jobs` for a while."""
    jobs.append(lost)
    try:
        yield
    finally:
        jobs.remove(lost)
