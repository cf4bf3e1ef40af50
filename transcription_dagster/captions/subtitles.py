"""Captions as SRT and WebVTT files, and back.

SRT has no specification; what is written here is what its strictest readers take: a counter from 1,
`HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line. WebVTT follows the W3C's grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from transcription_dagster.captions.caption_file import CaptionFile, CaptionKind, parse_srt, parse_vtt
from transcription_dagster.captions.markup import converted, cue_atoms, escaped, shown_lines
from transcription_dagster.model import Cue


def to_srt(cues: Sequence[Cue]) -> str:
    """The cues as SRT text. SRT cannot escape anything, so an arrow `-->` in speech is written `->`."""
    return _srt((cue.start_ms, cue.end_ms, escaped("\n".join(lines), "srt")) for cue, lines in _shown(cues))


def to_vtt(cues: Sequence[Cue]) -> str:
    """The cues as WebVTT text, with `&`, `<` and `>` escaped."""
    return _vtt((cue.start_ms, cue.end_ms, escaped("\n".join(lines), "vtt")) for cue, lines in _shown(cues))


def convert(captions: CaptionFile, kind: CaptionKind) -> str:
    """A caption file in another format: times, texts, and the tags that both formats have (bold, italic, underline)."""
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
