"""`transcription transcribe` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from transcription_dagster.captions.subtitles import read_srt, read_vtt
from transcription_dagster.cli.transcribe import transcribe
from transcription_dagster.errors import UnknownModel, UnusableAudio
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster_tests import corpus
from transcription_dagster_tests.whisper.conftest import BULLETIN, DEMO

pytestmark = pytest.mark.slow

UUID = "919f49d0-ef35-5e93-b564-e948b9d75f83"
RECORDING = DEMO / "recordings" / f"{UUID}.wav"
TEXT = "Call five three one four for help. This is the end of the report. Thank you for listening."


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSCRIPTION_MODEL", BULLETIN)


def run(*arguments: object, stdin: bytes | None = None):
    return CliRunner().invoke(
        transcribe, ["--device", "cpu", *map(str, arguments)], input=stdin, catch_exceptions=False
    )


def test_text_on_standard_output_is_the_default():
    result = run(RECORDING)
    assert (result.exit_code, result.stdout, result.stderr) == (0, TEXT + "\n", "")


def test_every_format(tmp_path):
    for kind in ("json", "srt", "vtt", "txt"):
        assert run(RECORDING, "-o", tmp_path / f"words.{kind}").exit_code == 0
    transcript = read_transcript((tmp_path / "words.json").read_text())
    assert transcript.recording == UUID
    assert " ".join(word.text for word in transcript.words) == TEXT
    for cues in (read_srt((tmp_path / "words.srt").read_text()), read_vtt((tmp_path / "words.vtt").read_text())):
        assert " ".join(line for cue in cues for line in cue.lines) == TEXT


def test_the_format_option_overrides_the_extension(tmp_path):
    run(RECORDING, "--to", "json", "-o", tmp_path / "words.txt")
    assert json.loads((tmp_path / "words.txt").read_text())["jobName"] == UUID


def test_standard_input():
    assert run("-", stdin=RECORDING.read_bytes()).stdout == TEXT + "\n"


def test_silence_is_reported(tmp_path):
    result = run(corpus.silent(tmp_path, 3))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no speech was found" in result.stderr


def test_removed_text_is_reported(tmp_path):
    result = run(corpus.write_wav(tmp_path / "noise.wav", corpus.noise(15)))
    assert result.stdout == ""
    assert "no speech was found" in result.stderr


def test_a_damaged_recording_is_transcribed_with_a_warning(tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(RECORDING.read_bytes()[:150_000])
    result = run(broken)
    assert result.stdout.startswith("Call five three one four for help.")
    assert "truncated" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([str(DEMO / "recordings" / "references.json")], UnusableAudio),
        ([str(RECORDING), "-m", "enormous"], UnknownModel),
        ([str(RECORDING), "-m", str(RECORDING)], UnknownModel),
    ],
)
def test_an_impossible_request_is_a_program_error(arguments, error):
    with pytest.raises(error):
        run(*arguments)


def test_a_file_that_is_not_audio_is_named():
    with pytest.raises(UnusableAudio, match=r"references\.json: the source is of a format"):
        run(DEMO / "recordings" / "references.json")


def test_empty_standard_input_is_reported():
    with pytest.raises(UnusableAudio, match="standard input is empty"):
        run("-", stdin=b"")


def test_a_missing_file_is_a_usage_error(tmp_path):
    assert run(tmp_path / "nothing.wav").exit_code == 2
