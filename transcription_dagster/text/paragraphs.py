"""Paragraphs of a text: where the speaker pauses, where another one speaks, and where the topic changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from transcription_dagster.model import Word
from transcription_dagster.text.boundaries import ends_sentence
from transcription_dagster.text.plain import INTERRUPTION_PAUSE, LONG_PARAGRAPH, PARAGRAPH_PAUSE, join_words

#: A pause alone does not end a paragraph that is shorter than this many characters.
SHORT_PARAGRAPH = 200


def paragraph_starts(words: Sequence[Word], topics: Collection[int] = ()) -> tuple[int, ...]:
    """Return the index of each paragraph's first word.

    A paragraph begins with a sentence: at one of `topics`, after a pause, or where the one before has become long;
    and anywhere at another speaker or after a very long pause.
    """
    starts: list[int] = []
    characters = 0
    for index, word in enumerate(words):
        if index == 0 or _begins(words[index - 1], word, characters, topic=index in topics):
            starts.append(index)
            characters = 0
        characters += len(word.text) + 1
    return tuple(starts)


def join_paragraphs(words: Sequence[Word], starts: Sequence[int]) -> str:
    """Return the words as paragraphs with an empty line between them and a newline at the end; "" without words."""
    stops = [*starts[1:], len(words)]
    text = "\n\n".join(join_words(words[first:stop]) for first, stop in zip(starts, stops, strict=False))
    return f"{text}\n" if text else ""


def _begins(before: Word, word: Word, characters: int, *, topic: bool) -> bool:
    pause = word.start - before.end
    if before.speaker != word.speaker or pause >= INTERRUPTION_PAUSE:
        return True
    if not ends_sentence(before, word):
        return False
    long_enough = characters >= SHORT_PARAGRAPH and pause >= PARAGRAPH_PAUSE
    return topic or long_enough or characters > LONG_PARAGRAPH
