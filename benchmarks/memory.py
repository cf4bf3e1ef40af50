"""Whether the memory of long-lived workers grows: many jobs through one executor and one run worker.

    python -m benchmarks.memory --jobs 500

Each job is one of the demo's eight recordings, through the whole graph, so that the executor also embeds its text. The
resident memory of both processes is read after a tenth of the jobs, when everything is loaded and every length has
occurred, and after the last; the target is growth of at most 5 %.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.arguments import argument_parser
from transcription_dagster_tests.system import DEMO_RECORDINGS, UNDER_WAY, System, running_system

TARGET = 0.05
MEGABYTE = 1e6


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    jobs = parser.parse_args().jobs
    warm = max(len(DEMO_RECORDINGS), jobs // 10)
    with tempfile.TemporaryDirectory(prefix="memory-") as home, running_system(Path(home), run_workers=1) as system:
        started = time.perf_counter()
        transcribe(system, warm)
        before = memory(system)
        transcribe(system, jobs - warm)
        after = memory(system)
        print(f"{jobs} recordings in {time.perf_counter() - started:.0f} s")
        for name, was in before.items():
            now = after[name]
            growth = now / was - 1
            verdict = "within" if growth <= TARGET else "beyond"
            print(
                f"{name}: {was / MEGABYTE:.0f} MB after {warm}, {now / MEGABYTE:.0f} MB after {jobs}: "
                f"{growth:+.1%}, {verdict} {TARGET:.0%}"
            )


def transcribe(system: System, count: int) -> None:
    """Put `count` recordings through the graph; raise `SystemExit` if one of them fails."""
    sources = [DEMO_RECORDINGS[number % len(DEMO_RECORDINGS)] for number in range(count)]
    ids = list(system.launch(system.register(sources)).values())
    while system.dagster.runs(statuses=UNDER_WAY):
        time.sleep(1)
    if {run.status for run in system.dagster.runs(ids=ids)} != {"SUCCESS"}:
        raise SystemExit("a run failed: what was measured means nothing")


def memory(system: System) -> dict[str, int]:
    """Return each worker's resident memory in bytes, by name and process: a new process has a new name."""
    return {
        f"{worker.name} (process {worker.pid})": psutil.Process(worker.pid).memory_info().rss
        for worker in system.pool().workers
    }


if __name__ == "__main__":
    main()
