"""The problems that `status` reports, and that it reports none in a healthy installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.cli.status import Installation, as_document, read_installation
from transcription_dagster.dagster_api.values import Daemon
from transcription_dagster.pool.status import PoolStatus, WorkerStatus
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.supervisor import ProgramState
from transcription_dagster_tests.cli.batch.test_report import executor
from transcription_dagster_tests.postgres import empty_database


def run_worker(**values: Any) -> WorkerStatus:
    return executor(**{"name": "run-1", "kind": "run", "device": None, "model": None, **values})


def program(state: str) -> ProgramState:
    return ProgramState("daemon", state, None, "exited too quickly", Path("/h/logs/daemon.log"))


def installation(**values: Any) -> Installation:
    state_fields = {
        "url": "http://127.0.0.1:3000",
        "programs": (program("RUNNING"),),
        "pool": PoolStatus((executor(), run_worker()), {"gpu": 4, "runs": 2}),
        "runs": {"QUEUED": 9, "STARTED": 2},
        "daemons": (Daemon("SENSOR", True),),
        **values,
    }
    return Installation(**state_fields)


def test_a_healthy_installation_has_no_problems() -> None:
    assert installation().problems() == []


def test_loading_executors_without_waiting_work_are_no_problem() -> None:
    pool = PoolStatus((executor(state="starting"), run_worker(state="idle")), {})
    assert installation(pool=pool, runs={}).problems() == []


DEAD = {"state": "dead", "seconds_since_heartbeat": 30.0}


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"url": None}, ["No stack is running: start one with `transcription up`."]),
        ({"complaints": ("the database did not answer",)}, ["the database did not answer"]),
        ({"programs": (program("FATAL"),)}, ["daemon is not running (exited too quickly); see /h/logs/daemon.log"]),
        (
            {"daemons": (Daemon("QUEUED_RUN_COORDINATOR", False),)},
            ["The daemon's queued run coordinator is not healthy: no recent heartbeat"],
        ),
        ({"daemons": (Daemon("SENSOR", False, ("E: x",)),)}, ["The daemon's sensor is not healthy: E: x"]),
        (
            {"pool": PoolStatus((run_worker(),), {"gpu:1": 1})},
            ["No GPU executor is alive, and 10 runs and requests wait for one."],
        ),
        (
            {"pool": PoolStatus((executor(),), {"runs": 1})},
            ["No run worker is alive, and 3 runs wait for one or were running on one."],
        ),
        (
            {"pool": PoolStatus((executor(), executor(name="gpu-1", **DEAD), run_worker()), {})},
            ["gpu-1 (process 1 on h) has sent no heartbeat for 30 s."],
        ),
        (
            {
                "pool": PoolStatus((executor(**{**DEAD, "seconds_since_heartbeat": float("inf")}), run_worker()), {}),
                "runs": {},
            },
            ["gpu-0 (process 1 on h) has sent no heartbeat since it was last registered."],
        ),
    ],
)
def test_problems_are_reported(values: dict[str, Any], problems: list[str]) -> None:
    assert installation(**values).problems() == problems


def test_an_empty_pool_without_waiting_work_is_no_problem() -> None:
    assert installation(pool=PoolStatus((), {}), runs={"SUCCESS": 9}).problems() == []


def test_the_document_is_json_whatever_the_state() -> None:
    dead = executor(state="dead", seconds_since_heartbeat=float("inf"))
    for state in (installation(), installation(pool=PoolStatus((dead,), {})), Installation(url=None)):
        document = json.loads(json.dumps(as_document(state), allow_nan=False))
        assert document["healthy"] == (not state.problems())
    assert as_document(installation())["executors"][0]["device"] == "cuda:0"
    assert [worker["name"] for worker in as_document(installation())["run_workers"]] == ["run-1"]


def test_a_home_without_a_stack_is_reported(tmp_path: Path) -> None:
    installed = read_installation(load_settings(home=tmp_path))
    assert installed.problems() == ["No stack is running: start one with `transcription up`."]


def test_a_database_without_tables_and_a_missing_database_are_distinguished(tmp_path: Path) -> None:
    with empty_database() as url:
        empty = read_installation(load_settings(home=tmp_path, database_url=url))
    assert any("run `transcription database upgrade`" in problem for problem in empty.problems())
    unreachable = read_installation(
        load_settings(home=tmp_path, database_url="postgresql://nobody:pw@127.0.0.1:9/none")
    )
    assert len([problem for problem in unreachable.problems() if "the database did not answer" in problem]) == 1
    assert not any("pw@" in problem for problem in unreachable.problems())
