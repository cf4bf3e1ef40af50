"""Markdown previews of values for the Dagster UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.plain_text import join_words

#: Maximum rows of a table.
_ROWS = 20

#: Words per row if the transcript has no segments.
_WORDS = 12


def transcript_preview(transcript: Transcript) -> str:
    """Return the transcript's beginning as a table of times and text."""
    rows = [(clock(words[0].start), join_words(words)) for words in _stretches(transcript)]
    return table(("time", "text"), rows) if rows else "*No speech.*"


def text_preview(text: str, *, characters: int = 1200) -> str:
    """Return the beginning of a text verbatim."""
    shown = text if len(text) <= characters else f"{text[:characters]}\n…"
    # A longer fence than any in the text, which therefore cannot end the preview.
    fence = "`" * max(3, 1 + max((len(run) for run in _backtick_runs(shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of the first rows, with all cell text escaped."""
    lines = [_row(head), _row(["---"] * len(head)), *(_row(map(_escaped, row)) for row in rows[:_ROWS])]
    if len(rows) > _ROWS:
        lines.append(f"\n*and {len(rows) - _ROWS} more*")
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _stretches(transcript: Transcript) -> list[Sequence[Word]]:
    if transcript.segments:
        spans = [transcript.words[segment.first : segment.stop] for segment in transcript.segments]
    else:
        spans = [transcript.words[start : start + _WORDS] for start in range(0, len(transcript.words), _WORDS)]
    return [span for span in spans if span]


def clock(seconds: float) -> str:
    """A moment as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _escaped(text: str) -> str:
    line = " ".join(text.split())
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-!|~" else character for character in line)


def _backtick_runs(text: str) -> list[str]:
    return ["`" * len(run) for run in "".join(c if c == "`" else " " for c in text).split()]
