"""The state of an installation and its problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from transcription_dagster.dagster_api.values import ACTIVE_STATUSES, WAITING_STATUSES, Daemon
from transcription_dagster.pool.names import GPU_QUEUE, RUNS_QUEUE
from transcription_dagster.pool.state import PoolStatus
from transcription_dagster.stack.supervisor import ProgramState


@dataclass(frozen=True, slots=True)
class Installation:
    """The known state of an installation; None for what is unknown."""

    #: Address of the UI; None if no stack is up, on this home or on its database.
    url: str | None
    programs: tuple[ProgramState, ...] = ()
    pool: PoolStatus | None = None
    #: Number of runs by status.
    runs: Mapping[str, int] | None = None
    daemons: tuple[Daemon, ...] = ()
    #: Problems met while collecting the state.
    complaints: tuple[str, ...] = field(default=())

    def problems(self) -> list[str]:
        """Return the problems, one sentence each, with advice where there is any; empty if all is well."""
        found = [] if self.url else ["No stack is up: start it with `transcription up`."]
        found += self.complaints
        found += [
            f"{program.name} does not run ({program.description}); see {program.log}"
            for program in self.programs
            if program.failed
        ]
        found += [
            f"The daemon's {daemon.type.lower().replace('_', ' ')} is not healthy: "
            + ("; ".join(daemon.errors) or "it has not been heard of lately")
            for daemon in self.daemons
            if not daemon.healthy
        ]
        return found + list(self._pool_problems())

    def _pool_problems(self) -> Iterator[str]:
        if self.pool is None:
            return
        for worker in self.pool.workers:
            if worker.state in ("dead", "silent"):
                why = f"; the last it said: {worker.last_error}" if worker.last_error else ""
                silent = worker.seconds_since_heartbeat
                since = f"for {silent:.0f} s" if silent != float("inf") else "since it was last registered"
                yield f"{worker.name} (process {worker.pid} on {worker.host}) has been silent {since}{why}."
            if worker.state == "unfit":
                yield f"{worker.name} (on {worker.host}) cannot work, and tries again: {worker.last_error}."
        runs = self.runs or {}
        gpu_work = _waiting_on(self.pool, GPU_QUEUE) + sum(runs.get(status, 0) for status in WAITING_STATUSES)
        if gpu_work and not self.pool.alive("gpu"):
            yield f"No GPU executor is alive, and {gpu_work} runs and requests wait for one."
        run_work = _waiting_on(self.pool, RUNS_QUEUE) + sum(runs.get(status, 0) for status in ACTIVE_STATUSES)
        if run_work and not self.pool.alive("run"):
            yield f"No run worker is alive, and {run_work} runs wait for one or were on one."


def _waiting_on(pool: PoolStatus, queue: str) -> int:
    """Return the number of jobs on a queue and on its queues for single GPUs."""
    return sum(count for name, count in pool.queues.items() if name == queue or name.startswith(f"{queue}:"))
