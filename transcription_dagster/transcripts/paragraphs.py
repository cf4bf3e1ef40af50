"""Paragraphs of a text: where the speaker pauses, where another one speaks, and where the topic changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.model import Word

#: Seconds of silence after which a finished sentence ends its paragraph, and an unfinished one does.
PARAGRAPH_PAUSE = 1.5
INTERRUPTION_PAUSE = 4.0
#: A paragraph longer than this many characters ends with its sentence.
LONG_PARAGRAPH = 800


def paragraph_starts(words: Sequence[Word], topics: Collection[int] = ()) -> tuple[int, ...]:
    """The index of each paragraph's first word.

    A paragraph begins with a sentence: at one of `topics`, after a pause, or once the one before is long; and anywhere
    at another speaker or after a very long pause.
    """
    starts: list[int] = []
    characters = 0
    for index, word in enumerate(words):
        if index == 0 or _begins(words[index - 1], word, characters, topic=index in topics):
            starts.append(index)
            characters = 0
        characters += len(word.text) + 1
    return tuple(starts)


def _begins(before: Word, word: Word, characters: int, *, topic: bool) -> bool:
    pause = word.start - before.end
    if before.speaker != word.speaker or pause >= INTERRUPTION_PAUSE:
        return True
    return ends_sentence(before, word) and (topic or pause >= PARAGRAPH_PAUSE or characters > LONG_PARAGRAPH)
