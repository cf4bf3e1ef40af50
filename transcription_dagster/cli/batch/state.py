"""State of a batch: a state machine over its recordings, without clocks, files or networks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from transcription_dagster.dagster_api.values import RETRIED_BY_TAG, WAITING_STATUSES, WILL_RETRY_TAG, Run

#: Seconds after the end of a failed run to wait for its retry: Dagster marks the failure first, says a moment later
#: whether it retries, and never says so if retries are off.
RETRY_GRACE_SECONDS = 5.0

#: gone: the run was deleted. canceled by batch: the batch canceled the run itself.
EndingKind = Literal["done", "failed", "canceled", "gone", "canceled by batch"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run of a recording ended."""

    uuid: str
    run_id: str
    kind: EndingKind

    @property
    def is_failure(self) -> bool:
        """Return True if the recording counts as failed."""
        return self.kind in ("failed", "canceled", "gone")


class BatchState:
    """The recordings of a batch: waiting, in flight, done or failed.

    `launched` puts runs in flight, `endings` finds those that ended, and `end` removes them. Once `stopping`, the
    batch submits no more runs and is over when none is in flight.
    """

    def __init__(self, uuids: Iterable[str], *, keep_going: bool) -> None:
        # Dictionaries keep the order of the worklist.
        self._waiting = dict.fromkeys(uuids)
        self._in_flight: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._cancelling: set[str] = set()
        self._keep_going = keep_going
        self.done = 0
        self.failed = 0
        self.stopping = False

    @property
    def waiting(self) -> Collection[str]:
        """Recordings that are not done and have no run in flight."""
        return self._waiting.keys()

    @property
    def in_flight(self) -> Mapping[str, str]:
        """The queued or running run of each recording."""
        return self._in_flight

    @property
    def over(self) -> bool:
        """Return True if the batch has nothing left to do."""
        return not self._in_flight and (self.stopping or not self._waiting)

    def to_submit(self, limit: int) -> list[str]:
        """Return the recordings to submit now, so that at most `limit` are in flight."""
        free = 0 if self.stopping else max(0, limit - len(self._in_flight))
        return list(self._waiting)[:free]

    def launched(self, runs: Mapping[str, str]) -> None:
        """Record launched runs, by recording; ignores recordings that do not wait here."""
        for uuid, run_id in runs.items():
            if uuid in self._waiting:
                del self._waiting[uuid]
                self._in_flight[uuid] = run_id

    def endings(self, runs: Iterable[Run], now: float) -> list[Ending]:
        """Update from Dagster's runs; return the runs in flight that ended, to be passed to `end`.

        `now` is in seconds since the epoch. A failed run that Dagster retries has not ended: the retry replaces it.
        """
        by_id = {run.id: run for run in runs}
        endings = []
        for uuid, run_id in list(self._in_flight.items()):
            run = by_id.get(run_id)
            if run is None:
                endings.append(Ending(uuid, run_id, "gone"))
                continue
            self._statuses[run_id] = run.status
            kind = self._kind(run, now)
            if kind is not None:
                endings.append(Ending(uuid, run_id, kind))
            elif retry := _retry(run):
                self._in_flight[uuid] = retry
        return endings

    def end(self, ending: Ending) -> None:
        """Remove a recording's run from those in flight."""
        del self._in_flight[ending.uuid]
        self._statuses.pop(ending.run_id, None)
        if ending.kind == "canceled by batch":
            self._waiting[ending.uuid] = None
        elif ending.is_failure:
            self.failed += 1
            self.stopping = self.stopping or not self._keep_going
        else:
            self.done += 1

    def stop(self) -> None:
        """Submit no more runs."""
        self.stopping = True

    def to_cancel(self, *, started: bool) -> list[str]:
        """Return the runs to cancel while stopping: those not started, and with `started` all others too."""
        return [
            run_id
            for run_id in self._in_flight.values()
            if run_id not in self._cancelling and (started or self._statuses.get(run_id) in WAITING_STATUSES)
        ]

    def cancel_requested(self, run_ids: Iterable[str]) -> None:
        """Record that the batch asked Dagster to cancel these runs; once canceled, their recordings wait again."""
        self._cancelling.update(run_ids)

    def _kind(self, run: Run, now: float) -> EndingKind | None:
        if run.status == "SUCCESS":
            return "done"
        if run.status == "CANCELED":
            return "canceled by batch" if run.id in self._cancelling else "canceled"
        if run.status != "FAILURE":
            return None
        will_retry = run.tags.get(WILL_RETRY_TAG)
        if will_retry is None:
            return "failed" if now - (run.ended_at or 0.0) > RETRY_GRACE_SECONDS else None
        return None if will_retry == "true" else "failed"


def _retry(run: Run) -> str | None:
    """Return the retry of a failed run, once it exists."""
    return run.tags.get(RETRIED_BY_TAG) if run.status == "FAILURE" else None
