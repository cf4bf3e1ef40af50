"""Write and read captions as SRT and WebVTT.

SRT has no specification; this module writes what the strictest readers accept: a counter from 1,
`HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line. WebVTT follows the W3C's grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from transcription_dagster.captions.caption_file import CaptionFile, CaptionKind, parse_srt, parse_vtt
from transcription_dagster.captions.markup import converted, cue_atoms, escaped, shown_lines
from transcription_dagster.model import Cue


def to_srt(cues: Sequence[Cue]) -> str:
    """Return the cues as SRT. SRT has no escapes, so an arrow `-->` in the text becomes `->`."""
    return _srt((cue.start_ms, cue.end_ms, escaped("\n".join(lines), "srt")) for cue, lines in _shown(cues))


def to_vtt(cues: Sequence[Cue]) -> str:
    """Return the cues as WebVTT, with `&`, `<` and `>` escaped, and a voice tag for each speaker."""
    return _vtt((cue.start_ms, cue.end_ms, _voiced(cue, lines)) for cue, lines in _shown(cues))


def _voiced(cue: Cue, lines: Sequence[str]) -> str:
    """Return the text of a cue with its speakers; a voice without an end tag extends to the next one."""
    tags = [f"<v {escaped(' '.join(speaker.split()), 'vtt')}>" for speaker in cue.speakers]
    if len(tags) != len(lines):
        tags = tags[:1]
    texts = escaped("\n".join(lines), "vtt").split("\n")
    return "\n".join(tag + text for tag, text in zip_longest(tags, texts, fillvalue=""))


def convert(captions: CaptionFile, kind: CaptionKind) -> str:
    """Convert a caption file to another format, keeping times, texts and common tags (bold, italic, underline)."""
    blocks = []
    for cue in captions.cues:
        source = "".join(captions.lines[cue.first : cue.stop])
        if any(atom.shown.strip() or atom.mark for atom in cue_atoms(source, captions.kind)):
            blocks.append((cue.start_ms, cue.end_ms, converted(source, captions.kind, kind)))
    return _srt(blocks) if kind == "srt" else _vtt(blocks)


def _srt(cues: Iterable[tuple[int, int, str]]) -> str:
    return "\n".join(
        f"{number}\n{_clock(start_ms, ',')} --> {_clock(end_ms, ',')}\n{text}\n"
        for number, (start_ms, end_ms, text) in enumerate(cues, start=1)
    )


def _vtt(cues: Iterable[tuple[int, int, str]]) -> str:
    blocks = (f"{_clock(start_ms, '.')} --> {_clock(end_ms, '.')}\n{text}\n" for start_ms, end_ms, text in cues)
    return "\n".join(["WEBVTT\n", *blocks])


def read_srt(text: str) -> list[Cue]:
    """Return the visible cues of SRT, without markup. Raises `InvalidCaptions` as `parse_srt` does."""
    return shown_cues(parse_srt(text))


def read_vtt(text: str) -> list[Cue]:
    """Return the visible cues of WebVTT, without markup. Raises `InvalidCaptions` as `parse_vtt` does."""
    return shown_cues(parse_vtt(text))


def shown_cues(captions: CaptionFile) -> list[Cue]:
    """Return what a caption file shows, without tags, escapes and empty cues."""
    pairs = zip(captions.cues, shown_lines(captions), strict=True)
    return [Cue(cue.start_ms, cue.end_ms, lines) for cue, lines in pairs if lines]


def _shown(cues: Sequence[Cue]) -> Iterator[tuple[Cue, list[str]]]:
    """Return the cues with text; their lines are not empty and contain no line break, which would end the cue."""
    for cue in cues:
        lines = [" ".join(part.split()) for line in cue.lines for part in line.splitlines()]
        if shown := [line for line in lines if line]:
            yield cue, shown


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"
