"""Text from outside reaches the terminal as text, never as a control sequence; stop signals are counted."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from transcription_dagster.cli.batch.report import (
    LineDisplay,
    Progress,
    RecordingOutcome,
    outcome_table,
    picture,
    summary,
)
from transcription_dagster.cli.main import main
from transcription_dagster.cli.terminal import StopSignals, printable, printable_lines
from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.sources.worklist_entries import Entry

#: Sets the window's title, clears the screen and rings; C1's CSI does without ESC; U+202E reverses what follows.
HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202eevil\rover"
UUID = "919f49d0-ef35-5e93-b564-e948b9d75f83"
FAILED = RecordingOutcome(Entry(1, UUID, title=HOSTILE), "failed", error=HOSTILE)
PROGRESS = Progress(total=1, done=0, failed=1, in_flight=0, audio_seconds=0.0, elapsed=1.0)


def printed(show: object) -> str:
    output = io.StringIO()
    Console(file=output, force_terminal=False, width=200).print(show)
    return output.getvalue()


def is_clean(text: str) -> bool:
    return all(character.isprintable() for character in text.replace("\n", ""))


def test_printable_keeps_all_visible_characters() -> None:
    assert printable("Łódź 東京 \u200d! \x1b[31mred") == "Łódź 東京  !  [31mred"
    assert printable_lines("one\x1b\ntwo") == "one \ntwo"


def test_the_table_and_summary_contain_no_control_characters() -> None:
    lines, _ = summary([FAILED], stopped=False, command="transcription batch list.json")
    assert all(is_clean(line) for line in lines)
    assert is_clean(printed(outcome_table([FAILED])))


def test_the_progress_display_contains_no_control_characters() -> None:
    output = io.StringIO()
    display = LineDisplay(Console(file=output, width=200))
    display.finished(FAILED)
    display.note(HOSTILE)
    assert "evil" in output.getvalue()
    assert is_clean(output.getvalue())
    executor = WorkerStatus(
        "gpu-0@a", "gpu", "a", 1, "cpu:0", "tiny", "idle", None, None, 0, 1, HOSTILE, seconds_since_heartbeat=0.0
    )
    assert is_clean(printed(picture([executor], PROGRESS, {})))


def test_a_commands_error_contains_no_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = tmp_path / "captions.srt"
    captions.write_text(f"{HOSTILE}\n")
    corrected = tmp_path / "corrected.txt"
    corrected.write_text("Nothing.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["transcription", "apply-corrections", str(captions), str(corrected)])
    with pytest.raises(SystemExit) as result:
        main()
    assert result.value.code == 1
    assert "owned" in (errors := capsys.readouterr().err)
    assert is_clean(errors)


def test_stop_signals_are_counted() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signals = StopSignals()
        assert not signals.wait(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(60)
        assert signals.count == 1
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.count == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
