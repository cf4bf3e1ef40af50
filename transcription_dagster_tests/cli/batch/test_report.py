"""A batch's output: progress, lines, and the summary."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from transcription_dagster.cli.batch.report import (
    LineDisplay,
    LiveDisplay,
    Progress,
    RecordingOutcome,
    describe_outcome,
    outcome_table,
    summary,
)
from transcription_dagster.dagster_api.values import RunResults
from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.sources.worklist_entries import Entry, EntryStatus

ONE = Entry(1, "919f49d0-ef35-5e93-b564-e948b9d75f83", title="Harbour [bold]news[/bold]")
TWO = Entry(2, "fb4024f4-a2d2-5e85-bbe5-f84f01e07dc0")
FIGURES = {"audio_seconds": 3725.0, "words": 9000, "gpu_seconds": 74.5, "real_time_factor": 0.02}
DONE = RecordingOutcome(ONE, "done", results=RunResults({}, {"transcript": FIGURES, "audio": {"bytes": 1}}))
FAILED = RecordingOutcome(TWO, "failed", error="audio: [red] is no audio")


def progress(**values: Any) -> Progress:
    fields = {"total": 10, "done": 4, "failed": 1, "in_flight": 2, "audio_seconds": 7200.0, "elapsed": 100.0, **values}
    return Progress(**fields)


def executor(**values: Any) -> WorkerStatus:
    fields = {
        "name": "gpu-0",
        "kind": "gpu",
        "host": "h",
        "pid": 1,
        "device": "cuda:0",
        "model": "medium",
        "state": "busy",
        "recording": ONE.uuid,
        "progress": 0.5,
        "jobs": 3,
        "model_loads": 1,
        "last_error": None,
        "seconds_since_heartbeat": 0.5,
        **values,
    }
    return WorkerStatus(**fields)


def printed(*renderables: object, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_progress_counts_and_estimates() -> None:
    assert (progress().waiting, progress().speed, progress().seconds_left) == (3, 72.0, 100.0)
    assert progress().describe() == (
        "4 of 10 done, 1 failed, 2 in progress, 3 waiting, 72.0 hours of audio an hour, about 0:01:40 left"
    )


def test_before_the_first_result_nothing_is_estimated() -> None:
    early = progress(done=0, failed=0, audio_seconds=0.0, elapsed=0.0)
    assert (early.speed, early.seconds_left) == (0.0, None)
    assert early.describe() == "0 of 10 done, 2 in progress, 8 waiting"


def test_the_table_shows_figures_and_totals_and_escapes_titles() -> None:
    lines = [
        line.split()
        for line in printed(outcome_table([DONE, FAILED, RecordingOutcome(TWO, "waiting")]), width=160).splitlines()
    ]
    assert [ONE.uuid, "Harbour", "[bold]news[/bold]", "done", "1:02:05", "9000", "74.5", "s", "0.020"] in lines
    assert [TWO.uuid, "failed"] in lines
    assert ["1", "done,", "1", "failed,", "1", "waiting", "1:02:05", "9000", "74.5", "s", "0.020"] in lines


def test_of_very_many_recordings_only_the_failed_ones_are_listed() -> None:
    text = printed(outcome_table([DONE] * 300 + [FAILED]))
    assert TWO.uuid in text
    assert ONE.uuid not in text
    assert "300 done, 1 failed" in text


@pytest.mark.parametrize(
    ("statuses", "stopped", "code", "advice"),
    [
        (["done", "done"], False, 0, ""),
        (["done", "done"], True, 0, ""),
        (["done", "failed"], False, 1, "1 not done."),
        (["failed", "waiting", "waiting"], False, 1, "2 more are waiting. To continue after failures:\n  go --yes"),
        (["done", "waiting"], True, 130, "1 not done. To retry the remaining recordings:\n  go"),
        (["failed", "waiting"], True, 130, "2 not done."),
        (["failed"], True, 1, "1 not done."),
    ],
)
def test_the_summary_says_how_to_continue_and_sets_the_exit_code(
    statuses: list[EntryStatus], stopped: bool, code: int, advice: str
) -> None:
    outcomes = [RecordingOutcome(ONE, status, error="why" if status == "failed" else None) for status in statuses]
    lines, exit_code = summary(outcomes, stopped=stopped, command="go")
    assert exit_code == code
    assert advice in "\n".join(lines)
    assert ("failed 919f49d0-ef35-5e93-b564-e948b9d75f83: why" in lines) == ("failed" in statuses)


@pytest.mark.parametrize(
    ("error", "continues"),
    [
        ("refined_txt: Claude refused the credentials", True),
        ("embeddings: no", True),
        ("audio: no sound", False),
        ("transcript: out of memory", False),
        ("its run was terminated", False),
    ],
)
def test_the_summary_says_how_to_keep_finished_transcripts(error: str, continues: bool) -> None:
    lines, _ = summary([RecordingOutcome(ONE, "failed", error=error)], stopped=False, command="go")
    assert any("transcription worklist --failed" in line for line in lines) == continues


def test_a_recording_whose_job_made_no_transcript_has_no_figures() -> None:
    assert describe_outcome(RecordingOutcome(ONE, "done")).plain == f"done {ONE.uuid} {ONE.title}"


def test_a_finished_recording_is_one_line() -> None:
    assert describe_outcome(DONE).plain == (
        f"done {ONE.uuid} {ONE.title}: 1:02:05 of audio, 9000 words, 74.5 s of inference"
    )
    assert describe_outcome(FAILED).plain == f"failed {TWO.uuid}: audio: [red] is no audio"


def test_without_a_terminal_long_lines_are_not_cut() -> None:
    console = Console(file=io.StringIO(), width=40)
    display = LineDisplay(console)
    display.note("begun")
    display.update([executor()], progress())
    display.finished(FAILED)
    assert console.file.getvalue().splitlines() == ["begun", f"failed {TWO.uuid}: audio: [red] is no audio"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("executors", "parts"),
    [
        ([executor()], ["cuda:0", "━", ONE.uuid, "[bold]news[/bold]"]),
        ([executor(recording="of-another-batch")], ["of-another-batch"]),
        ([executor(state="starting", recording=None, progress=None, device=None)], ["gpu-0", "starting"]),
        ([executor(state="idle", recording=None, last_error="CUDA out of memory")], ["CUDA out of memory"]),
        ([], ["No executor is alive"]),
    ],
)
def test_a_terminal_shows_the_recordings_of_each_executor(executors: list[WorkerStatus], parts: list[str]) -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=True, color_system=None)
    with LiveDisplay(console, {ONE.uuid: ONE}) as display:
        display.update(executors, progress())
        display.finished(FAILED)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in [*parts, progress().describe(), f"failed {TWO.uuid}"]:
        assert part in text
