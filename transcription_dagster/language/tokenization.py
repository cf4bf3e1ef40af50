"""Split a text into words: at spaces, and in scripts without spaces after each character."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transcription_dagster.language.boundaries import is_unspaced

#: Marks and closing punctuation stay with the character before them, opening punctuation with the one after it.
_CHARACTER = re.compile(r"[「『（【〈《“‘(\[]*[^\W_](?:[^\w\s「『（【〈《“‘(\[]|[\u0e30-\u0e4e\u0eb0-\u0ece])*|\S")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text, and whether it follows the word before it without a space."""

    text: str
    glued: bool = False


def tokenize(text: str) -> list[Token]:
    """Split a text into words; in a script without spaces, into characters with their marks.

    A line break inside such a script joins its neighbours, because the text was only wrapped there.
    """
    if text.isascii():
        return [Token(chunk) for chunk in text.split()]
    tokens: list[Token] = []
    for line in text.splitlines():
        for position, chunk in enumerate(line.split()):
            joins = position == 0 and bool(tokens) and is_unspaced(tokens[-1].text[-1]) and is_unspaced(chunk[0])
            if chunk.isascii():
                tokens.append(Token(chunk, joins))
                continue
            for number, part in enumerate(_parts(chunk)):
                tokens.append(Token(part, glued=number > 0 or joins))
    return tokens


def token_starts(text: str, tokens: Iterable[Token]) -> list[int]:
    """Return the position in a text at which each of its tokens, given in order, starts."""
    starts: list[int] = []
    stop = 0
    for token in tokens:
        starts.append(text.index(token.text, stop))
        stop = starts[-1] + len(token.text)
    return starts


def _parts(chunk: str) -> Iterator[str]:
    """Cut a chunk without spaces after each character of an unspaced script."""
    if not any(is_unspaced(character) for character in chunk):
        yield chunk
        return
    spaced = ""
    for part in _CHARACTER.findall(chunk):
        if any(is_unspaced(character) and character.isalnum() for character in part):
            if spaced:
                yield spaced
            yield part
            spaced = ""
        else:
            spaced += part
    if spaced:
        yield spaced
