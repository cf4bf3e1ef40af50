"""Words as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.paragraphs import paragraph_starts


def join_words(words: Sequence[Word]) -> str:
    """Join the words into one line, with a space before each word that is not glued."""
    if not words:
        return ""
    return words[0].text + "".join(word.text if word.glued else f" {word.text}" for word in words[1:])


def join_paragraphs(words: Sequence[Word], starts: Sequence[int]) -> str:
    """Join the words into paragraphs, one line each, separated by empty lines, with a final newline.

    `starts` holds the index of each paragraph's first word. Without words the text is empty.
    """
    stops = [*starts[1:], len(words)]
    text = "\n\n".join(join_words(words[first:stop]) for first, stop in zip(starts, stops, strict=False))
    return f"{text}\n" if text else ""


def to_text(source: Transcript | Sequence[Word]) -> str:
    """Join the words into paragraphs at their pauses, sentences and speakers."""
    words = source.words if isinstance(source, Transcript) else source
    return join_paragraphs(words, paragraph_starts(words))
