"""`transcription apply-corrections`: a corrected text laid onto captions."""

from __future__ import annotations

import click

from transcription_dagster.cli.files import INPUT, OUTPUT, extension, read_text, write_output
from transcription_dagster.text.corrections import correct_cues
from transcription_dagster.text.subtitles import read_srt, read_vtt, to_srt, to_vtt

_READERS = {"srt": read_srt, "vtt": read_vtt}
_WRITERS = {"srt": to_srt, "vtt": to_vtt}


@click.command("apply-corrections")
@click.argument("captions", type=INPUT)
@click.argument("corrected", type=INPUT)
@click.option("--to", "kind", type=click.Choice(list(_WRITERS)), help="Format; else that of -o, else that of CAPTIONS.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
def apply_corrections(captions: str, corrected: str, kind: str | None, output: str | None) -> None:
    """Lay the text of CORRECTED onto CAPTIONS (SRT or WebVTT); no caption's time changes.

    One of the two may be - for standard input.
    """
    if captions == corrected == "-":
        raise click.UsageError("only one of CAPTIONS and CORRECTED can be standard input")
    text = read_text(captions)
    given = "vtt" if text.startswith("WEBVTT") else "srt"
    cues = correct_cues(_READERS[given](text), read_text(corrected))
    chosen = kind or (extension(output) if extension(output) in _WRITERS else given)
    write_output(output, _WRITERS[chosen](cues))
