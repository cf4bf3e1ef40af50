"""The cost of transcribing through the pool: seconds per recording, compared with other ways to do the same.

    python -m benchmarks.pool_overhead

(a) the pool: a running stack, with the model loaded in its executors;
(b) Dagster's default launcher: a process for every run, which loads the model itself;
(c) a plain loop over `model.transcribe` with the model loaded, in as many processes as (a) has executors;
(d) the same loop with the thread settings of (a) and (b): one thread for the word alignment, which gains almost
    nothing from more, and OpenMP threads that sleep while they wait. Otherwise the threads of processes that share
    cores wait for each other, and spin meanwhile.

All read the same files, stop after the captions, use the same decoding options, and run two recordings at a time. (a),
(c) and (d) are warm when the clock starts: the model is loaded and has decoded something. (b) cannot be.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.arguments import argument_parser
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.database.connection import upgrade_database
from transcription_dagster.errors import TransientError
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.plan import base_url
from transcription_dagster.stack.postgres import embedded_postgres
from transcription_dagster.stack.stack import RunningStack, claim_port
from transcription_dagster_tests.system import (
    CHECKPOINT,
    DEMO_RECORDINGS,
    System,
    environment_of,
    running_system,
    wait_until,
)

PROCESSES = 2
ASSETS = ("audio", "transcript", "conversation", "transcript_txt", "captions_srt", "captions_vtt")

#: A short recording of 7 s and one of more than a minute.
SHORT = next(path for path in DEMO_RECORDINGS if path.name.startswith("919f49d0"))
LONG = next(path for path in DEMO_RECORDINGS if path.name.startswith("2c63eda2"))

#: Number of spins of a GNU OpenMP thread before it sleeps, if no policy is set; `transcription_dagster` sets one.
OPENMPS_OWN = "300000"

LEGEND = "(a) pool, (b) default launcher, (c) plain loop, (d) plain loop with our care for threads"

DEFAULT_LAUNCHER = """
storage:
  postgres:
    postgres_url: {env: TRANSCRIPTION_DATABASE_URL}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {max_concurrent_runs: 2, dequeue_interval_seconds: 1}
run_launcher:
  module: dagster
  class: DefaultRunLauncher
telemetry: {enabled: false}
"""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--short", type=int, default=40, help="how many short recordings")
    parser.add_argument("--long", type=int, default=16, help="how many long recordings")
    parser.add_argument("--launcher", type=int, default=6, help="how many recordings (b) is given of each kind")
    arguments = parser.parse_args()
    kinds = {"7 s": (SHORT, arguments.short), "65 s": (LONG, arguments.long)}
    seconds: dict[tuple[str, str], float] = {}
    with pool() as system:
        for kind, (path, count) in kinds.items():
            seconds["pool", kind] = through_dagster(system, path, count)
    with default_launcher() as system:
        for kind, (path, _) in kinds.items():
            seconds["launcher", kind] = through_dagster(system, path, arguments.launcher)
    for kind, (path, count) in kinds.items():
        seconds["loop", kind] = in_a_loop(path, count, tuned=False)
        seconds["tuned loop", kind] = in_a_loop(path, count, tuned=True)
    report(seconds, kinds)


def report(seconds: dict[tuple[str, str], float], kinds: dict[str, tuple[Path, int]]) -> None:
    table = Table(title=f"Seconds per recording, {PROCESSES} processes, {os.cpu_count()} cores", caption=LEGEND)
    ratios = ("(a) / (c)", "(a) / (d)", "(b) / (a)")
    for column in ("audio", "(a)", "(b)", "(c)", "(d)", *ratios):
        table.add_column(column, justify="right")
    for kind in kinds:
        pool_seconds, launcher, loop, tuned = (seconds[way, kind] for way in ("pool", "launcher", "loop", "tuned loop"))
        row = (pool_seconds, launcher, loop, tuned, pool_seconds / loop, pool_seconds / tuned, launcher / pool_seconds)
        table.add_row(kind, *(f"{value:.2f}" for value in row))
    Console().print(table)


@contextmanager
def pool() -> Iterator[System]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The plain loop does not remove hallucinations either.
        system = stack.enter_context(
            running_system(home, executors=PROCESSES, run_workers=3, remove_invented_speech="false")
        )
        through_dagster(system, SHORT, 2 * PROCESSES)
        yield system


@contextmanager
def default_launcher() -> Iterator[System]:
    """Start a code server, a daemon and a web server as in Dagster's own documentation."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        environment = environment_of(home, executors=PROCESSES, remove_invented_speech="false")
        for name, value in (environment | {"TRANSCRIPTION_INFERENCE": "process"}).items():
            patch.setenv(name, value)
        settings = load_settings()
        url = stack.enter_context(embedded_postgres(settings))
        patch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        patch.setenv("DAGSTER_HOME", str(home))
        # As in the pool, each of two processes has half of the cores.
        patch.setenv("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // PROCESSES)))
        upgrade_database(url)
        (home / "dagster.yaml").write_text(DEFAULT_LAUNCHER)
        port = claim_port("127.0.0.1", 0)
        module = ("-m", "transcription_dagster.definitions")
        for command in (("dagster_webserver", "--port", str(port), *module), ("dagster._daemon", "run", *module)):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            # As with Ctrl+C: on SIGTERM it leaves its code server behind.
            stack.callback(process.send_signal, signal.SIGINT)
        client = stack.enter_context(DagsterClient(base_url("127.0.0.1", port)))
        running = RunningStack(home, os.getpid(), 0.0, base_url("127.0.0.1", port), (), 0)
        system = System(load_settings(), running, client, url)
        wait_until(lambda: answers(system), 60, "the web server answers")
        yield system


def answers(system: System) -> bool:
    try:
        return bool(system.job)
    except TransientError:
        return False


def through_dagster(system: System, path: Path, count: int) -> float:
    """Launch `count` runs; return seconds per recording, from the first launch to the last end."""
    uuids = system.register([path] * count)
    started = time.time()
    system.launch_assets(uuids, ASSETS)
    runs = system.finish(uuids, 1800)
    failed = [run.id for run in runs if run.status != "SUCCESS"]
    assert not failed, system.log_of(failed[0])
    return (max(run.ended_at or 0.0 for run in runs) - started) / count


def in_a_loop(path: Path, count: int, *, tuned: bool) -> float:
    """Transcribe in warmed-up processes; return seconds per recording, from the common start to the last end."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES + 1)
    shares = [count // PROCESSES + (number < count % PROCESSES) for number in range(PROCESSES)]
    workers = [context.Process(target=loop, args=(path, share, barrier, tuned)) for share in shares]
    with pytest.MonkeyPatch.context() as patch:
        if not tuned:
            patch.setenv("GOMP_SPINCOUNT", OPENMPS_OWN)
        for worker in workers:
            worker.start()
    barrier.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - started) / count


def loop(path: Path, count: int, barrier: Barrier, tuned: bool) -> None:
    import numba
    import torch
    import whisper

    from transcription_dagster.audio.decode import normalise
    from transcription_dagster.audio.flac import read_blocks

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // PROCESSES))
    if tuned:
        numba.set_num_threads(1)
    model = whisper.load_model(str(CHECKPOINT))

    def transcribe(source: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            flac = Path(folder) / "audio.flac"
            normalise(source, flac, max_seconds=86_400)
            (samples,) = read_blocks(flac, 1200)
            model.transcribe(
                samples,
                language="en",
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
                fp16=False,
            )

    transcribe(SHORT)
    barrier.wait()
    for _ in range(count):
        transcribe(path)


if __name__ == "__main__":
    main()
