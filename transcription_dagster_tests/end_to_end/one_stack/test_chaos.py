"""A short chaos test; `make chaos` runs the long plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster_tests.chaos import SHORT, carry_out, judge
from transcription_dagster_tests.system import System


# `test_killed_workers.py` and `test_postgres_away.py` test the same faults, one at a time.
@pytest.mark.exhaustive
@pytest.mark.system
@pytest.mark.xdist_group("faults on one stack")
def test_every_recording_is_published_once_whatever_is_killed_meanwhile(system: System, tmp_path: Path) -> None:
    recordings, outcome = carry_out(system, SHORT, tmp_path, print)
    print(outcome)
    judge(system, recordings, outcome)
    # The other faults need work that is still going on; on a fast machine, all may be done before.
    assert outcome.blows["Postgres stopped"] == 1
