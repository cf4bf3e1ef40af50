"""Apply edits to timed words: the text changes, the times stay."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise

from transcription_dagster.language.alignment import align, counterparts
from transcription_dagster.language.tokenization import Token, tokenize
from transcription_dagster.model import Edit, Word


def correct_words(words: Sequence[Word], edits: Sequence[Edit]) -> list[Word]:
    """Apply edits, which must not overlap or reach outside `words`.

    A corrected word takes the time of the word it replaces; if their numbers differ, the words share the whole span by
    length. An added word shares its neighbour's time; the time of a removed word stays empty. Raises `ValueError` for
    edits that overlap or reach outside.
    """
    corrected: list[Word] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: edit.first):
        if not position <= edit.first <= edit.last < len(words):
            raise ValueError(f"the edit of words {edit.first} to {edit.last} does not fit {len(words)} words")
        corrected += words[position : edit.first]
        corrected += _reworded(words[edit.first : edit.last + 1], tokenize(edit.new))
        position = edit.last + 1
    return [*corrected, *words[position:]]


def _reworded(words: Sequence[Word], tokens: Sequence[Token]) -> list[Word]:
    """Return an edit's new words with times; unchanged words keep theirs."""
    placed: dict[int, Word] = {}
    for block in align([word.text for word in words], [token.text for token in tokens]):
        before, after = words[block.old_first : block.old_stop], tokens[block.new_first : block.new_stop]
        if before and after:
            placed.update(enumerate(_in_place_of(before, after), start=block.new_first))
    # Added words share the time of the word before them, or at the beginning of the word after them.
    for first, stop in _missing(placed, len(tokens)):
        low, high = (first - 1, stop) if first else (first, stop + 1)
        neighbour = placed[low] if first else placed[stop]
        placed.update(enumerate(_in_place_of([neighbour], tokens[low:high]), start=low))
    reworded = [placed[index] for index in range(len(tokens))]
    return [replace(reworded[0], glued=words[0].glued or reworded[0].glued), *reworded[1:]] if reworded else []


def _missing(placed: Mapping[int, object], count: int) -> list[tuple[int, int]]:
    """Return the ranges of consecutive indices below `count` that are missing from `placed`."""
    runs = [list(run) for is_placed, run in groupby(range(count), key=placed.__contains__) if not is_placed]
    return [(run[0], run[-1] + 1) for run in runs]


def _in_place_of(before: Sequence[Word], after: Sequence[Token]) -> list[Word]:
    """Return the words `after` with the times of those they replace, one to one or shared by length."""
    spans = [(word.start, word.end) for word in before]
    if len(before) != len(after):
        spans = _divided_spans(before, [len(token.text) for token in after])
    origins = counterparts([word.text for word in before], [token.text for token in after])
    return [
        replace(before[origin], text=token.text, start=start, end=end, glued=token.glued)
        for token, (start, end), origin in zip(after, spans, origins, strict=True)
    ]


def _divided_spans(words: Sequence[Word], lengths: Sequence[int]) -> list[tuple[float, float]]:
    """Divide the time of the words in proportion to `lengths`; silence between the words stays in place."""
    ends = list(accumulate(len(word.text) for word in words))
    cuts = [cut * ends[-1] / sum(lengths) for cut in accumulate(lengths, initial=0)]
    spans = []
    for first, last in pairwise(cuts):
        opening = min(bisect_right(ends, first), len(words) - 1)
        closing = min(bisect_left(ends, last), len(words) - 1)
        start = _moment(words[opening], first - ends[opening])
        end = _moment(words[closing], last - ends[closing])
        spans.append((round(start, 3), round(max(start, end), 3)))
    return spans


def _moment(word: Word, characters: float) -> float:
    """Return when a position in a word is spoken, at an even pace; `characters` counts from its end and is negative."""
    return word.end + (word.end - word.start) * max(-1.0, min(0.0, characters / len(word.text)))
