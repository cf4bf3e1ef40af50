"""What the Dagster UI shows of a value, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.model import Transcript, Word
from transcription_dagster.text.plain import join_words

#: Rows of a preview's table.
_ROWS = 12

#: Words of one row where the transcript has no segments.
_WORDS = 12


def transcript_preview(transcript: Transcript) -> str:
    """The transcript's beginning as a table of times and text."""
    rows = [f"| {_clock(words[0].start)} | {_escaped(join_words(words))} |" for words in _stretches(transcript)[:_ROWS]]
    if not rows:
        return "*No speech.*"
    more = len(_stretches(transcript)) - _ROWS
    table = "\n".join(["| time | text |", "| --- | --- |", *rows])
    return f"{table}\n\n*and {more} more*" if more > 0 else table


def _stretches(transcript: Transcript) -> list[Sequence[Word]]:
    if transcript.segments:
        spans = [transcript.words[segment.first : segment.stop] for segment in transcript.segments]
    else:
        spans = [transcript.words[start : start + _WORDS] for start in range(0, len(transcript.words), _WORDS)]
    return [span for span in spans if span]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: what was said must not become markup, links or images."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-!|" else character for character in text)
