"""Corrections laid onto timed words and onto captions: the text changes, the times stay."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise, repeat

from transcription_dagster.captions.limits import DASH, CaptionLimits
from transcription_dagster.captions.line_breaks import break_lines
from transcription_dagster.errors import UnrelatedText
from transcription_dagster.language.alignment import Block, Token, align, counterparts, related_share, tokenize
from transcription_dagster.language.boundaries import closes_sentence
from transcription_dagster.model import Cue, Edit, Word
from transcription_dagster.transcripts.plain_text import join_words

#: Share of the letters that have to agree for a text to count as a correction of the captions.
_LEAST_RELATED = 0.3


def correct_words(words: Sequence[Word], edits: Sequence[Edit]) -> list[Word]:
    """Make the edits, which neither overlap nor reach outside `words`.

    A corrected word takes the time of the word it replaces; where their numbers differ, the time of all is shared out
    by length. A word that is added shares its neighbour's time, one that is taken away leaves its own empty. Raises
    `ValueError` for edits that overlap or reach outside.
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
    """The words of one edit in their new wording; those that stay keep their own time."""
    placed: dict[int, Word] = {}
    for block in align([word.text for word in words], [token.text for token in tokens]):
        before, after = words[block.old_first : block.old_stop], tokens[block.new_first : block.new_stop]
        if before and after:
            placed.update(enumerate(_in_place_of(before, after), start=block.new_first))
    # What was added shares the time of the word before it, or after it at the beginning.
    for first, stop in _missing(placed, len(tokens)):
        low, high = (first - 1, stop) if first else (first, stop + 1)
        neighbour = placed[low] if first else placed[stop]
        placed.update(enumerate(_in_place_of([neighbour], tokens[low:high]), start=low))
    reworded = [placed[index] for index in range(len(tokens))]
    return [replace(reworded[0], glued=words[0].glued or reworded[0].glued), *reworded[1:]] if reworded else []


def _missing(placed: Mapping[int, object], count: int) -> list[tuple[int, int]]:
    """The ranges of consecutive indices below `count` that `placed` has not."""
    runs = [list(run) for there, run in groupby(range(count), key=placed.__contains__) if not there]
    return [(run[0], run[-1] + 1) for run in runs]


def _in_place_of(before: Sequence[Word], after: Sequence[Token]) -> list[Word]:
    """The words `after` with the time of those that they replace, one by one or shared out by length."""
    spans = [(word.start, word.end) for word in before]
    if len(before) != len(after):
        spans = _shared_out(before, [len(token.text) for token in after])
    origins = counterparts([word.text for word in before], [token.text for token in after])
    return [
        replace(before[origin], text=token.text, start=start, end=end, glued=token.glued)
        for token, (start, end), origin in zip(after, spans, origins, strict=True)
    ]


def _shared_out(words: Sequence[Word], lengths: Sequence[int]) -> list[tuple[float, float]]:
    """The time of some words shared out by `lengths`; silence between the words stays where it was."""
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
    """When so many characters from the word's end (negative: before it) were said, at an even pace."""
    return word.end + (word.end - word.start) * max(-1.0, min(0.0, characters / len(word.text)))


def correct_cues(cues: Sequence[Cue], corrected_text: str, limits: CaptionLimits | None = None) -> list[Cue]:
    """Lay a corrected text onto cues, whose times and order stay as they are.

    The words of the result are those of the text, in order. A cue that loses all its words is dropped, one whose
    words change is broken into lines again, any other is left alone. Raises `UnrelatedText` if the text has too
    little in common with the cues.
    """
    limits = limits or CaptionLimits()
    slots, old = _slots(cues)
    new = tokenize(_undashed(corrected_text) if any(slot.dashed for slot in slots) else corrected_text)
    said: list[list[Token]] = [[] for _ in slots]
    places = places_of([token.text for _, token in old], [token.text for token in new])
    for token, place in zip(new, places, strict=True):
        said[old[place][0]].append(token)
    return _rebuilt(cues, slots, old, said, limits)


def places_of(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """For each word of a corrected text, the index of the old word whose place it takes; it never goes backward.

    Raises `UnrelatedText` if the two wordings have too little in common.
    """
    blocks = align(old, new)
    share = related_share(old, new, blocks)
    if share < _LEAST_RELATED:
        raise UnrelatedText(
            f"the corrected text shares only {share:.0%} of its letters with the captions: "
            f"it does not seem to belong to them"
        )
    return list(_places(old, new, blocks))


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place for words that has its own time: a cue, or one speaker's line in a cue that two share."""

    cue: int
    dashed: bool


def _slots(cues: Sequence[Cue]) -> tuple[list[_Slot], list[tuple[int, Token]]]:
    """The places of the cues, and every word with the number of its place."""
    slots: list[_Slot] = []
    tokens: list[tuple[int, Token]] = []
    for number, cue in enumerate(cues):
        dashed = len(cue.lines) > 1 and all(line.startswith(DASH) for line in cue.lines)
        texts = [line.removeprefix(DASH) for line in cue.lines] if dashed else ["\n".join(cue.lines)]
        for text in texts:
            tokens += [(len(slots), token) for token in tokenize(text)]
            slots.append(_Slot(number, dashed))
    return slots, tokens


def _undashed(text: str) -> str:
    return "\n".join(line.removeprefix(DASH) for line in text.splitlines())


def _places(old: Sequence[str], new: Sequence[str], blocks: Sequence[Block]) -> Iterator[int]:
    """For each new word, the old word whose place it takes."""
    for block in blocks:
        before, after = old[block.old_first : block.old_stop], new[block.new_first : block.new_stop]
        if before:
            yield from (block.old_first + number for number in counterparts(before, after))
        elif block.old_first and not (block.old_first < len(old) and closes_sentence(new[block.new_first - 1])):
            yield from repeat(block.old_first - 1, len(after))
        else:
            yield from repeat(block.old_first, len(after))


def _rebuilt(
    cues: Sequence[Cue],
    slots: Sequence[_Slot],
    old: Sequence[tuple[int, Token]],
    said: Sequence[Sequence[Token]],
    limits: CaptionLimits,
) -> list[Cue]:
    rebuilt = []
    were: list[list[Token]] = [[] for _ in slots]
    for place, token in old:
        were[place].append(token)
    for number, places in groupby(range(len(slots)), key=lambda place: slots[place].cue):
        own = list(places)
        turns = [said[place] for place in own if said[place]]
        if all([token.text for token in said[place]] == [token.text for token in were[place]] for place in own):
            rebuilt += [cues[number]] if turns else []
        elif turns:
            rebuilt.append(replace(cues[number], lines=_lines(turns, limits)))
    return rebuilt


def _lines(turns: Sequence[Sequence[Token]], limits: CaptionLimits) -> tuple[str, ...]:
    spoken = [[Word(token.text, 0.0, 0.0, glued=token.glued) for token in turn] for turn in turns]
    if len(spoken) == 1:
        return break_lines(spoken[0], limits.max_lines, limits.max_line_characters)
    return tuple(DASH + join_words(words) for words in spoken)
