"""A stack on a Postgres that somebody else runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from transcription_dagster.settings import load_settings
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import answers, embedded_postgres
from transcription_dagster.stack.readiness import worker_states
from transcription_dagster.stack.runtime import runtime_folder
from transcription_dagster.stack.stack import start
from transcription_dagster_tests.system import CHECKPOINT

pytestmark = pytest.mark.system


def test_a_given_server_is_used_also_from_a_home_with_an_awkward_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_MODEL", str(CHECKPOINT))
    awkward = home / "a long name with 100 % 'quotes' that is too long for the address of a socket"
    plan = StackPlan(host="127.0.0.1", port=0, executors=("cpu:0",), run_workers=1)
    with embedded_postgres(load_settings(home=home)) as url:
        stack = start(plan, load_settings(home=awkward, database_url=url))
        try:
            assert "postgres" not in {program.name for program in stack.programs()}
            assert len(worker_states(url, stale_seconds=60)) == 2
        finally:
            stack.stop()
            shutil.rmtree(runtime_folder(awkward))
        assert answers(url)
