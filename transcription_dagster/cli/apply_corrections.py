"""`transcription apply-corrections`: a corrected text laid onto captions."""

from __future__ import annotations

import codecs

import click

from transcription_dagster.captions.caption_file import caption_kind, parse_srt, parse_vtt
from transcription_dagster.captions.file_corrections import correct_file, spoken_text
from transcription_dagster.captions.subtitles import shown_cues, to_srt, to_vtt
from transcription_dagster.cli.files import INPUT, OUTPUT, extension, read_encoded, write_output

_PARSERS = {"srt": parse_srt, "vtt": parse_vtt}
_WRITERS = {"srt": to_srt, "vtt": to_vtt}


def _known_encoding(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise click.BadParameter(f"{name!r} is no encoding that Python knows") from None


@click.command("apply-corrections")
@click.argument("captions", type=INPUT)
@click.argument("corrected", type=INPUT)
@click.option("--to", "kind", type=click.Choice(list(_WRITERS)), help="Format; else that of -o, else that of CAPTIONS.")
@click.option("--encoding", callback=_known_encoding, help="Encoding of files that are neither UTF-8 nor marked.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
def apply_corrections(
    captions: str, corrected: str, kind: str | None, encoding: str | None, output: str | None
) -> None:
    """Lay the text of CORRECTED onto CAPTIONS (SRT or WebVTT); no caption's time changes.

    CORRECTED is plain text, SRT or WebVTT. Only the words that differ change: markup, settings, notes, numbers, line
    ends and the encoding of CAPTIONS stay. Another format (--to) has the texts and times alone.

    One of the two may be - for standard input.
    """
    if captions == corrected == "-":
        raise click.UsageError("only one of CAPTIONS and CORRECTED can be standard input")
    source = read_encoded(captions, encoding)
    given = caption_kind(source.text) or "srt"
    result = correct_file(_PARSERS[given](source.text), _words_of(read_encoded(corrected, encoding).text))
    chosen = kind or (extension(output) if extension(output) in _WRITERS else given)
    if chosen != given:
        result = _WRITERS[chosen](shown_cues(_PARSERS[given](result)))
    write_output(output, source.encode(result))


def _words_of(text: str) -> str:
    """A corrected text as it is, or what it says if it is captions itself."""
    kind = caption_kind(text)
    return spoken_text(_PARSERS[kind](text)) if kind else text
