"""Words as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.paragraphs import paragraph_starts


def join_words(words: Sequence[Word]) -> str:
    """The words in one line, with a space between them unless a word is glued to the one before it."""
    if not words:
        return ""
    return words[0].text + "".join(word.text if word.glued else f" {word.text}" for word in words[1:])


def join_paragraphs(words: Sequence[Word], starts: Sequence[int]) -> str:
    """The words as paragraphs, each unwrapped, with an empty line between them and a newline at the end.

    `starts` holds the index of each paragraph's first word. No words give an empty text.
    """
    stops = [*starts[1:], len(words)]
    text = "\n\n".join(join_words(words[first:stop]) for first, stop in zip(starts, stops, strict=False))
    return f"{text}\n" if text else ""


def to_text(source: Transcript | Sequence[Word]) -> str:
    """The words as paragraphs where their own pauses, sentences and speakers make them."""
    words = source.words if isinstance(source, Transcript) else source
    return join_paragraphs(words, paragraph_starts(words))
