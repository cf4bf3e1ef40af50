"""`transcription apply-corrections`: apply a corrected text to captions."""

from __future__ import annotations

import codecs
from typing import get_args

import click

from transcription_dagster import api
from transcription_dagster.captions.caption_file import CaptionKind
from transcription_dagster.cli.files import INPUT, OUTPUT, output_format, read_encoded, write_output

_KINDS: tuple[CaptionKind, ...] = get_args(CaptionKind)


def _known_encoding(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        # Not for text: rot13, base64 and the like, which `str.encode` refuses.
        "a".encode(found := codecs.lookup(name).name)
        return found
    except LookupError:
        raise click.BadParameter(f"{name!r} is not an encoding of text that Python knows") from None


@click.command("apply-corrections")
@click.argument("captions", type=INPUT)
@click.argument("corrected", type=INPUT)
@click.option("--to", "kind", type=click.Choice(_KINDS), help="Format; else that of -o, else that of CAPTIONS.")
@click.option("--encoding", callback=_known_encoding, help="Encoding of files that are neither UTF-8 nor marked.")
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
    chosen = output_format(kind, output, _KINDS)
    source = read_encoded(captions, encoding)
    result = api.apply_corrections(source.text, read_encoded(corrected, encoding).text, to=chosen)
    write_output(output, source.encode(result))
