"""`transcription up` in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcription_dagster.settings import load_settings
from transcription_dagster.stack.stack import RunningStack, running
from transcription_dagster_tests.stack.small_stack import until
from transcription_dagster_tests.system import CHECKPOINT


class Up:
    """A started `transcription up`."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        self.output = home / "up.out"
        self.home = home
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "transcription_dagster", "up", "--gpus", "none", *arguments],
                env={
                    **os.environ,
                    "TRANSCRIPTION_HOME": str(home),
                    "TRANSCRIPTION_MODEL": str(CHECKPOINT),
                    **variables,
                },
                stdout=output,
                stderr=output,
            )

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.said()
        return "\nUp: " in self.said()

    def said(self) -> str:
        return self.output.read_text()

    @property
    def stack(self) -> RunningStack:
        stack = running(load_settings(home=self.home))
        assert stack is not None
        return stack

    def ends_with(self, code: int) -> None:
        assert self.process.wait(120) == code, self.said()


@contextmanager
def started_up(home: Path, *arguments: str, **variables: str) -> Iterator[Up]:
    """Provide a stack that is up, and end it after the block if it still runs."""
    started = Up(home, *arguments, **variables)
    try:
        until(started.is_up, 240)
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            started.process.wait(120)
