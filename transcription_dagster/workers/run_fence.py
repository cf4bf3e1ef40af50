"""What keeps a run's events out of Dagster's storage once the run is another worker's."""

from __future__ import annotations

from typing import Any

from dagster import DagsterInstance, EventLogEntry

from transcription_dagster.errors import WorkTaken
from transcription_dagster.pool.leases import Holding, awake_clock, is_valid


class RunFence:
    """Asks before each event of the run at work whether the run is this worker's still.

    The publisher's look at the queue, every few seconds, answers for most events. When it is too long ago (the machine
    was suspended, the database away), the queue itself is asked first.
    """

    def __init__(self, url: str, *, trusted_seconds: float) -> None:
        """A look answers for `trusted_seconds`: less than a worker has to be silent to lose its work."""
        self._url = url
        self._trusted_seconds = trusted_seconds
        self._run_id: str | None = None
        self._holding: Holding | None = None

    def guard(self, instance: DagsterInstance) -> None:
        """Put the fence before everything that this instance stores about runs."""
        store = instance.handle_new_event

        def store_if_ours(event: EventLogEntry, **named: Any) -> None:
            if event.run_id == self._run_id:
                self.check()
            store(event, **named)

        instance.handle_new_event = store_if_ours  # type: ignore[method-assign]

    def watch(self, run_id: str, holding: Holding) -> None:
        """From now on this run is at work."""
        self._run_id, self._holding = run_id, holding

    def check(self) -> None:
        """Raise `WorkTaken` if the run at work was given to another worker."""
        holding = self._holding
        if holding is None:
            return
        now = awake_clock()
        if not holding.lost and now - holding.confirmed_at > self._trusted_seconds:
            holding.lost = not is_valid(self._url, holding.lease)
            holding.confirmed_at = now
        if holding.lost:
            raise WorkTaken(f"the run {self._run_id} was given to another worker while this one was silent")
