"""Workers as real processes that are stopped, killed, or in another pid namespace; their work is to wait for a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from transcription_dagster.pool.connection import job_app, open_connection
from transcription_dagster.pool.status import WorkerStatus, read_pool
from transcription_dagster_tests.machines import namespaces, needs_namespaces
from transcription_dagster_tests.pool_process import QUEUE, TASK
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.system import wait_until

pytestmark = pytest.mark.slow

BEAT, STALE = 0.3, 1.2


class Pool:
    """A database and worker processes."""

    def __init__(self, url: str, folder: Path, processes: ExitStack) -> None:
        self.url, self.folder, self._processes = url, folder, processes

    def start(self, name: str, prefix: tuple[str, ...] = (), **settings: str) -> Process:
        values = {
            "TRANSCRIPTION_DATABASE_URL": self.url,
            "TRANSCRIPTION_HOME": str(self.folder / "home"),
            "TRANSCRIPTION_HEARTBEAT_SECONDS": str(BEAT),
            "TRANSCRIPTION_STALE_SECONDS": str(STALE),
            **settings,
        }
        process = Process(self, name, prefix, {**os.environ, **values})
        self._processes.callback(process.kill)
        return process

    def worker(self, name: str) -> WorkerStatus | None:
        workers = read_pool(self.url, stale_seconds=60).workers
        return next((worker for worker in workers if worker.name == name), None)

    def queue(self, name: str) -> Path:
        """Queue a job that waits for a file; return the file."""
        with open_connection(self.url) as connection:
            task = job_app.configure_task(TASK, allow_unknown=True, queue=QUEUE, lock=name, connection=connection)
            task.defer(path=str(self.folder / name))
        return self.folder / name

    def job(self, name: str) -> tuple[str, int]:
        """Return the job's state, and how often it was requeued or ended."""
        with open_connection(self.url) as connection:
            row = connection.execute(
                "SELECT status::text, attempts FROM procrastinate_jobs WHERE lock = %s", (name,)
            ).fetchone()
        assert row is not None
        return row["status"], row["attempts"]

    def beats(self, name: str) -> int:
        with open_connection(self.url) as connection:
            row = connection.execute("SELECT beats FROM transcription_workers WHERE name = %s", (name,)).fetchone()
        return row["beats"] if row else 0


class Process:
    """A worker's process and its output."""

    def __init__(self, pool: Pool, name: str, prefix: tuple[str, ...], environment: dict[str, str]) -> None:
        self.name, self._pool, self._contained = name, pool, bool(prefix)
        self.output = pool.folder / f"{name}.out"
        command = [*prefix, sys.executable, "-m", "transcription_dagster_tests.pool_process", name]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=Path(__file__).parents[2]
            )

    @property
    def output_lines(self) -> list[str]:
        words = ("began", "done", "stopped")
        return [line for line in self.output.read_text().splitlines() if line.startswith(words)]

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, 180, f"{self.name} does it; it said: {self.output.read_text()[-2000:]}", every=0.05)

    def until_said(self, *lines: str) -> None:
        self.until(lambda: self.output_lines == list(lines))

    def until_ready(self) -> None:
        """Wait until this process takes work, and not a previous one with the same name."""

        def ready() -> bool:
            worker = self._pool.worker(self.name)
            return worker is not None and worker.takes_work and (self._contained or worker.pid == self.process.pid)

        self.until(ready)

    def signal(self, number: signal.Signals) -> None:
        process = psutil.Process(self.process.pid)
        for worker in process.children(recursive=True) or [process]:
            worker.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with cloned_database() as url, ExitStack() as processes:
        yield Pool(url, tmp_path, processes)


@needs_namespaces
def test_a_resumed_worker_stops_reassigned_work_and_continues(
    pool: Pool,
) -> None:
    # Other processes cannot see its pid, so only its heartbeats count.
    first = pool.start("first", namespaces())
    first.until_ready()
    file = pool.queue("one")
    first.until_said("began one")
    first.signal(signal.SIGSTOP)
    second = pool.start("second")
    second.until_said("began one")
    first.signal(signal.SIGCONT)
    first.until_said("began one", "stopped one")
    file.touch()
    second.until_said("began one", "done one")
    second.until(lambda: pool.job("one") == ("succeeded", 2))
    second.kill()
    pool.queue("two").touch()
    first.until_said("began one", "stopped one", "began two", "done two")


def test_another_worker_takes_over_a_killed_workers_work(pool: Pool) -> None:
    first, second = pool.start("first"), pool.start("second")
    first.until_ready()
    second.until_ready()
    file = pool.queue("one")
    wait_until(lambda: first.output_lines or second.output_lines, 180, "one of them has begun")
    victim, survivor = (first, second) if first.output_lines else (second, first)
    victim.kill()
    survivor.until_said("began one")
    file.touch()
    survivor.until_said("began one", "done one")


@needs_namespaces
def test_a_live_worker_in_another_pid_namespace_keeps_its_work(pool: Pool) -> None:
    contained = pool.start("contained", namespaces())
    contained.until_ready()
    file = pool.queue("one")
    contained.until_said("began one")
    status = pool.worker("contained")
    assert status is not None
    # Here its pid belongs to another process, or to none.
    assert status.pid < 10
    watcher = pool.start("watcher")
    watcher.until(lambda: pool.beats("watcher") > 4 * STALE / BEAT)
    assert pool.job("one") == ("doing", 0)
    assert watcher.output_lines == []
    file.touch()
    contained.until_said("began one", "done one")


@needs_namespaces
def test_a_killed_worker_in_another_pid_namespace_is_detected(pool: Pool) -> None:
    contained = pool.start("contained", namespaces())
    contained.until_ready()
    pool.queue("one")
    contained.until_said("began one")
    watcher = pool.start("watcher")
    watcher.until_ready()
    contained.kill()
    watcher.until_said("began one")


def test_a_killed_workers_slot_is_claimed_with_its_work_and_a_clean_scratch_folder(pool: Pool) -> None:
    first = pool.start("first")
    first.until_ready()
    pool.queue("one").touch()
    first.until_said("began one", "done one")
    remaining = pool.folder / "home/scratch/first/left"
    remaining.mkdir()
    foreign_scratch = pool.folder / "home/scratch/second/at-work"
    foreign_scratch.mkdir(parents=True)
    first.kill()
    restarted = pool.start("first")
    restarted.until_ready()
    assert not remaining.exists()
    assert foreign_scratch.exists()


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Provide a small disk without free space at `folder`."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode()}")
    try:
        (folder / "fill").write_bytes(bytes(2 << 20))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_worker_with_a_full_disk_is_unfit_until_there_is_space(pool: Pool) -> None:
    scratch = pool.folder / "scratch"
    with full_disk(scratch):
        pool.queue("one").touch()
        worker = pool.start("first", TRANSCRIPTION_SCRATCH=str(scratch))
        worker.until(lambda: (status := pool.worker("first")) is not None and status.state == "unfit")
        status = pool.worker("first")
        assert status is not None
        assert status.last_error == f"the scratch folder {scratch}/first cannot be used: No space left on device"
        assert not status.takes_work
        assert (pool.job("one"), worker.output_lines) == (("todo", 0), [])
        (scratch / "fill").unlink()
        worker.until_said("began one", "done one")
        worker.until(lambda: (status := pool.worker("first")) is not None and status.last_error is None)
