"""Split a text into paragraphs at pauses, changes of speaker and changes of topic."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.model import Word
from transcription_dagster.transcripts.conversation import in_turns

#: Seconds of silence that end a paragraph after a finished sentence, and after an unfinished one.
PARAGRAPH_PAUSE = 1.5
INTERRUPTION_PAUSE = 4.0
#: Characters after which a paragraph ends with its sentence.
LONG_PARAGRAPH = 800


def paragraph_starts(words: Sequence[Word], topics: Collection[int] = ()) -> tuple[int, ...]:
    """Return the index of each paragraph's first word.

    A paragraph starts at a sentence that is one of `topics`, follows a pause or follows a long paragraph, and at any
    word after a change of speaker or a very long pause.
    """
    words = in_turns(words)
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
