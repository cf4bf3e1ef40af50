"""`transcription format`: write a transcript as captions or text."""

from __future__ import annotations

from typing import get_args

import click

from transcription_dagster import api
from transcription_dagster.api import TranscriptFormat
from transcription_dagster.captions.limits import CaptionLimits
from transcription_dagster.cli.arguments import FiniteRange
from transcription_dagster.cli.files import INPUT, OUTPUT, output_format, read_transcript_file, write_output

#: Extensions of the output formats.
FORMATS: tuple[TranscriptFormat, ...] = get_args(TranscriptFormat)


@click.command("format")
@click.argument("file", type=INPUT)
@click.option("--to", "kind", type=click.Choice(FORMATS), help="Format; else the extension of -o, else srt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
@click.option("--lines", type=click.IntRange(1, 4), default=2, show_default=True, help="Maximum lines in a caption.")
@click.option(
    "--line-length", type=click.IntRange(10, 200), default=42, show_default=True, help="Maximum columns in a line."
)
@click.option(
    "--frame-rate", type=FiniteRange(1, 240), default=24.0, show_default=True, help="Frame rate of the video."
)
@click.option(
    "--reading-speed",
    type=FiniteRange(5, 100),
    default=20.0,
    show_default=True,
    help="Reading speed, in characters per second.",
)
def format_transcript(
    file: str,
    kind: TranscriptFormat | None,
    output: str | None,
    lines: int,
    line_length: int,
    frame_rate: float,
    reading_speed: float,
) -> None:
    """Convert a transcript to captions or text.

    FILE (- for standard input) is a transcript.json of this program or of Amazon Transcribe.
    """
    limits = CaptionLimits(
        max_lines=lines, max_line_characters=line_length, frame_rate=frame_rate, characters_per_second=reading_speed
    )
    chosen = output_format(kind, output, FORMATS) or "srt"
    write_output(output, api.format_transcript(read_transcript_file(file), chosen, limits=limits))
