"""`transcription format` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import srt
import webvtt
from click.testing import CliRunner, Result

from transcription_dagster.cli.main import transcription
from transcription_dagster.model import Transcript
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster_tests.captions.speech import say

TEXT = "The ferry to North Haven leaves at nine. [2] The bridge is closed, and will stay so until Monday – grüß Gott."
AMAZON = {
    "jobName": "job-7",
    "results": {
        "items": [
            {
                "type": "pronunciation",
                "alternatives": [{"content": "Sorry", "confidence": "0.9"}],
                "start_time": "8.49",
                "end_time": "8.88",
                "speaker_label": "spk_1",
            },
            {"type": "punctuation", "alternatives": [{"content": ".", "confidence": "0.0"}]},
        ]
    },
    "status": "COMPLETED",
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Return a transcript of this program."""
    path = tmp_path / "transcript.json"
    path.write_text(write_transcript(Transcript("", tuple(say(TEXT)))), encoding="utf-8")
    return path


def run(*arguments: object, text: str | None = None) -> Result:
    """Return a function that runs the command."""
    return CliRunner().invoke(transcription, ["format", *map(str, arguments)], input=text)


def test_captions_go_to_standard_output(document: Path) -> None:
    result = run(document)
    assert result.exit_code == 0
    first, *_ = srt.parse(result.stdout)
    assert first.content == "The ferry to North Haven leaves at nine."


def test_standard_input_is_read_for_a_dash(document: Path) -> None:
    assert run("-", "--to", "txt", text=document.read_text(encoding="utf-8")).stdout == (
        "The ferry to North Haven leaves at nine.\n\nThe bridge is closed, and will stay so until Monday – grüß Gott.\n"
    )


def test_the_output_files_extension_selects_the_format(document: Path, tmp_path: Path) -> None:
    output = tmp_path / "captions.vtt"
    result = run(document, "-o", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert webvtt.read(str(output))[0].text == "The ferry to North Haven leaves at nine."


def test_the_format_option_overrides_the_output_file(document: Path, tmp_path: Path) -> None:
    run(document, "-o", tmp_path / "captions.vtt", "--to", "json")
    assert read_transcript((tmp_path / "captions.vtt").read_bytes(), recording="") == read_transcript(
        document.read_bytes(), recording=""
    )


def test_limits_can_be_set(document: Path) -> None:
    result = run(document, "--lines", 1, "--line-length", 20)
    assert all(len(cue.content) <= 20 for cue in srt.parse(result.stdout))


def test_a_transcript_of_amazon_is_read() -> None:
    assert run("-", text=json.dumps(AMAZON)).stdout == "1\n00:00:08,490 --> 00:00:08,880\nSorry.\n"


def test_an_output_file_is_replaced_whole_or_not_at_all(document: Path, tmp_path: Path) -> None:
    output = tmp_path / "captions.srt"
    output.write_text("before")
    (tmp_path / "bad.json").write_text("{")
    assert run(tmp_path / "bad.json", "-o", output).exit_code == 1
    assert output.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"bad.json", "captions.srt", "transcript.json"}


@pytest.mark.parametrize("arguments", [["missing.json"], ["-", "--to", "doc"], ["-", "--lines", "0"], []])
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert run(*arguments, text="{}").exit_code == 2


def console(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Call the console script's function in a separate process, and report the libraries that it loaded."""
    code = (
        "import sys, atexit\n"
        "from transcription_dagster.cli.main import main\n"
        "heavy = {'dagster', 'torch', 'whisper', 'anthropic', 'boto3', 'sqlalchemy'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['transcription', *{list(arguments)!r}]\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, encoding="utf-8", timeout=60
    )


def test_no_heavy_library_is_loaded() -> None:
    completed = console("format", "-", text=json.dumps(AMAZON))
    assert completed.returncode == 0
    assert "loaded []" in completed.stderr


def test_an_invalid_transcript_is_reported_in_one_line_with_its_position() -> None:
    completed = console("format", "-", text='{"results": {"items": [{"type": "pronunciation"}]}}')
    assert completed.returncode == 1
    assert completed.stdout == ""
    assert (
        completed.stderr.splitlines()[0]
        == "transcription: standard input: results.items[0].alternatives: Field required"
    )


def test_a_device_as_output_is_written_to_and_not_replaced(document: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "captions.vtt"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run(document, "-o", pipe).exit_code == 0
    assert os.read(reader, 10_000).startswith(b"WEBVTT")
    os.close(reader)
    assert pipe.is_fifo()
