"""What becomes of work that is under way when the stack is stopped, and of work that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transcription_dagster.stack.stack import running
from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, copies, running_system, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@contextmanager
def _stopped_while_busy(home: Path, uuids: list[str], *, abort: Callable[[], bool]) -> Iterator[System]:
    """A system that is given `uuids`, if any, and stopped as soon as an executor works on one of them."""
    with running_system(home, **NO_EMBEDDINGS) as system:
        if not uuids:
            uuids += system.register(copies(home / "recordings", DEMO_RECORDINGS[:7]))
            system.launch(uuids)
        wait_until(
            lambda: any(worker.recording in uuids for worker in system.pool().alive("gpu")), 120, "an executor is busy"
        )
        system.stack.stop(abort=abort)
        assert running(system.settings) is None
        yield system


def _statuses(home: Path, uuids: list[str]) -> list[str]:
    with running_system(home, **NO_EMBEDDINGS) as system:
        return [run.status for run in system.finish(uuids, 240)]


def test_what_is_under_way_is_finished_or_given_back_and_done_with_what_waits_after_the_next_start(home: Path):
    uuids: list[str] = []
    with _stopped_while_busy(home, uuids, abort=lambda: False) as system:
        finished = [uuid for uuid in uuids if system.file(uuid, "transcript.json").exists()]
        assert 0 < len(finished) < len(uuids)
        assert all(system.file(uuid, "captions.vtt").exists() for uuid in finished)
    with _stopped_while_busy(home, uuids, abort=lambda: True) as system:
        assert not all(system.file(uuid, "captions.vtt").exists() for uuid in uuids)
    assert _statuses(home, uuids) == ["SUCCESS"] * len(uuids)
