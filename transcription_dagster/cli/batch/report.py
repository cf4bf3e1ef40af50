"""What a batch reports: its progress, live on a terminal and in plain lines elsewhere, and its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transcription_dagster.cli.terminal import printable
from transcription_dagster.dagster_api.values import RunResults
from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.sources.worklist_entries import Entry, EntryStatus
from transcription_dagster.transcripts.plain_text import clock

#: Longer tables list only the failed recordings.
_LONGEST_TABLE = 200

#: Exit code after Ctrl+C, as in shells.
INTERRUPTED = 130

#: Writes the cheapest job of each failed recording, and processes them.
_CONTINUE = "transcription worklist --failed && transcription batch assets_failed.json --yes"

_STYLES = {"done": "green", "failed": "red", "waiting": "yellow"}


@dataclass(frozen=True, slots=True)
class RecordingOutcome:
    """The outcome of one recording."""

    entry: Entry
    status: EntryStatus
    #: One line; None unless it failed.
    error: str | None = None
    results: RunResults | None = None

    def figure(self, name: str) -> float | None:
        """Return a number from the transcript's metadata, such as `audio_seconds` or `words`."""
        return self.results.figures.get("transcript", {}).get(name) if self.results else None

    @property
    def audio_seconds(self) -> float:
        """Length of the recording; 0 if unknown."""
        return self.figure("audio_seconds") or 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a batch."""

    total: int
    done: int
    failed: int
    in_flight: int
    #: Total length of the recordings that are done.
    audio_seconds: float
    #: Seconds since the batch started.
    elapsed: float

    @property
    def waiting(self) -> int:
        """Recordings not submitted yet."""
        return self.total - self.done - self.failed - self.in_flight

    @property
    def speed(self) -> float:
        """Hours of audio transcribed per hour."""
        return self.audio_seconds / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds left, from the finished recordings; None before the first."""
        finished = self.done + self.failed
        return self.elapsed / finished * (self.total - finished) if finished else None

    def describe(self) -> str:
        """The figures in one line."""
        counts = [f"{self.done} of {self.total} done", f"{self.failed} failed" if self.failed else ""]
        counts += [f"{self.in_flight} in progress", f"{self.waiting} waiting"]
        if self.audio_seconds:
            counts.append(f"{self.speed:.1f} hours of audio an hour")
        seconds_left = self.seconds_left
        if seconds_left:
            counts.append(f"about {clock(round(seconds_left))} left")
        return ", ".join(filter(None, counts))


def name(entry: Entry) -> str:
    """Return a recording's name for the screen."""
    return f"{entry.uuid} {printable(entry.title)}" if entry.title else entry.uuid


def outcome_table(outcomes: Sequence[RecordingOutcome]) -> Table:
    """Return the final table: a row for each recording, or only for failed ones if there are very many."""
    listed = (
        outcomes if len(outcomes) <= _LONGEST_TABLE else [outcome for outcome in outcomes if outcome.status == "failed"]
    )
    result = Table(box=SIMPLE_HEAD, show_footer=True, header_style="bold", pad_edge=False)
    result.add_column("Recording", _totals(outcomes), overflow="fold", min_width=36)
    result.add_column("Status", no_wrap=True)
    for heading, total in (
        ("Audio", clock(round(_sum(outcomes, "audio_seconds")))),
        ("Words", f"{_sum(outcomes, 'words'):.0f}"),
        ("Confidence", ""),
        ("Inference", f"{_sum(outcomes, 'gpu_seconds'):.1f} s"),
        ("RTF", _ratio(_sum(outcomes, "gpu_seconds"), _sum(outcomes, "audio_seconds"))),
    ):
        result.add_column(heading, total, justify="right", no_wrap=True)
    for outcome in listed:
        result.add_row(*_row(outcome))
    return result


def summary(outcomes: Sequence[RecordingOutcome], *, stopped: bool, command: str) -> tuple[list[str], int]:
    """Return the final messages of a batch and its exit code; `stopped`: the user stopped it."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    waiting = sum(outcome.status == "waiting" for outcome in outcomes)
    lines = [f"failed {outcome.entry.uuid}: {printable(outcome.error or '')}" for outcome in failed]
    if waiting and not stopped:
        lines += [f"Stopped at the first failure; {waiting} more are waiting. To continue after failures:"]
        lines += [f"  {command} --yes"]
    elif failed or waiting:
        lines += [f"{len(failed) + waiting} not done. To retry the remaining recordings:", f"  {command}"]
        if any(_has_transcript(outcome) for outcome in failed):
            lines += ["To continue those that have a transcript without transcribing them again:", f"  {_CONTINUE}"]
    interrupted = bool(waiting and stopped)
    return lines, INTERRUPTED if interrupted else int(bool(failed or waiting))


def _has_transcript(outcome: RecordingOutcome) -> bool:
    """Return whether the recording failed at an asset after its transcript; errors begin with the asset's name."""
    asset, colon, _ = (outcome.error or "").partition(": ")
    return bool(colon) and asset.isidentifier() and asset not in ("audio", "transcript", "speakers")


def _row(outcome: RecordingOutcome) -> list[Text]:
    # Text, not markup: titles come from outside.
    cells = [
        name(outcome.entry),
        outcome.status,
        _figure(outcome, "audio_seconds", lambda seconds: clock(round(seconds))),
        _figure(outcome, "words", "{:.0f}".format),
        _figure(outcome, "mean_confidence", "{:.2f}".format),
        _figure(outcome, "gpu_seconds", "{:.1f} s".format),
        _figure(outcome, "real_time_factor", "{:.3f}".format),
    ]
    return [Text(cell, style=_STYLES[outcome.status] if index == 1 else "") for index, cell in enumerate(cells)]


def _figure(outcome: RecordingOutcome, figure: str, form: Callable[[float], str]) -> str:
    value = outcome.figure(figure)
    return "" if value is None else form(value)


def _sum(outcomes: Iterable[RecordingOutcome], figure: str) -> float:
    return sum(outcome.figure(figure) or 0.0 for outcome in outcomes)


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else ""


def _totals(outcomes: Sequence[RecordingOutcome]) -> str:
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    done = sum(outcome.status == "done" for outcome in outcomes)
    return f"{done} done, {failed} failed, {len(outcomes) - done - failed} waiting"


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
    if outcome.figure("words") is None:
        # Its job made no transcript.
        return Text.assemble((outcome.status, "green"), f" {name(outcome.entry)}")
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
