"""Captions as SRT and WebVTT files, and back.

SRT has no specification; what is written here is what its strictest readers take: a counter from 1,
`HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line. WebVTT follows the W3C's grammar.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from transcription_dagster.errors import InvalidCaptions
from transcription_dagster.model import Cue

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
#: Longer numbers are no time, and Python refuses to read those of thousands of digits.
_HOUR_DIGITS = 6
_TAG = re.compile(r"</?[a-z0-9][^<>]*>", re.IGNORECASE)


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
    """Read SRT text, tolerantly: counters may be missing or wrong, times may have a dot, lines may end in CRLF.

    A cue without text is left out. Raises `InvalidCaptions` where there is text but no timing, and for a cue that
    ends before it starts.
    """
    return [cue for cue in _read(text, srt=True) if cue.lines]


def read_vtt(text: str) -> list[Cue]:
    """Read WebVTT text: identifiers, settings, notes, styles and tags are passed over, escapes are undone.

    A cue without text is left out. Raises `InvalidCaptions` if the header is missing, and as `read_srt` does.
    """
    body = text.removeprefix("\ufeff")
    if not re.match(r"WEBVTT(?:[ \t\r\n]|\Z)", body):
        raise InvalidCaptions("the captions do not begin with WEBVTT, as WebVTT has to")
    return [cue for cue in _read(body, srt=False) if cue.lines]


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


def _read(text: str, *, srt: bool) -> Iterator[Cue]:
    """Every timing line begins a cue; its text reaches to the next timing, less that one's counter or identifier."""
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    timings = [(number, match) for number, line in enumerate(lines) if (match := _TIMING.fullmatch(line))]
    _refuse_text_without_timing(lines, timings[0][0] if timings else len(lines), srt=srt)
    for place, (number, match) in enumerate(timings):
        stop = timings[place + 1][0] if place + 1 < len(timings) else len(lines)
        if any(len(hours or "") > _HOUR_DIGITS for hours in (match[1], match[5])):
            raise InvalidCaptions(f"line {number + 1}: the time of cue {place + 1} has too many digits")
        start_ms, end_ms = _milliseconds(match.groups()[:4]), _milliseconds(match.groups()[4:])
        if end_ms < start_ms:
            raise InvalidCaptions(f"line {number + 1}: cue {place + 1} ends before it starts")
        payload = lines[number + 1 : stop]
        yield Cue(start_ms, end_ms, _srt_lines(payload, last=stop == len(lines)) if srt else _vtt_lines(payload))


def _refuse_text_without_timing(lines: Sequence[str], first_timing: int, *, srt: bool) -> None:
    if not srt and first_timing < len(lines):
        return
    for number, line in enumerate(lines[:first_timing]):
        if line and not (srt and line.isdecimal()) and not line.startswith(("WEBVTT", "NOTE", "STYLE", "REGION")):
            raise InvalidCaptions(f"line {number + 1}: {line[:60]!r} stands before any timing (00:00:01,000 --> ...)")


def _srt_lines(payload: Sequence[str], *, last: bool) -> tuple[str, ...]:
    """The lines of a cue; empty ones inside it are dropped, as is the next cue's counter after an empty line."""
    kept = list(payload)
    if not last and kept and kept[-1].isdecimal() and (len(kept) == 1 or not kept[-2]):
        kept.pop()
    return tuple(line for line in kept if line)


def _vtt_lines(payload: Sequence[str]) -> tuple[str, ...]:
    """The lines up to the first empty one: what follows is a note, a style, or the next cue's identifier."""
    end = next((index for index, line in enumerate(payload) if not line), len(payload))
    plain = (html.unescape(_TAG.sub("", line)).strip() for line in payload[:end])
    return tuple(line for line in plain if line)


def _milliseconds(groups: Sequence[str | None]) -> int:
    hours, minutes, seconds, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole * 1000 + int((fraction or "0").ljust(3, "0"))
