"""Read and write captions as SRT and WebVTT.

Files are read as found in the wild, without losing a byte. Subtitle libraries (pysubs2, srt, webvtt-py) keep cues, not
files: they lose identifiers, notes, styles, settings and line endings when they write. Here a file remains a list of
lines and a cue is a range of them, so that everything uncorrected is written back unchanged. Errors name the line.

SRT has no specification; this module writes what the strictest readers accept: a counter from 1,
`HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line. WebVTT follows the W3C's grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from transcription_dagster.captions.markup import CaptionKind, converted, cue_atoms, escaped, visible_text
from transcription_dagster.errors import InvalidCaptions
from transcription_dagster.model import Cue

#: A fraction in milliseconds or, as some programs write it, in micro- or nanoseconds.
_TIME = r"(?:([0-9]{1,6}):)?([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]{9}|[0-9]{6}|[0-9]{1,3}))?"
_TIMING = re.compile(rf"{_TIME}\s*-->\s*{_TIME}(?:\s+(?P<rest>.*))?")
#: Settings of a cue after its times: WebVTT's `line:0`, and SRT's coordinates `X1:100`.
_SETTINGS = re.compile(r"(?:[A-Za-z][\w-]*\s*[:=]\s*[^\s:=]+(?:\s+|\Z))*")
#: A time with optional hours, including common mistakes: spaces, signs, semicolons. Its repetitions are possessive:
#: a long line with many ways to divide it would take hours to reject.
_TIME_LIKE = r"-?\s*+\d++(?:\s*+[:;]\s*+-?\s*+\d++){1,3}(?:\s*+[.,;]\s*+-?\s*+\d++)"
_TIMING_LIKE = re.compile(rf"{_TIME_LIKE}\s*+\S{{0,3}}\s*+{_TIME_LIKE}(?:\s.*)?")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
#: Blocks of WebVTT that are no cues; joined segments of HLS repeat the header.
_VTT_BLOCKS = ("NOTE", "STYLE", "REGION", "WEBVTT")
_HEADER_FIELD = re.compile(r"[A-Za-z][\w-]*\s*[:=]")


#: How other formats of captions begin.
_OTHER_FORMATS: dict[str, re.Pattern[str]] = {
    "SubStation Alpha (.ass, .ssa)": re.compile(r"\[Script Info\]", re.IGNORECASE),
    "TTML or another XML format": re.compile(r"<\?xml\b|<tt[\s:>]", re.IGNORECASE),
    "SAMI (.smi)": re.compile(r"<SAMI\b", re.IGNORECASE),
    "MicroDVD (.sub)": re.compile(r"\{\d+\}\{\d+\}"),
    "YouTube's SBV": re.compile(r"\d+:\d\d:\d\d\.\d{3},\d+:\d\d:\d\d\.\d{3}\s*$", re.MULTILINE),
    "Scenarist closed captions (.scc)": re.compile(r"Scenarist_SCC"),
}


@dataclass(frozen=True, slots=True)
class FileCue:
    """A cue as a range of the file's lines: its block starts at `head`, its text is [`first`, `stop`)."""

    start_ms: int
    end_ms: int
    head: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """The lines of a file with their endings, and the cues among them. Joining the lines gives the file."""

    kind: CaptionKind
    lines: tuple[str, ...]
    cues: tuple[FileCue, ...]


def caption_kind(text: str) -> CaptionKind | None:
    """Return the format of captions by their first lines: WebVTT's header or a timing; None for other text."""
    lines = [bare for line in _LINE.findall(text[:10_000]) if (bare := _bare(line))][:2]
    if lines and re.match(r"WEBVTT(?:\s|\Z)", lines[0]):
        return "vtt"
    timed = any(_TIMING.fullmatch(line) or _TIMING_LIKE.fullmatch(line) or "-->" in line for line in lines)
    return "srt" if timed else None


def refuse_other_formats(text: str) -> None:
    """Raise `InvalidCaptions` with the format's name if the text is captions in a format other than SRT and WebVTT."""
    opening = text[:1000].lstrip("\ufeff \t\r\n")
    for name, beginning in _OTHER_FORMATS.items():
        if beginning.match(opening):
            raise InvalidCaptions(f"this is {name}: convert it to SRT or WebVTT first")


