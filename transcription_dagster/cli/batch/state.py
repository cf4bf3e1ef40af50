"""What a batch still has to do and what is under way: a state machine without clocks, files or networks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from transcription_dagster.dagster_api.values import RETRIED_BY_TAG, WAITING_STATUSES, WILL_RETRY_TAG, Run

#: Dagster marks a failed run first and says whether it retries it a moment later; where retries are switched off it
#: never says. Seconds after the end of a run.
RETRY_GRACE_SECONDS = 5.0

#: gone: somebody deleted the run. withdrawn: the batch took it back itself.
EndingKind = Literal["done", "failed", "canceled", "gone", "canceled by batch"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run of a recording ended."""

    uuid: str
    run_id: str
    kind: EndingKind

    @property
    def is_failure(self) -> bool:
        """Whether the recording counts as failed."""
        return self.kind in ("failed", "canceled", "gone")


class BatchState:
    """The recordings of a batch: waiting, in flight, done or failed.

    Runs are put in flight with `launched`, `endings` says which of them ended, and `end` takes them out. Once
    `stopping`, nothing is submitted any more and the batch is over when nothing is in flight.
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
        """Recordings of which no run is in flight, and that are not done."""
        return self._waiting.keys()

    @property
    def in_flight(self) -> Mapping[str, str]:
        """By recording: the run that makes it, waiting in Dagster's queue or under way."""
        return self._in_flight

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return not self._in_flight and (self.stopping or not self._waiting)

    def to_submit(self, limit: int) -> list[str]:
        """The recordings to ask for now, so that at most `limit` are in flight."""
        room = 0 if self.stopping else max(0, limit - len(self._in_flight))
        return list(self._waiting)[:room]

    def launched(self, runs: Mapping[str, str]) -> None:
        """Runs were made: their ids by recording. Recordings that do not wait here are none of ours."""
        for uuid, run_id in runs.items():
            if uuid in self._waiting:
                del self._waiting[uuid]
                self._in_flight[uuid] = run_id

    def endings(self, runs: Iterable[Run], now: float) -> list[Ending]:
        """Take in what Dagster knows of the runs in flight; return those that ended, to be passed to `end`.

        `now` is in seconds since the epoch. A failed run that Dagster retries has not ended: its retry takes its place.
        """
        known = {run.id: run for run in runs}
        endings = []
        for uuid, run_id in list(self._in_flight.items()):
            run = known.get(run_id)
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
        """Take a recording out of flight."""
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
        """Submit nothing more."""
        self.stopping = True

    def to_cancel(self, *, started: bool) -> list[str]:
        """Runs to take back while stopping: those that have not begun, and with `started` all others too."""
        return [
            run_id
            for run_id in self._in_flight.values()
            if run_id not in self._cancelling and (started or self._statuses.get(run_id) in WAITING_STATUSES)
        ]

    def cancel_requested(self, run_ids: Iterable[str]) -> None:
        """Dagster was asked to end these runs: canceled ones among them leave their recording waiting."""
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
    """The run that retries a failed one, once there is one."""
    return run.tags.get(RETRIED_BY_TAG) if run.status == "FAILURE" else None
