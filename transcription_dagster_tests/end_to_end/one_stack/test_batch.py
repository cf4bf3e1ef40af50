"""`transcription batch` on a running stack: failures, Ctrl+C, and resuming."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.dagster_api.values import WAITING_STATUSES
from transcription_dagster_tests.faults import busy_executor, long_recording, requests_of
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("one stack")]

#: The first two are WAV files.
SHORT = DEMO_RECORDINGS[:3]


class Worklist:
    """A worklist file of recordings under fresh UUIDs."""

    def __init__(self, folder: Path, sources: Sequence[Path | str]) -> None:
        self.path = folder / "worklist.json"
        self.uuids = [str(uuid.uuid4()) for _ in sources]
        entries = [{"uuid": key, "source": str(path)} for key, path in zip(self.uuids, sources, strict=True)]
        self.path.write_text(json.dumps(entries))

    @property
    def entries(self) -> list[dict[str, Any]]:
        return json.loads(self.path.read_text())

    @property
    def statuses(self) -> list[str]:
        return [entry["status"] for entry in self.entries]

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "transcription_dagster", "batch", str(self.path), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *options: str) -> tuple[int, str]:
        """Run `batch` to its end; return its exit code and output."""
        process = self.start(*options)
        output, _ = process.communicate(timeout=200)
        return process.returncode, output


@dataclass
class Gate:
    """A server whose recordings arrive once it is open: until then, their runs are in progress."""

    server: WebServer
    opened: threading.Event = field(default_factory=threading.Event)
    #: Set once a run has requested a recording.
    requested: threading.Event = field(default_factory=threading.Event)
    #: The content of another recording, which arrives as soon as one of the others is requested.
    other: bytes = b""

    @property
    def other_source(self) -> str:
        return f"{self.server.url}/other.wav"

    def answer(self, request: Request) -> Reply:
        if request.path == "/other.wav":
            self.requested.wait()
            return Reply(body=self.other)
        self.requested.set()
        self.opened.wait()
        return Reply(body=SHORT[0].read_bytes())

    def sources(self, count: int) -> list[str]:
        return [f"{self.server.url}/{number}.wav" for number in range(count)]

    def open_when_none_waits(self, system: System, worklist: Worklist) -> None:
        """Open the gate after the batch has taken every run that had not started out of Dagster's queue."""

        def waiting() -> bool:
            return any(run.partition in worklist.uuids for run in system.dagster.runs(statuses=WAITING_STATUSES))

        wait_until(lambda: not waiting(), 120, "no run of the batch waits")
        self.opened.set()


@pytest.fixture
def gate(other_program: WebServer) -> Iterator[Gate]:
    gate = Gate(other_program)
    other_program.answer = gate.answer
    yield gate
    gate.requested.set()
    gate.opened.set()


def unreadable(folder: Path) -> Path:
    path = folder / "broken.wav"
    path.write_text("no sound in here")
    return path


def test_with_yes_one_of_two_executors_tries_every_entry(system: System, tmp_path: Path) -> None:
    worklist = Worklist(tmp_path, [SHORT[0], unreadable(tmp_path), SHORT[1]])
    code, output = worklist.run("--yes", "--threads", "1")
    assert (code, worklist.statuses) == (1, ["done", "failed", "done"]), output
    assert worklist.entries[1]["error"].startswith("audio: ")
    assert worklist.entries[1]["error"] in output
    assert any(uri.endswith("/transcript.txt") for uri in worklist.entries[0]["files"])
    assert "2 done, 1 failed, 0 waiting" in output
    executors = [request["attempts"][-1]["executor"] for request in requests_of(system, worklist.uuids)]
    assert len(executors) == 2
    assert len(set(executors)) == 1
    assert {run.tags["transcription/gpu"] for run in system.dagster.runs() if run.partition in worklist.uuids} == {
        "cpu:0"
    }