def parse_srt(text: str) -> CaptionFile:
    """Read SRT: counters may be missing or wrong, times may have a dot or no fraction, cues may hold empty lines.

    Raises `InvalidCaptions`, with the line, for text without a timing, a timing that cannot be read, and a cue that
    ends before it starts.
    """
    return _Reader(text, "srt").parse()


def parse_vtt(text: str) -> CaptionFile:
    """Read WebVTT. Raises `InvalidCaptions` if the header is missing, and as `parse_srt` does."""
    if not re.match(r"\ufeff*WEBVTT(?:[ \t\r\n]|\Z)", text):
        raise InvalidCaptions("line 1: WebVTT captions must begin with WEBVTT")
    return _Reader(text, "vtt").parse()


def _bare(line: str) -> str:
    return line.strip().lstrip("\ufeff").strip()


class _Reader:
    """Reads one file."""

    def __init__(self, text: str, kind: CaptionKind) -> None:
        self._kind: CaptionKind = kind
        self._lines = tuple(_LINE.findall(text))
        self._bare = [_bare(line) for line in self._lines]

    def parse(self) -> CaptionFile:
        timings = [(number, match) for number, line in enumerate(self._bare) if (match := _TIMING.fullmatch(line))]
        heads = list(self._heads([number for number, _ in timings]))
        cues = []
        for place, (number, match) in enumerate(timings):
            limit = heads[place + 1] if place + 1 < len(heads) else len(self._lines)
            start_ms, end_ms = _milliseconds(match.groups()[:4]), _milliseconds(match.groups()[4:8])
            if not _SETTINGS.fullmatch(match["rest"] or ""):
                raise InvalidCaptions(
                    f"line {number + 1}: {match['rest'][:60]!r} follows the times: put the text on the next line"
                )
            if end_ms < start_ms:
                raise InvalidCaptions(f"line {number + 1}: cue {place + 1} ends before it starts")
            cues.append(FileCue(start_ms, end_ms, heads[place], number + 1, self._text_stop(number + 1, limit)))
        self._check(cues)
        return CaptionFile(self._kind, self._lines, tuple(cues))

    def _heads(self, timings: Sequence[int]) -> Iterator[int]:
        """Return where the block of each timing starts: at its counter or identifier, if it has one."""
        before, counter = -1, 0
        for number in timings:
            above = number - 1
            while above > before and not self._bare[above]:
                above -= 1
            number_above = _counter(self._bare[above]) if above > before else None
            if self._is_head(above, number, before, follows=number_above == counter + 1):
                counter = counter if number_above is None else number_above
                yield above
            else:
                yield number
            before = number

    def _is_head(self, row: int, timing: int, before: int, *, follows: bool) -> bool:
        """Return whether the last text above a timing is its counter or identifier, and not text of the cue before.

        `before` is the row of the timing before, `follows` whether the text is the number after the last counter.
        """
        if row <= before or (self._kind == "vtt" and row == 0):
            return False
        apart = row == 0 or (row - 1 > before and not self._bare[row - 1])
        if row + 1 < timing:
            # Empty lines between a counter and its times, as in files with an empty line after each line.
            return apart and follows
        if self._kind == "vtt":
            return apart or (follows and row - 1 > before >= 0)
        return _counter(self._bare[row]) is not None and (apart or follows or row - 1 <= before)

    def _text_stop(self, first: int, limit: int) -> int:
        """Return where a cue's text ends: in WebVTT at the first empty line, in SRT before the next block."""
        if self._kind == "vtt":
            return next((row for row in range(first, limit) if not self._lines[row].rstrip("\r\n")), limit)
        while limit > first and not self._bare[limit - 1]:
            limit -= 1
        return limit

    def _check(self, cues: Sequence[FileCue]) -> None:
        """Reject meaningless lines outside of cues, and lines inside cues that look like broken timings."""
        before = 0
        for cue in cues:
            self._check_between(before, cue.head, started=before > 0)
            self._check_text(cue)
            before = cue.stop
        self._check_between(before, len(self._lines), started=before > 0)

    def _check_text(self, cue: FileCue) -> None:
        counter = _counter(self._bare[cue.head])
        for row in range(cue.first, cue.stop):
            line, above = self._bare[row], self._bare[row - 1]
            in_place_of_timing = row > cue.first and (not above or _counter(above) is not None)
            if "-->" in line or (in_place_of_timing and _TIMING_LIKE.fullmatch(line)):
                raise self._no_timing(row)
            starts_block = row > cue.first and not above and row + 1 < cue.stop and bool(self._bare[row + 1])
            if starts_block and counter is not None and _counter(line) == counter + 1:
                raise self._no_timing(row + 1)

    def _check_between(self, first: int, stop: int, *, started: bool) -> None:
        row = first
        if self._kind == "vtt" and not started:
            while row < stop and self._bare[row]:
                row += 1
        while row < stop:
            block = row
            while row < stop and self._bare[row]:
                row += 1
            self._check_block(block, row, started=started)
            row += 1

    def _check_block(self, first: int, stop: int, *, started: bool) -> None:
        rows = range(first, stop)
        for row in rows:
            if "-->" in self._bare[row] or _TIMING_LIKE.fullmatch(self._bare[row]):
                raise self._no_timing(row)
        if not rows or (self._kind == "srt" and all(_counter(self._bare[row]) is not None for row in rows)):
            return
        opening = self._bare[first]
        if self._kind == "vtt" and opening.split()[0] in _VTT_BLOCKS:
            return
        if self._kind == "vtt" and not started and all(_HEADER_FIELD.match(self._bare[row]) for row in rows):
            return
        place = "has no timing" if started else "precedes the first timing"
        raise InvalidCaptions(f"line {first + 1}: {opening[:60]!r} {place} (00:00:01,000 --> 00:00:02,500)")

    def _no_timing(self, row: int) -> InvalidCaptions:
        line = self._bare[row]
        fault = _timing_fault(line)
        return InvalidCaptions(
            f"line {row + 1}: {line[:60]!r} cannot be read as a timing: {fault}; "
            f"write it like 00:00:01,000 --> 00:00:02,500"
        )


