"""A fence that keeps a run's events out of Dagster's storage once another worker has the run."""

from __future__ import annotations

from typing import Any

from dagster import DagsterInstance, EventLogEntry

from transcription_dagster.errors import WorkTaken
from transcription_dagster.pool.run_jobs import JobClaim, is_valid
from transcription_dagster.pool.work_queue import HeldWork, awake_clock


class RunFence:
    """Checks before each event of the current run that this worker still holds its lease.

    For most events the check that the publisher makes every few seconds is recent enough. If it is older (the machine
    was suspended, or the database unavailable), the fence checks the queue itself.
    """

    def __init__(self, url: str, *, trusted_seconds: float) -> None:
        """A check counts for `trusted_seconds`: less than the time after which a silent worker loses its work."""
        self._url = url
        self._trusted_seconds = trusted_seconds
        self._run_id: str | None = None
        self._held: HeldWork[JobClaim] | None = None

    def guard(self, instance: DagsterInstance) -> None:
        """Check the lease before every run event that this instance stores."""
        store = instance.handle_new_event

        def store_if_ours(event: EventLogEntry, **named: Any) -> None:
            if event.run_id == self._run_id:
                self.check()
            store(event, **named)

        instance.handle_new_event = store_if_ours  # type: ignore[method-assign]

    def watch(self, run_id: str, held: HeldWork[JobClaim]) -> None:
        """Set the current run and its claim."""
        self._run_id, self._held = run_id, held

    def check(self) -> None:
        """Raise `WorkTaken` if another worker has the current run."""
        held = self._held
        if held is None:
            return
        now = awake_clock()
        if not held.lost and now - held.confirmed_at > self._trusted_seconds:
            held.lost = not is_valid(self._url, held.claim.lease)
            held.confirmed_at = now
        if held.lost:
            raise WorkTaken(f"the run {self._run_id} was given to another worker because this one sent no heartbeats")
