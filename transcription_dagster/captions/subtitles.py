"""Captions as SRT and WebVTT files, and back.

SRT has no specification; what is written here is what its strictest readers take: a counter from 1,
`HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line. WebVTT follows the W3C's grammar.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from transcription_dagster.captions.caption_file import CaptionFile, parse_srt, parse_vtt
from transcription_dagster.captions.markup import shown_lines
from transcription_dagster.model import Cue


def to_srt(cues: Sequence[Cue]) -> str:
    """The cues as SRT text. SRT cannot escape anything, so an arrow `-->` in speech is written `->`."""
    blocks = []
    for number, (cue, lines) in enumerate(_shown(cues), start=1):
        text = "\n".join(line.replace("-->", "->") for line in lines)
        blocks.append(f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(cues: Sequence[Cue]) -> str:
    """The cues as WebVTT text, with `&`, `<` and `>` escaped."""
    blocks = ["WEBVTT\n"]
    for cue, lines in _shown(cues):
        text = html.escape("\n".join(lines), quote=False)
        blocks.append(f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{text}\n")
    return "\n".join(blocks)


def read_srt(text: str) -> list[Cue]:
    """The cues of SRT text that show something, without markup; raises `InvalidCaptions` as `parse_srt` does."""
    return shown_cues(parse_srt(text))


def read_vtt(text: str) -> list[Cue]:
    """The cues of WebVTT text that show something, without markup; raises `InvalidCaptions` as `parse_vtt` does."""
    return shown_cues(parse_vtt(text))


def shown_cues(captions: CaptionFile) -> list[Cue]:
    """What a caption file shows: tags are left out, escapes undone, cues without text left out."""
    pairs = zip(captions.cues, shown_lines(captions), strict=True)
    return [Cue(cue.start_ms, cue.end_ms, lines) for cue, lines in pairs if lines]


def _shown(cues: Sequence[Cue]) -> Iterator[tuple[Cue, list[str]]]:
    """The cues that have text, with lines that hold no line break and are not empty (that would end the cue)."""
    for cue in cues:
        lines = [" ".join(part.split()) for line in cue.lines for part in line.splitlines()]
        if shown := [line for line in lines if line]:
            yield cue, shown


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"