def _timing_fault(line: str) -> str:
    if re.search(r"(?:\A|[:.,;>\s])-\s*\d", line):
        return "a time is negative"
    if "-->" not in line:
        return "the arrow between the times must be -->"
    if re.search(r"\d\s+[:.,;]|[:.,;]\s+\d", line):
        return "there are spaces inside a time"
    if re.search(r"[0-9]{7,}:", line):
        return "there are too many hours"
    return "a time has the wrong form"


def _counter(line: str) -> int | None:
    return int(line) if line.isdecimal() and len(line) <= 9 else None


def _milliseconds(groups: Sequence[str | None]) -> int:
    hours, minutes, seconds, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole * 1000 + int((fraction or "0").ljust(3, "0")[:3])


def to_srt(cues: Sequence[Cue]) -> str:
    """Return the cues as SRT. SRT has no escapes, so an arrow `-->` in the text becomes `->`."""
    return _srt((cue.start_ms, cue.end_ms, escaped("\n".join(lines), "srt")) for cue, lines in _cues_with_text(cues))


def to_vtt(cues: Sequence[Cue]) -> str:
    """Return the cues as WebVTT, with `&`, `<` and `>` escaped, and a voice tag for each speaker."""
    return _vtt((cue.start_ms, cue.end_ms, _voiced(cue, lines)) for cue, lines in _cues_with_text(cues))


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
    return _shown_cues(parse_srt(text))


def read_vtt(text: str) -> list[Cue]:
    """Return the visible cues of WebVTT, without markup. Raises `InvalidCaptions` as `parse_vtt` does."""
    return _shown_cues(parse_vtt(text))


def _shown_cues(captions: CaptionFile) -> list[Cue]:
    """Return the cues that a caption file shows: with music and dialogue marks, without markup and empty lines."""
    cues = []
    for cue in captions.cues:
        atoms = cue_atoms("".join(captions.lines[cue.first : cue.stop]), captions.kind)
        text = "".join(visible_text(atom, captions.kind) for atom in atoms)
        if lines := tuple(stripped for line in text.split("\n") if (stripped := line.strip())):
            cues.append(Cue(cue.start_ms, cue.end_ms, lines))
    return cues


def _cues_with_text(cues: Sequence[Cue]) -> Iterator[tuple[Cue, list[str]]]:
    """Yield the cues that have text, with lines that are not empty and hold no line break, which would end the cue."""
    for cue in cues:
        lines = [" ".join(part.split()) for line in cue.lines for part in line.splitlines()]
        if filled := [line for line in lines if line]:
            yield cue, filled


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"
