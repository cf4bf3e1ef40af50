"""`transcription format` and `transcription apply-corrections`: make captions and text, and correct captions."""

from __future__ import annotations

import codecs
from typing import get_args

import click

from transcription_dagster import api
from transcription_dagster.api import TranscriptFormat
from transcription_dagster.captions.layout import CaptionLimits
from transcription_dagster.captions.markup import CaptionKind
from transcription_dagster.cli.arguments import (
    INPUT,
    OUTPUT,
    FiniteRange,
    output_format,
    read_encoded,
    read_transcript_file,
    write_output,
)

#: Extensions of the output formats.
FORMATS: tuple[TranscriptFormat, ...] = get_args(TranscriptFormat)
_KINDS: tuple[CaptionKind, ...] = get_args(CaptionKind)


@click.command("format")
@click.argument("file", type=INPUT)
@click.option("--to", "kind", type=click.Choice(FORMATS), help="Format; else the extension of -o, else srt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
@click.option(
    "--lines", type=click.IntRange(1, 4), metavar="N", default=2, show_default=True, help="Maximum lines in a caption."
)
@click.option(
    "--line-length",
    type=click.IntRange(10, 200),
    metavar="N",
    default=42,
    show_default=True,
    help="Maximum columns in a line.",
)
@click.option(
    "--frame-rate",
    type=FiniteRange(1, 240),
    metavar="N",
    default=24.0,
    show_default=True,
    help="Frame rate of the video.",
)
@click.option(
    "--reading-speed",
    type=FiniteRange(5, 100),
    metavar="N",
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
    target_format = output_format(kind, output, FORMATS) or "srt"
    write_output(output, api.format_transcript(read_transcript_file(file), target_format, limits=limits))


def _known_encoding(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        # Not for text: rot13, base64 and the like, which `str.encode` refuses.
        "a".encode(encoding := codecs.lookup(name).name)
        return encoding
    except LookupError:
        raise click.BadParameter(f"{name!r} is not a text encoding that Python supports") from None


@click.command("apply-corrections")
@click.argument("captions", type=INPUT)
@click.argument("corrected", type=INPUT)
@click.option("--to", "kind", type=click.Choice(_KINDS), help="Format; else that of -o, else that of CAPTIONS.")
@click.option(
    "--encoding", metavar="NAME", callback=_known_encoding, help="Encoding of files that are neither UTF-8 nor marked."
)
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
def apply_corrections(
    captions: str, corrected: str, kind: CaptionKind | None, encoding: str | None, output: str | None
) -> None:
    """Apply corrected text to captions; times never move.

    CAPTIONS is SRT or WebVTT; CORRECTED is plain text, SRT or WebVTT. Only differing words change: the markup,
    settings, notes, numbers, line endings and encoding of CAPTIONS are kept. Converting to another format (--to) keeps
    times, texts, <b>, <i> and <u>.

    One of the two may be - for standard input.
    """
    if captions == corrected == "-":
        raise click.UsageError("only one of CAPTIONS and CORRECTED can be standard input")
    target_format = output_format(kind, output, _KINDS)
    source = read_encoded(captions, encoding)
    result = api.apply_corrections(source.text, read_encoded(corrected, encoding).text, to=target_format)
    write_output(output, source.encode(result))
