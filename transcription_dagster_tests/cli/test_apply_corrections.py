"""`transcription apply-corrections` as a user calls it."""

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
    "1\n00:00:00,123 --> 00:00:02,456\nThe ferry to North Haven leaves\n\n"
    "2\n00:00:03,000 --> 00:00:04,001\nat nine & thirty.\n"
)
VTT_CORRECTED = (
    "WEBVTT\n\n00:00:00.123 --> 00:00:02.456\nThe ferry to North Haven leaves\n\n"
    "00:00:03.000 --> 00:00:04.001\nat nine &amp; thirty.\n"
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with captions and a corrected text."""
    for name, text in {"a.srt": SRT, "a.vtt": VTT, "c.txt": CORRECTED}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(*arguments: object, text: str | bytes | None = None) -> Result:
    """Call the command."""
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


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(files: Path) -> None:
    windows = ("\ufeff" + VTT.replace("\n", "\r\n")).encode()
    assert run("-", files / "c.txt", text=windows).stdout == VTT_CORRECTED


def test_both_from_standard_input_is_bad_usage() -> None:
    assert run("-", "-", text=SRT).exit_code == 2


def test_a_text_that_belongs_to_other_captions_is_refused(files: Path) -> None:
    result = run(files / "a.srt", "-", text="Quinces, mangos and dragon fruit.")
    assert result.exit_code == 1
    assert isinstance(result.exception, UnrelatedText)
    assert result.stdout == ""


def test_what_is_no_captions_is_refused(files: Path) -> None:
    result = run("-", files / "c.txt", text="no captions")
    assert result.exit_code == 1
    assert isinstance(result.exception, InvalidCaptions)
    assert "line 1" in str(result.exception)


@pytest.mark.parametrize("arguments", [("a.srt", "-"), ("-", "c.txt")])
def test_other_encodings_are_bad_usage(files: Path, arguments: tuple[str, str]) -> None:
    paths = [name if name == "-" else str(files / name) for name in arguments]
    result = run(*paths, text="grüß Gott".encode("latin-1"))
    assert result.exit_code == 2
    assert "standard input is not a text in UTF-8" in result.stderr
