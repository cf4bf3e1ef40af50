"""`transcription apply-corrections` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transcription_dagster.cli.main import transcription
from transcription_dagster.errors import InvalidCaptions, UnrelatedText

SRT = (
    "1\n00:00:00,123 --> 00:00:02,456\nthe fairy to north\nhaven leaves\n\n2\n00:00:03,000 --> 00:00:04,001\nat nine\n"
)
VTT = (
    "WEBVTT\n\n00:00:00.123 --> 00:00:02.456\nthe fairy to north\nhaven leaves\n"
    "\n00:00:03.000 --> 00:00:04.001\nat nine\n"
)
CORRECTED = "The ferry to North Haven leaves\nat nine & thirty.\n"
SRT_CORRECTED = (
    "1\n00:00:00,123 --> 00:00:02,456\nThe ferry to North\nHaven leaves\n\n"
    "2\n00:00:03,000 --> 00:00:04,001\nat nine & thirty.\n"
)
VTT_CORRECTED = (
    "WEBVTT\n\n00:00:00.123 --> 00:00:02.456\nThe ferry to North\nHaven leaves\n\n"
    "00:00:03.000 --> 00:00:04.001\nat nine &amp; thirty.\n"
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Provide a folder with captions and a corrected text."""
    for name, text in {"a.srt": SRT, "a.vtt": VTT, "c.txt": CORRECTED}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(*arguments: object, text: str | bytes | None = None) -> Result:
    """Return a function that runs the command."""
    return CliRunner().invoke(transcription, ["apply-corrections", *map(str, arguments)], input=text)


@pytest.mark.parametrize(("name", "expected"), [("a.srt", SRT_CORRECTED), ("a.vtt", VTT_CORRECTED)])
def test_the_format_stays_that_of_the_captions(files: Path, name: str, expected: str) -> None:
    assert run(files / name, files / "c.txt").stdout == expected


def test_the_format_can_be_chosen(files: Path) -> None:
    assert run(files / "a.srt", files / "c.txt", "--to", "vtt").stdout == VTT_CORRECTED
    assert run(files / "a.vtt", files / "c.txt", "-o", files / "out.srt").stdout == ""
    assert (files / "out.srt").read_text() == SRT_CORRECTED


def test_either_file_can_be_standard_input(files: Path) -> None:
    assert run("-", files / "c.txt", text=VTT).stdout == VTT_CORRECTED
    assert run(files / "a.srt", "-", text=CORRECTED).stdout == SRT_CORRECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_line_ends_and_encoding_stay_those_of_the_captions(files: Path, encoding: str) -> None:
    before = VTT.replace("nine", "café").replace("\n", "\r\n").encode(encoding)
    (files / "c.txt").write_text(CORRECTED.replace("nine", "café"), encoding="utf-8")
    result = run("-", files / "c.txt", text=before)
    assert result.stdout_bytes == VTT_CORRECTED.replace("nine", "café").replace("\n", "\r\n").encode(encoding)
    assert ("read as cp1252" in result.stderr) is (encoding == "cp1252")


def test_an_encoding_that_is_named_is_used(files: Path) -> None:
    (files / "a.srt").write_bytes(SRT.replace("nine", "שלום").encode("cp1255"))
    (files / "c.txt").write_bytes(CORRECTED.replace("nine", "שלום").encode("cp1255"))
    result = run(files / "a.srt", files / "c.txt", "--encoding", "cp1255")
    assert result.stdout_bytes == SRT_CORRECTED.replace("nine", "שלום").encode("cp1255")
    assert run(files / "a.srt", files / "c.txt", "--encoding", "klingon").exit_code == 2


def test_a_letter_outside_the_captions_encoding_is_refused(files: Path) -> None:
    (files / "a.srt").write_bytes(SRT.replace("nine", "fünf").encode("cp1252"))
    result = run(files / "a.srt", "-", text=CORRECTED.replace("nine", "Győr"))
    assert isinstance(result.exception, InvalidCaptions)
    assert "line 8: 'ő' cannot be written in cp1252" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("corrected", [SRT_CORRECTED, VTT_CORRECTED, "\ufeff" + SRT_CORRECTED.replace("\n", "\r\n")])
def test_a_corrected_text_may_be_captions_itself(files: Path, corrected: str) -> None:
    assert run(files / "a.srt", "-", text=corrected).stdout == SRT_CORRECTED


def test_corrected_captions_that_cannot_be_read_are_refused(files: Path) -> None:
    result = run(files / "a.srt", "-", text=SRT_CORRECTED.replace("-->", "->"))
    assert isinstance(result.exception, InvalidCaptions)
    assert str(result.exception).startswith("the corrected text: line 2")


def test_another_format_keeps_italics(files: Path) -> None:
    (files / "a.srt").write_text(SRT.replace("at nine", "{\\an8}<i>at</i> nine"))
    assert run(files / "a.srt", files / "c.txt", "--to", "vtt").stdout == VTT_CORRECTED.replace(
        "at nine", "<i>at</i> nine"
    )


def test_both_files_from_standard_input_is_a_usage_error() -> None:
    assert run("-", "-", text=SRT).exit_code == 2


def test_a_text_of_other_captions_is_refused(files: Path) -> None:
    result = run(files / "a.srt", "-", text="Quinces, mangos and dragon fruit.")
    assert result.exit_code == 1
    assert isinstance(result.exception, UnrelatedText)
    assert result.stdout == ""


def test_text_that_is_not_captions_is_refused(files: Path) -> None:
    result = run("-", files / "c.txt", text="no captions")
    assert result.exit_code == 1
    assert isinstance(result.exception, InvalidCaptions)
    assert str(result.exception).startswith("the captions: line 1")
