"""Chaos test: kills a stack's processes, stops its Postgres and terminates its runs while it works.

`python -m transcription_dagster_tests.chaos` carries out a long plan and prints the result; the tests carry out a short
one. The faults follow from a seed. No recording loses more workers than the stack tolerates, because a recording that
costs three executors fails by design.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from transcription_dagster.dagster_api.values import ACTIVE_STATUSES, ENDED_STATUSES, WAITING_STATUSES
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.stack.home import runtime_folder
from transcription_dagster.stack.supervisor import Supervisor
from transcription_dagster_tests.faults import (
    NO_EMBEDDINGS,
    kill,
    long_recording,
    postgres_away,
    requests_of,
    unfinished_jobs,
)
from transcription_dagster_tests.isolation import isolate
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, running_system, wait_until

EXECUTORS, RUN_WORKERS = 3, 4

#: Workers of each kind that a recording may lose; one more would be its last attempt or fail it.
_FORGIVEN = 2


@dataclass(frozen=True)
class Plan:
    """The faults of a chaos test, decided before the stack starts."""

    seed: int
    recordings: int
    #: Number of faults of each kind.
    executor_kills: int
    run_worker_kills: int
    daemon_kills: int
    postgres_stops: int
    terminations: int
    #: Maximum seconds between two faults, and maximum outage of Postgres.
    pause: float = 6.0
    away: float = 20.0
    #: Seconds after the last fault within which all runs must end.
    patience: float = 900.0


SHORT = Plan(
    seed=1, recordings=6, executor_kills=1, run_worker_kills=1, daemon_kills=0, postgres_stops=1, terminations=1,
    pause=4.0, away=6.0, patience=420.0,
)  # fmt: skip
LONG = Plan(
    seed=1, recordings=60, executor_kills=8, run_worker_kills=6, daemon_kills=2, postgres_stops=3, terminations=4
)


@dataclass
class Outcome:
    """The faults carried out, and their outcome."""

    blows: Counter[str] = field(default_factory=Counter)
    terminated: set[str] = field(default_factory=set)
    #: Rows in `transcripts` by recording.
    published: Counter[str] = field(default_factory=Counter)
    #: Executors and run workers alive at the start.
    workers: tuple[int, int] = (0, 0)
    #: Number of transcription attempts by outcome.
    attempts: Counter[str] = field(default_factory=Counter)
    #: Recordings that were transcribed completely more than once.
    repeated: list[str] = field(default_factory=list)
    #: Recordings without a successful run: the status of the newest run, and its log.
    unsuccessful: dict[str, list[str]] = field(default_factory=dict)
    retries: int = 0
    seconds: float = 0.0


class Driver:
    """Injects faults into a stack that processes `recordings`."""

    def __init__(self, system: System, plan: Plan, recordings: Sequence[str], say: Callable[[str], None]) -> None:
        self._system = system
        self._plan = plan
        self._recordings = recordings
        self._say = say
        self._random = random.Random(plan.seed)
        self._cost: Counter[tuple[str, str]] = Counter()
        self.outcome = Outcome(workers=alive(system))

    def strike(self) -> None:
        """Inject the plan's faults, in an order and at times derived from its seed."""
        kinds = {
            self._kill_executor: self._plan.executor_kills,
            self._kill_run_worker: self._plan.run_worker_kills,
            self._kill_daemon: self._plan.daemon_kills,
            self._stop_postgres: self._plan.postgres_stops,
            self._terminate: self._plan.terminations,
        }
        blows = [blow for blow, count in kinds.items() for _ in range(count)]
        self._random.shuffle(blows)
        for blow in blows:
            time.sleep(self._random.uniform(0.3, 1.0) * self._plan.pause)
            blow()

    def _kill_executor(self) -> None:
        self._kill_one("gpu", lambda worker: worker.recording)

    def _kill_run_worker(self) -> None:
        partitions = {run.id: run.partition for run in self._system.dagster.runs(statuses=ACTIVE_STATUSES)}
        self._kill_one("run", lambda worker: partitions.get(worker.recording or ""))

    def _kill_one(self, kind: str, recording_of: Callable[[WorkerStatus], str | None]) -> None:
        """Kill a busy worker, unless its recording has lost too many already."""

        def suitable() -> list[WorkerStatus]:
            return [
                worker
                for worker in self._system.pool().workers
                if worker.kind == kind
                and worker.state == "busy"
                and (recording := recording_of(worker)) is not None
                and self._cost[kind, recording] < _FORGIVEN
            ]

        deadline = time.monotonic() + 30
        while not (workers := suitable()):
            if time.monotonic() > deadline:
                self._say(f"no {kind} worker is busy")
                return
            time.sleep(0.2)
        victim = self._random.choice(workers)
        self._cost[kind, recording_of(victim) or ""] += 1
        try:
            kill(victim)
        except psutil.NoSuchProcess:
            return
        self._struck(f"{kind} worker killed", victim.name)

    def _kill_daemon(self) -> None:
        programs = Supervisor(runtime_folder(self._system.settings.home)).programs()
        (daemon,) = (program for program in programs if program.name == "daemon")
        if daemon.pid is not None:
            psutil.Process(daemon.pid).kill()
            self._struck("daemon killed", str(daemon.pid))

    def _stop_postgres(self) -> None:
        seconds = self._random.uniform(0.5, 1.0) * self._plan.away
        with postgres_away(self._system):
            time.sleep(seconds)
        self._struck("Postgres stopped", f"for {seconds:.0f} s")

    def _terminate(self) -> None:
        # Not a run that is being retried: its other runs would remain.
        runs = self._system.dagster.runs(statuses=[*WAITING_STATUSES, *ACTIVE_STATUSES])
        runs = [run for run in runs if run.partition in self._recordings and "dagster/parent_run_id" not in run.tags]
        if not runs:
            self._say("no run is left to terminate")
            return
        run = self._random.choice(runs)
        self._system.dagster.terminate([run.id])
        self.outcome.terminated.add(run.partition or "")
        self._struck("run terminated", run.id)

    def _struck(self, what: str, detail: str) -> None:
        self.outcome.blows[what] += 1
        self._say(f"{what}: {detail}")

    def settle(self) -> None:
        """Wait until every run and retry has ended, and record the outcome of the recordings."""
        wait_until(self._is_quiet, self._plan.patience, "all runs have ended and no job is left", every=1.0)
        with open_connection(self._system.url) as connection:
            rows = connection.execute("SELECT recording::text FROM transcription_data.transcripts")
            self.outcome.published = Counter(row["recording"] for row in rows if row["recording"] in self._recordings)
        done: Counter[str] = Counter()
        for request in requests_of(self._system, self._recordings):
            endings = [attempt["ended"] or "none" for attempt in request["attempts"]]
            self.outcome.attempts.update(endings)
            done[request["recording"]] += endings.count("done")
        self.outcome.repeated = [recording for recording, count in done.items() if count > 1]
        runs = [run for run in self._system.dagster.runs() if run.partition in self._recordings]
        self.outcome.retries = sum("dagster/parent_run_id" in run.tags for run in runs)
        successful = {run.partition for run in runs if run.status == "SUCCESS"}
        newest = {run.partition: run for run in reversed(runs)}
        self.outcome.unsuccessful = {
            recording or "": [run.status, *self._reasons(run.id)]
            for recording, run in newest.items()
            if recording not in successful
        }

    def _reasons(self, run_id: str) -> list[str]:
        return [line for line in self._system.log_of(run_id) if "fail" in line.lower() or "lost" in line]

    def _is_quiet(self) -> bool:
        if self._system.dagster.runs(statuses=[*WAITING_STATUSES, *ACTIVE_STATUSES]):
            return False
        runs = self._system.dagster.runs()
        newest = {run.partition: run for run in reversed(runs)}
        waiting = [run for run in newest.values() if self._will_go_on(run.status, run.tags)]
        return not waiting and not unfinished_jobs(self._system)

    @staticmethod
    def _will_go_on(status: str, tags: Mapping[str, str]) -> bool:
        return status not in ENDED_STATUSES or (status == "FAILURE" and tags.get("dagster/will_retry") == "true")


