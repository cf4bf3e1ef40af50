"""Transcripts without what must not be read, and the proof that it is gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from transcription_dagster.language.spelling import affixes, letters
from transcription_dagster.model import Word
from transcription_dagster.redaction.finding import Found, find
from transcription_dagster.transcripts.plain_text import join_words

#: Silence around what is cut out of the sound, in seconds: word times are off by less.
MARGIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Redaction:
    """What was taken out of a transcript, and what is left."""

    #: The words, with one such as `[card]` in place of all those of a number.
    words: tuple[Word, ...]
    found: tuple[Found, ...]
    #: What was said in each place of `found`.
    values: tuple[str, ...]
    #: What is silenced, as (start, end) in seconds, in order and apart.
    spans: tuple[tuple[float, float], ...]


def redact(words: Sequence[Word], found: Sequence[Found], duration: float) -> Redaction:
    """Take out what was found in the words of a recording of `duration` seconds; `found` is in order and apart."""
    left: list[Word] = []
    position = 0
    for each in found:
        left += [*words[position : each.first], _mark(words[each.first : each.stop], each.kind)]
        position = each.stop
    said = [words[each.first : each.stop] for each in found]
    return Redaction(
        words=(*left, *words[position:]),
        found=tuple(found),
        values=tuple(join_words(stretch) for stretch in said),
        spans=_joined(
            [
                (
                    max(0.0, min(word.start for word in stretch) - MARGIN_SECONDS),
                    min(duration, max(word.end for word in stretch) + MARGIN_SECONDS),
                )
                for stretch in said
            ]
        ),
    )


def remaining(text: str, redaction: Redaction, kinds: Collection[str], language: str) -> list[str]:
    """Return the kinds of what can still be read in a text: one of the values, or anything that is found in it."""
    shown = letters(text)
    left = [
        each.kind
        for each, value in zip(redaction.found, redaction.values, strict=True)
        if (said := letters(value)) and said in shown
    ]
    words = [Word(part, 0.0, 0.0) for part in text.split()]
    return sorted({*left, *(each.kind for each in find(words, kinds, language))})


def _mark(words: Sequence[Word], kind: str) -> Word:
    """One word for all of them, with the punctuation around them."""
    opening, closing = affixes(words[0].text)[0], affixes(words[-1].text)[2]
    end = max(word.end for word in words)
    return replace(words[0], text=f"{opening}[{kind}]{closing}", end=end)


def _joined(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)
