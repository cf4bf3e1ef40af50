"""`transcription format`: a transcript as captions or text."""

from __future__ import annotations

from collections.abc import Callable

import click

from transcription_dagster.captions.cues import CaptionLimits, make_cues
from transcription_dagster.captions.subtitles import to_srt, to_vtt
from transcription_dagster.cli.files import INPUT, OUTPUT, extension, read_input, write_output
from transcription_dagster.model import Transcript
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.plain_text import to_text

#: Writers of a transcript, by the extension of what they write.
FORMATS: dict[str, Callable[[Transcript, CaptionLimits], str]] = {
    "srt": lambda transcript, limits: to_srt(make_cues(transcript.words, limits)),
    "vtt": lambda transcript, limits: to_vtt(make_cues(transcript.words, limits)),
    "txt": lambda transcript, _: to_text(transcript),
    "json": lambda transcript, _: write_transcript(transcript) + "\n",
}


@click.command("format")
@click.argument("file", type=INPUT)
@click.option("--to", "kind", type=click.Choice(list(FORMATS)), help="Format; else the extension of -o, else srt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
@click.option("--lines", type=click.IntRange(1, 4), default=2, show_default=True, help="Lines in a caption.")
@click.option("--line-length", type=click.IntRange(10, 200), default=42, show_default=True, help="Columns in a line.")
@click.option(
    "--frame-rate", type=click.FloatRange(1, 240), default=24.0, show_default=True, help="Frame rate of the picture."
)
@click.option(
    "--reading-speed",
    type=click.FloatRange(5, 100),
    default=20.0,
    show_default=True,
    help="Characters a second that can be read.",
)
def format_transcript(
    file: str,
    kind: str | None,
    output: str | None,
    lines: int,
    line_length: int,
    frame_rate: float,
    reading_speed: float,
) -> None:
    """Write the transcript FILE (- for standard input) as captions or text.

    FILE is a transcript.json of this program or of Amazon Transcribe, with speaker labels or without.
    """
    transcript = read_transcript(read_input(file), recording="")
    limits = CaptionLimits(
        max_lines=lines, max_line_characters=line_length, frame_rate=frame_rate, characters_per_second=reading_speed
    )
    chosen = kind or (extension(output) if extension(output) in FORMATS else "srt")
    write_output(output, FORMATS[chosen](transcript, limits))