def carry_out(system: System, plan: Plan, folder: Path, say: Callable[[str], None]) -> tuple[list[str], Outcome]:
    """Launch the plan's recordings, inject the faults, and wait; return the recordings and the outcome."""
    started = time.monotonic()
    short = [DEMO_RECORDINGS[number % len(DEMO_RECORDINGS)] for number in range(plan.recordings - plan.recordings // 5)]
    long = [long_recording(folder)] * (plan.recordings - len(short))
    recordings = system.register([*short, *long])
    driver = Driver(system, plan, recordings, say)
    order = list(recordings)
    random.Random(plan.seed).shuffle(order)
    system.launch(order)
    driver.strike()
    driver.settle()
    driver.outcome.seconds = time.monotonic() - started
    return recordings, driver.outcome


def judge(system: System, recordings: Sequence[str], outcome: Outcome) -> None:
    """Raise `AssertionError` unless every recording has the right outcome and all workers are alive."""
    expected = set(recordings) - outcome.terminated
    missing = expected - set(outcome.published)
    assert not missing, f"not published: {missing}; {outcome.unsuccessful}"
    assert set(outcome.published.values()) == {1}
    assert not outcome.repeated, f"transcribed more than once: {outcome.repeated}"
    assert not unfinished_jobs(system)
    wait_until(lambda: alive(system) == outcome.workers, 60, "all workers are alive")
    wait_until(lambda: status_is_clean(system), 60, "`transcription status` finds nothing wrong", every=2.0)


def status_is_clean(system: System) -> bool:
    """Return whether `transcription status` reports no problem."""
    command = [sys.executable, "-m", "transcription_dagster", "status", "--json"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    return completed.returncode == 0 and json.loads(completed.stdout)["problems"] == []


def alive(system: System) -> tuple[int, int]:
    """Return the number of executors and run workers alive."""
    pool = system.pool()
    return len(pool.alive("gpu")), len(pool.alive("run"))


@click.command()
@click.option("--seed", default=LONG.seed, show_default=True)
@click.option("--recordings", default=LONG.recordings, show_default=True)
def main(seed: int, recordings: int) -> None:
    """Carry out the long plan and print the result."""
    os.chdir(isolate())
    plan = Plan(**{**LONG.__dict__, "seed": seed, "recordings": recordings})
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        with running_system(folder / "home", executors=EXECUTORS, run_workers=RUN_WORKERS, **NO_EMBEDDINGS) as system:
            done, outcome = carry_out(system, plan, folder, click.echo)
            click.echo(json.dumps({**outcome.__dict__, "published": len(outcome.published)}, indent=1, default=sorted))
            judge(system, done, outcome)
    click.echo("Every recording that was not terminated was published once, and nothing is left over.")


if __name__ == "__main__":
    main()
