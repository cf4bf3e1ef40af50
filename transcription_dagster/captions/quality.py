"""Check the quality of results; findings name their places."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from transcription_dagster.captions.layout import CaptionLimits, display_width
from transcription_dagster.language.alignment import AlignedBlock, align
from transcription_dagster.language.spelling import fold
from transcription_dagster.language.tokenization import tokenize
from transcription_dagster.language.writing_rules import NUMBER_WORDS
from transcription_dagster.model import Cue, Gap, Segment, Word

#: Compression ratio above which a text repeats itself (the threshold of Whisper's decoding).
MAX_COMPRESSION_RATIO = 2.4
#: The longest phrase to look for, in words, and how often a phrase of each length may be repeated.
LONGEST_PHRASE = 12
_REPEATS_ALLOWED = {1: 4, 2: 3, 3: 3}
_REPEATS_ALLOWED_LONGER = 2
#: Repeats that certainly were not spoken.
_CERTAIN_LOOP = 10
#: Speech is inaudible below this level in dBFS, or this far below the recording's loudest second, whichever is lower.
SILENCE_DBFS = -50.0
SILENCE_BELOW_LOUDEST = 35.0

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class Severity(StrEnum):
    """The severity of a finding."""

    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault in a result."""

    kind: str
    #: Seconds into the recording; for captions the cue number, for a text the word number, both from 1.
    place: float
    message: str
    severity: Severity


def caption_findings(cues: Sequence[Cue], limits: CaptionLimits | None = None) -> list[Finding]:
    """Check captions: errors for what breaks players, warnings for exceeded limits."""
    limits = limits or CaptionLimits()
    findings = []
    for number, cue in enumerate(cues, start=1):
        findings += [Finding(kind, number, message, Severity.ERROR) for kind, message in _faults(cue)]
        findings += [Finding(kind, number, message, Severity.WARN) for kind, message in _exceeded(cue, limits)]
        if number < len(cues):
            findings += _gap_findings(number, cues[number].start_ms - cue.end_ms, limits)
    return findings


def _faults(cue: Cue) -> Iterator[tuple[str, str]]:
    if not any(line.strip() for line in cue.lines):
        yield "empty", "the cue has no text"
    if cue.end_ms <= cue.start_ms:
        yield "duration", f"the cue ends at {cue.end_ms} ms and starts at {cue.start_ms} ms"


def _exceeded(cue: Cue, limits: CaptionLimits) -> Iterator[tuple[str, str]]:
    seconds = (cue.end_ms - cue.start_ms) / 1000
    widths = [display_width(line) for line in cue.lines]
    speed = (sum(widths) + len(widths) - 1) / seconds if seconds > 0 else 0.0
    if len(cue.lines) > limits.max_lines:
        yield "lines", f"{len(cue.lines)} lines, {limits.max_lines} are the limit"
    if max(widths, default=0) > limits.max_line_characters:
        yield "line_width", f"a line of {max(widths)} characters, {limits.max_line_characters} are the limit"
    if 0 < seconds < limits.min_seconds - 0.001:
        yield "too_short", f"{seconds:.3f} s, {limits.min_seconds:.3f} s are the least"
    if seconds > limits.max_seconds + 0.001:
        yield "too_long", f"{seconds:.3f} s, {limits.max_seconds:.3f} s are the limit"
    if speed > limits.characters_per_second + 0.05:
        yield "reading_speed", f"{speed:.1f} characters a second, {limits.characters_per_second:g} are the limit"


def _gap_findings(number: int, gap_ms: int, limits: CaptionLimits) -> Iterator[Finding]:
    if gap_ms < 0:
        yield Finding("overlap", number, f"the cue overlaps the next one by {-gap_ms} ms", Severity.ERROR)
    elif gap_ms < limits.gap_ms:
        yield Finding("gap", number, f"a gap of {gap_ms} ms, {limits.gap_ms} ms are the least", Severity.WARN)


@dataclass(frozen=True, slots=True)
class Repetition:
    """The words [`first`, `stop`), which repeat a phrase of `phrase_words` words `times` times in a row."""

    first: int
    stop: int
    phrase_words: int
    times: int


