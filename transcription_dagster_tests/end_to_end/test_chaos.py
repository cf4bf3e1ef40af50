"""A short chaos; `make chaos` carries out the long plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster_tests.chaos import EXECUTORS, RUN_WORKERS, SHORT, carry_out, judge
from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.system import running_system


@pytest.mark.system
@pytest.mark.timeout(600)
def test_every_recording_is_published_once_whatever_is_killed_meanwhile(tmp_path: Path) -> None:
    with running_system(tmp_path / "home", executors=EXECUTORS, run_workers=RUN_WORKERS, **NO_EMBEDDINGS) as system:
        recordings, outcome = carry_out(system, SHORT, tmp_path, print)
        judge(system, recordings, outcome)
        print(outcome)
        assert sum(outcome.blows.values()) >= 5
