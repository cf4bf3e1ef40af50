"""Progress of a running batch: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transcription_dagster.cli.batch.report import Progress, RecordingOutcome, name
from transcription_dagster.cli.terminal import printable
from transcription_dagster.pool.state import WorkerStatus
from transcription_dagster.sources.worklist_entries import Entry
from transcription_dagster.transcripts.plain_text import clock

#: Seconds without a finished recording after which a line reports the progress.
_QUIET_SECONDS = 30.0


class Display(Protocol):
    """Shows the progress of a batch."""

    def update(self, executors: Sequence[WorkerStatus], progress: Progress) -> None:
        """Show the progress; called about once a second."""
        ...

    def finished(self, outcome: RecordingOutcome) -> None:
        """Report that a recording is done or failed."""
        ...

    def note(self, text: str) -> None:
        """Show a message once."""
        ...


class LineDisplay:
    """Prints a line for each finished recording, and a progress line after a quiet period."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_line_at = time.monotonic()

    def update(self, executors: Sequence[WorkerStatus], progress: Progress) -> None:
        if time.monotonic() - self._last_line_at > _QUIET_SECONDS:
            busy = sum(executor.state == "busy" for executor in executors)
            self._print(Text(f"{progress.describe()}; {busy} of {len(executors)} executors busy"))

    def finished(self, outcome: RecordingOutcome) -> None:
        self._print(describe_outcome(outcome))

    def note(self, text: str) -> None:
        self._print(Text(printable(text)))

    def _print(self, text: Text) -> None:
        self._last_line_at = time.monotonic()
        self._console.print(text, soft_wrap=True)


class LiveDisplay:
    """Redraws the executors and the batch in place; messages scroll above."""

    def __init__(self, console: Console, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, executors: Sequence[WorkerStatus], progress: Progress) -> None:
        self._live.update(picture(executors, progress, self._entries))

    def finished(self, outcome: RecordingOutcome) -> None:
        self._live.console.print(describe_outcome(outcome))

    def note(self, text: str) -> None:
        self._live.console.print(Text(printable(text)))


def describe_outcome(outcome: RecordingOutcome) -> Text:
    """Return one line about a finished recording."""
    if outcome.error is not None:
        return Text.assemble(("failed", "red"), f" {name(outcome.entry)}: {printable(outcome.error)}")
    words, seconds = outcome.figure("words") or 0, outcome.figure("gpu_seconds") or 0.0
    figures = f"{clock(round(outcome.audio_seconds))} of audio, {words:.0f} words, {seconds:.1f} s of inference"
    return Text.assemble((outcome.status, "green"), f" {name(outcome.entry)}: {figures}")


def picture(executors: Sequence[WorkerStatus], progress: Progress, entries: Mapping[str, Entry]) -> RenderableType:
    """Render the executors with their recordings and progress, and the whole batch below."""
    rows = Table.grid(padding=(0, 2))
    for executor in executors:
        rows.add_row(
            Text(executor.device or executor.name, style="bold"),
            _bar(executor.progress or 0.0) if executor.state == "busy" else Text(executor.state, style="dim"),
            Text(_activity(executor, entries), no_wrap=True, overflow="ellipsis"),
        )
    finished = (progress.done + progress.failed) / progress.total if progress.total else 1.0
    rows.add_row(Text("all", style="bold"), _bar(finished), Text(progress.describe()))
    if executors:
        return rows
    return Group(Text("No executor is alive; the recordings wait.", style="yellow"), rows)


def _bar(share: float) -> ProgressBar:
    return ProgressBar(total=1.0, completed=min(1.0, share), width=24)


def _activity(executor: WorkerStatus, entries: Mapping[str, Entry]) -> str:
    if executor.recording is None:
        return printable(executor.last_error or "")
    entry = entries.get(executor.recording)
    first = name(entry) if entry else executor.recording
    others = len(executor.work.recordings) - 1 if executor.work else 0
    return f"{first} and {others} more" if others > 0 else first