def repetitions(texts: Sequence[str]) -> list[Repetition]:
    """Find phrases repeated implausibly often in a row, ignoring case and punctuation."""
    numbers: dict[str, int] = {}
    keys = np.array([numbers.setdefault(fold(text) or text, len(numbers)) for text in texts])
    loops: list[Repetition] = []
    covered = np.zeros(len(keys), dtype=bool)
    for length in range(1, min(LONGEST_PHRASE, len(keys) // 2) + 1):
        allowed = _REPEATS_ALLOWED.get(length, _REPEATS_ALLOWED_LONGER)
        for first, stop in _runs(keys[length:] == keys[:-length]):
            times = (stop - first) // length + 1
            if times > allowed and not covered[first : stop + length].any():
                covered[first : stop + length] = True
                loops.append(Repetition(first, stop + length, length, times))
    return sorted(loops, key=lambda repetition: repetition.first)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the ranges in which the flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def loop_findings(words: Sequence[Word], segments: Sequence[Segment] = ()) -> list[Finding]:
    """Find decoding loops: repeated phrases and segments that compress too well."""
    texts = [word.text for word in words]
    findings = []
    for loop in repetitions(texts):
        phrase = " ".join(texts[loop.first : loop.first + loop.phrase_words])
        severity = Severity.ERROR if loop.times >= _CERTAIN_LOOP else Severity.WARN
        message = f"{phrase[:80]!r} {loop.times} times in a row"
        findings.append(Finding("repetition", words[loop.first].start, message, severity))
    for segment in segments:
        ratio = segment.compression_ratio
        if ratio is not None and ratio > MAX_COMPRESSION_RATIO:
            message = f"the text compresses {ratio:.1f} to 1, {MAX_COMPRESSION_RATIO} is the limit"
            findings.append(Finding("compression", segment.start, message, Severity.WARN))
    return sorted(findings, key=lambda finding: finding.place)


def silence_findings(segments: Sequence[Segment], levels: Sequence[tuple[float, float, float]]) -> list[Finding]:
    """Find segments whose whole time is silent.

    `levels` holds consecutive stretches of the audio as (start, end, level) in seconds and dBFS.
    """
    loudest = max((level for _, _, level in levels), default=0.0)
    threshold = min(SILENCE_DBFS, loudest - SILENCE_BELOW_LOUDEST)
    starts = [start for start, _, _ in levels]
    ends = [end for _, end, _ in levels]
    findings = []
    for segment in segments:
        within = levels[bisect_right(ends, segment.start) : bisect_left(starts, segment.end)]
        level = max((level for _, _, level in within), default=0.0)
        if segment.stop > segment.first and within and level < threshold:
            message = f"speech until {segment.end:.2f} s, where the audio never exceeds {level:.0f} dBFS"
            findings.append(Finding("silence", segment.start, message, Severity.WARN))
    return findings


def gap_findings(gaps: Sequence[Gap]) -> list[Finding]:
    """Find stretches of speech without words in the transcript."""
    return [
        Finding("gap", gap.start, f"speech until {gap.end:.2f} s in which no words were found", Severity.WARN)
        for gap in gaps
    ]


def changed_share(old_text: str, new_text: str) -> float:
    """Return the share of words, 0 to 1, that a new wording changes, adds or removes, ignoring case and punctuation."""
    old, new = _texts(old_text), _texts(new_text)
    return _changed_share(old, new, [block for block in align(old, new) if not block.same])


def faithfulness(old_text: str, new_text: str, *, max_changed_share: float = 0.25) -> list[Finding]:
    """Find differences in meaning between two wordings: changed numbers, or too many changed words.

    Numbers that changed between words and digits are not compared.
    """
    old, new = _texts(old_text), _texts(new_text)
    changes = [block for block in align(old, new) if not block.same]
    findings = []
    for change in changes:
        before, after = old[change.old_first : change.old_stop], new[change.new_first : change.new_stop]
        if not _spelled_out([*before, *after]) and _numbers(before) != _numbers(after):
            message = f"{' '.join(before)[:80]!r} became {' '.join(after)[:80]!r}"
            findings.append(Finding("number", change.new_first + 1, message, Severity.ERROR))
    share = _changed_share(old, new, changes)
    if share > max_changed_share:
        severity = Severity.ERROR if share > 2 * max_changed_share else Severity.WARN
        message = f"{share:.0%} of the words were changed, {max_changed_share:.0%} are the limit"
        findings.append(Finding("changed", 1, message, severity))
    return findings


def _texts(text: str) -> list[str]:
    return [token.text for token in tokenize(text)]


def _changed_share(old: Sequence[str], new: Sequence[str], changes: Sequence[AlignedBlock]) -> float:
    changed = sum(max(block.old_stop - block.old_first, block.new_stop - block.new_first) for block in changes)
    return min(1.0, changed / max(len(old), len(new), 1))


def _numbers(texts: Sequence[str]) -> Counter[str]:
    """Return the numbers among the words, without digit grouping."""
    return Counter(re.sub(r",(?=\d{3}\b)", "", number) for text in texts for number in _NUMBER.findall(text))


def _spelled_out(texts: Sequence[str]) -> bool:
    return any(fold(text) in NUMBER_WORDS for text in texts)
