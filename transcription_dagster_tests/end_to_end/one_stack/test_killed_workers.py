"""Workers killed in the middle of their work: nothing is lost, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster_tests.end_to_end.one_stack.conftest import EXECUTORS, RUN_WORKERS
from transcription_dagster_tests.faults import (
    attempts_at,
    busy_executor,
    busy_run_worker,
    frozen,
    kill,
    killing_executors_of,
    long_recording,
    requests_of,
    unfinished_jobs,
)
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("faults on one stack")]

LOST = "the executor was lost"


def test_a_killed_executors_recording_moves_to_another_and_its_run_succeeds(system: System, tmp_path: Path) -> None:
    (recording,) = system.register([long_recording(tmp_path)])
    run_id = system.launch([recording])[recording]
    victim = busy_executor(system, recording)
    with frozen(victim):
        process = kill(victim)
    wait_until(lambda: len(attempts_at(system, recording)) == 2, 120, "another executor has begun the recording")
    ((first, second),) = (request["attempts"] for request in requests_of(system, [recording]))
    assert first["executor"] == victim.name
    assert second["executor"] != victim.name
    (run,) = system.finish([recording])
    assert (run.id, run.status) == (run_id, "SUCCESS")
    assert attempts_at(system, recording) == [LOST, "done"]
    assert any(f"Attempt 1 on {victim.name}: {LOST}." in line for line in system.log_of(run_id))

    def back() -> bool:
        return any(
            worker.name == victim.name and worker.pid != process.pid and worker.model_loads == 1
            for worker in system.pool().alive("gpu")
        )

    wait_until(back, 120, "the supervisor has brought the executor back, with its model")


# `pool/test_request_queue.py` counts lost executors, and the test above kills one.
@pytest.mark.exhaustive
def test_a_recording_that_kills_three_executors_fails_with_their_history(system: System, tmp_path: Path) -> None:
    deadly, *harmless = system.register([long_recording(tmp_path, seconds=480), DEMO_RECORDINGS[0]])
    with killing_executors_of(system, deadly) as killed:
        run_id = system.launch([deadly])[deadly]
        wait_until(lambda: killed, 120, "an executor was killed")
        system.launch(harmless)
        statuses = {run.partition: run.status for run in system.finish([deadly, *harmless], 200)}
    assert statuses == {deadly: "FAILURE"} | dict.fromkeys(harmless, "SUCCESS")
    assert len(killed) == 3
    reason = next(line for line in system.log_of(run_id) if "3 executors were lost over this recording" in line)
    assert all(f"{name} at " in reason for name in killed)
    # The others may have shared an executor with it once, but not repeatedly.
    assert all(attempts_at(system, recording).count(LOST) <= 1 for recording in harmless)


def test_a_killed_run_workers_run_resumes_without_transcribing_again(system: System, tmp_path: Path) -> None:
    (recording,) = system.register([long_recording(tmp_path)])
    first = system.launch([recording])[recording]
    with frozen(busy_executor(system, recording)):
        kill(busy_run_worker(system, first))
    wait_until(lambda: len(runs_of(system, recording)) == 2, 120, "the run is tried again")
    (run,) = system.finish([recording])
    assert run.status == "SUCCESS"
    assert system.dagster.runs(ids=[first])[0].status == "FAILURE"
    assert attempts_at(system, recording) == ["done"]
    # Finished steps do not run again.
    assert "audio" in steps_of(system, first)
    assert "audio" not in steps_of(system, run.id)


def test_materializing_again_transcribes_again(system: System) -> None:
    (recording,) = system.register(DEMO_RECORDINGS[:1])
    for count in (1, 2):
        system.launch([recording])
        assert [run.status for run in system.finish([recording])] == ["SUCCESS"]
        assert attempts_at(system, recording) == ["done"] * count


def test_nothing_is_left_over(system: System) -> None:
    wait_until(lambda: not unfinished_jobs(system), 120, "no job is left on a queue")
    assert {request["state"] for request in requests_of(system, all_recordings(system))} == {"done", "failed"}
    wait_until(lambda: len(system.pool().alive("gpu")) == EXECUTORS, 120, "both executors are back")
    wait_until(lambda: len(system.pool().alive("run")) == RUN_WORKERS, 120, "all run workers are back")


def runs_of(system: System, recording: str) -> list[str]:
    return [run.id for run in system.dagster.runs(tags={"dagster/partition": recording})]


def all_recordings(system: System) -> list[str]:
    return [run.partition for run in system.dagster.runs() if run.partition]


def steps_of(system: System, run_id: str) -> list[str]:
    """Return the steps that started in the run."""
    events = system.graphql(
        """query($id: ID!) { logsForRun(runId: $id, limit: 2000) { ... on EventConnection { events {
             ... on ExecutionStepStartEvent { stepKey } } } } }""",
        id=run_id,
    )["logsForRun"]["events"]
    return [event["stepKey"] for event in events if event.get("stepKey")]