def test_the_first_failure_stops_the_batch_and_the_next_call_resumes_it(
    system: System, gate: Gate, tmp_path: Path
) -> None:
    gate.other = b"no sound in here"
    # More than an executor takes at once: when the first one fails, another is in progress, and some still wait.
    worklist = Worklist(tmp_path, [gate.other_source, *gate.sources(3)])
    process = worklist.start("-t", "1")
    wait_until(lambda: worklist.entries[0].get("status") == "failed", 150, "the first recording has failed")
    gate.open_when_none_waits(system, worklist)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 1, output
    assert worklist.statuses[0] == "failed"
    assert set(worklist.statuses[1:]) == {"done", "waiting"}
    assert " --yes" in output
    done = {key for key, status in zip(worklist.uuids, worklist.statuses, strict=True) if status == "done"}
    gate.other = SHORT[2].read_bytes()
    code, output = worklist.run("-t", "2")
    assert (code, set(worklist.statuses)) == (0, {"done"}), output
    runs = [run for run in system.dagster.runs() if run.partition in done]
    assert len(runs) == len(done)


def test_a_smaller_job_and_an_imported_transcript_are_never_transcribed(system: System, tmp_path: Path) -> None:
    worklist = Worklist(tmp_path, [SHORT[0]])
    assert worklist.run()[0] == 0
    (transcribed,) = worklist.uuids
    imported = str(uuid.uuid4())
    command = [
        sys.executable,
        "-m",
        "transcription_dagster",
        "import",
        str(system.file(transcribed, "transcript.json")),
    ]
    subprocess.run([*command, "--uuid", imported], check=True, capture_output=True)
    captions = system.file(transcribed, "captions.srt")
    captions.unlink()
    worklist.path.write_text(json.dumps([{"uuid": transcribed, "job": "captions"}, {"uuid": imported}]))
    code, output = worklist.run()
    assert (code, worklist.statuses) == (0, ["done", "done"]), output
    assert captions.exists()
    assert system.file(imported, "captions.srt").read_text() == captions.read_text()
    assert len(requests_of(system, [transcribed, imported])) == 1


def test_ctrl_c_finishes_runs_in_progress_and_the_next_call_continues(
    system: System, gate: Gate, tmp_path: Path
) -> None:
    worklist = Worklist(tmp_path, [SHORT[0], *gate.sources(3)])
    process = worklist.start("-t", "1")
    wait_until(lambda: worklist.entries[0].get("status") == "done", 150, "the first recording is done")
    process.send_signal(signal.SIGINT)
    gate.open_when_none_waits(system, worklist)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 130, output
    assert set(worklist.statuses) == {"done", "waiting"}
    # The first recording, and at least one that was in progress.
    assert worklist.statuses.count("done") > 1
    code, output = worklist.run()
    assert (code, worklist.statuses) == (0, ["done"] * 4), output
    finished = [run for run in system.dagster.runs(statuses=["SUCCESS"]) if run.partition in worklist.uuids]
    assert len(finished) == 4


def test_a_second_ctrl_c_cancels_runs_and_the_executor_keeps_its_model(system: System, tmp_path: Path) -> None:
    worklist = Worklist(tmp_path, [long_recording(tmp_path, seconds=480)])
    process = worklist.start()
    before = busy_executor(system, worklist.uuids[0], 150)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 130, output
    assert worklist.statuses[0] == "waiting"
    (run,) = [run for run in system.dagster.runs() if run.partition == worklist.uuids[0]]
    assert run.status == "CANCELED"
    wait_until(
        lambda: all(worker.recording is None for worker in system.pool().workers), 120, "the executor is free again"
    )
    after = system.worker(before.name)
    assert after is not None
    assert (after.pid, after.model_loads) == (before.pid, before.model_loads)


def test_status_reports_no_problems_and_the_executors_work(system: System) -> None:
    command = [sys.executable, "-m", "transcription_dagster", "status"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert system.stack.url in completed.stdout
    document = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert (document["healthy"], document["problems"]) == (True, [])
    assert [(executor["model_loads"], executor["device"]) for executor in document["executors"]] == [
        (1, "cpu:0"),
        (1, "cpu:1"),
    ]
    assert document["runs"]["SUCCESS"] >= 1
