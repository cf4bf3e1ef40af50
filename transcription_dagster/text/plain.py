"""Words as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.model import Transcript, Word
from transcription_dagster.text.boundaries import ends_sentence

#: Seconds of silence after which a finished sentence ends its paragraph, and an unfinished one does.
PARAGRAPH_PAUSE = 1.5
INTERRUPTION_PAUSE = 4.0
#: A paragraph longer than this many characters ends with its sentence.
LONG_PARAGRAPH = 800


def join_words(words: Sequence[Word]) -> str:
    """The words in one line, with a space between them unless a word is glued to the one before it."""
    if not words:
        return ""
    return words[0].text + "".join(word.text if word.glued else f" {word.text}" for word in words[1:])


def to_text(source: Transcript | Sequence[Word]) -> str:
    """The words as paragraphs with an empty line between them, unwrapped, with a newline at the end.

    A paragraph ends at a pause after a sentence, at a very long pause, where another speaker begins, or at the end of
    a sentence once it is long. No words give an empty text.
    """
    words = source.words if isinstance(source, Transcript) else source
    paragraphs: list[str] = []
    first = 0
    characters = 0
    for index, word in enumerate(words):
        characters += len(word.text) + 1
        following = words[index + 1] if index + 1 < len(words) else None
        if following is None or _ends_paragraph(word, following, characters):
            paragraphs.append(join_words(words[first : index + 1]))
            first, characters = index + 1, 0
    return "".join(f"{paragraph}\n" for paragraph in "\n\n".join(paragraphs).splitlines())


def _ends_paragraph(word: Word, following: Word, characters: int) -> bool:
    pause = following.start - word.end
    if word.speaker != following.speaker or pause >= INTERRUPTION_PAUSE:
        return True
    return ends_sentence(word, following) and (pause >= PARAGRAPH_PAUSE or characters > LONG_PARAGRAPH)
