"""Remove personal data from a transcript, and verify that it is gone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from transcription_dagster.corrections.reading import Passage
from transcription_dagster.language.spelling import affixes, letters
from transcription_dagster.model import Word
from transcription_dagster.redaction.entities import OF_WORDS, mentions
from transcription_dagster.redaction.patterns import Detection, find_patterns
from transcription_dagster.transcripts.conversation import is_label
from transcription_dagster.transcripts.plain_text import join_words

#: Silence around removed audio, in seconds: word times are more accurate than this.
MARGIN_SECONDS = 0.2

#: Letters and digits of a value that does not occur by chance across several numbers of a text.
_LONG_VALUE = 7


@dataclass(frozen=True, slots=True)
class Redaction:
    """A transcript without the removed data, and what was removed."""

    #: The words, with a single one such as `[card]` in place of a number's words.
    words: tuple[Word, ...]
    detections: tuple[Detection, ...]
    #: Kind and wording of the removed data, in the current text and in the machine's words.
    values: tuple[tuple[str, str], ...]
    #: The silenced stretches as (start, end) in seconds, in order and disjoint.
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class SpokenData:
    """Personal data in the machine's words: a correction may have replaced it in the text, but the audio has it."""

    kind: str
    words: tuple[Word, ...]


def redact(
    words: Sequence[Word], detections: Sequence[Detection], duration: float, spoken: Sequence[SpokenData] = ()
) -> Redaction:
    """Remove `detections`, in order and disjoint, from the words of a recording of `duration` seconds.

    `spoken` is silenced too, and its wording must not remain in the text either.
    """
    redacted: list[Word] = []
    position = 0
    for each in detections:
        redacted += [*words[position : each.first], _mark(words[each.first : each.stop], each.kind)]
        position = each.stop
    removed = [(each.kind, words[each.first : each.stop]) for each in detections]
    removed += [(each.kind, each.words) for each in spoken]
    return Redaction(
        words=(*redacted, *words[position:]),
        detections=tuple(detections),
        values=tuple(dict.fromkeys((kind, join_words(stretch)) for kind, stretch in removed)),
        spans=_joined(
            [
                (
                    max(0.0, min(word.start for word in stretch) - MARGIN_SECONDS),
                    min(duration, max(word.end for word in stretch) + MARGIN_SECONDS),
                )
                for _, stretch in removed
            ]
        ),
    )


def in_corrected_words(detections: Sequence[Detection], passages: Sequence[Passage]) -> list[Detection]:
    """Map detections in the machine's words to the corrected words in `passages`.

    A passage is removed as a whole; nothing remains of one without words. The passages hold all of the machine's words,
    in order.
    """
    firsts = [passage.first for passage in passages]
    places = list(accumulate((len(passage.words) for passage in passages), initial=0))
    moved = []
    for each in detections:
        first, stop = places[bisect_right(firsts, each.first) - 1], places[bisect_left(firsts, each.stop)]
        moved += [Detection(first, stop, each.kind)] if stop > first else []
    return moved


def disjoint(detections: Iterable[Detection]) -> list[Detection]:
    """Return detections in order and disjoint: overlapping ones become one, of the kind of the first."""
    joined: list[Detection] = []
    for each in sorted(detections):
        if joined and each.first < joined[-1].stop:
            joined[-1] = replace(joined[-1], stop=max(joined[-1].stop, each.stop))
        else:
            joined.append(each)
    return joined


def without_names(words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words with speakers numbered by first appearance, if any of them has a name."""
    speakers = list(dict.fromkeys(word.speaker for word in words if word.speaker))
    if all(is_label(speaker) for speaker in speakers):
        return tuple(words)
    labels = {speaker: f"spk_{number}" for number, speaker in enumerate(speakers)}
    return tuple(replace(word, speaker=labels.get(word.speaker or "")) for word in words)


def remaining(text: str, redaction: Redaction, kinds: Collection[str], language: str) -> list[str]:
    """Return the kinds of data that a text still contains: one of the removed values, or data that patterns find."""
    readable, parts = letters(text), text.split()
    # "Ann" does not remain in "annual", but a number remains however its digits are separated.
    undivided = _undivided(readable)
    numbers = [(kind, letters(value)) for kind, value in redaction.values if kind not in OF_WORDS]
    left = [kind for kind, value in numbers if value and (value in readable or _is_in(_undivided(value), undivided))]
    names = mentions(parts, [(kind, value.split()) for kind, value in redaction.values if kind in OF_WORDS])
    new = find_patterns([Word(part, 0.0, 0.0) for part in parts], kinds, language)
    return sorted({*left, *(each.kind for each in [*names, *new])})


def _undivided(spelled: str) -> str:
    """Return what `letters` returns, without the characters between digits."""
    return "".join(char for char in spelled if char.isalnum())


def _is_in(value: str, text: str) -> bool:
    """Return whether an undivided text holds an undivided value that is too long to occur there by chance."""
    return len(value) >= _LONG_VALUE and value in text


def _mark(words: Sequence[Word], kind: str) -> Word:
    """Return one word for all of them, with the punctuation around them."""
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
