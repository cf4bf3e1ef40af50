"""Apply a corrected text to cues: the text changes, the times stay."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise, repeat

from transcription_dagster.captions.layout import DASH, CaptionLimits, break_lines
from transcription_dagster.captions.marks import NOTES, OWN_TURNS, MarkedToken, marked_tokens, shown_tokens
from transcription_dagster.captions.songs import join_quotes
from transcription_dagster.errors import UnrelatedText
from transcription_dagster.language.alignment import AlignedBlock, align, counterparts, related_share
from transcription_dagster.language.boundaries import closes_sentence
from transcription_dagster.language.tokenization import Token
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.plain_text import join_words

#: Minimum share of common letters for a text to count as a correction of the captions.
_MIN_RELATED = 0.3


def correct_cues(cues: Sequence[Cue], corrected_text: str, limits: CaptionLimits | None = None) -> list[Cue]:
    """Apply a corrected text to cues; their times and order stay.

    The result has the words of the text, in order. A cue that loses all its words is dropped, and so is a cue of notes
    alone if the text has none; one whose words change is broken into lines again; any other is untouched. Song notes
    and dialogue marks keep their places; a cue without them gets those of the text. Raises `UnrelatedText` if the text
    has too little in common with the cues.
    """
    limits = limits or CaptionLimits()
    slots = _slots(cues)
    old = [token for slot in slots for token in slot.tokens]
    new = marked_tokens(corrected_text, OWN_TURNS)
    places = places_of([token.token.text for token in old], [token.token.text for token in new])
    has_notes = NOTES.search(corrected_text) is not None
    if has_notes:
        new = _without_neighbours_notes(cues, old, new, places)
    ends = list(accumulate(len(slot.tokens) for slot in slots))
    placed: list[list[tuple[int, MarkedToken]]] = [[] for _ in slots]
    for token, place in zip(new, places, strict=True):
        slot = bisect_right(ends, place)
        placed[slot].append((place - ends[slot] + len(slots[slot].tokens), token))
    rebuilt = []
    for number, group in groupby(range(len(slots)), key=lambda place: slots[place].cue):
        members = [(slots[place], placed[place]) for place in group]
        if not any(slot.tokens for slot, _ in members):
            rebuilt += [cues[number]] if has_notes and _holds_notes(cues[number]) else []
        elif cue := _rebuilt(cues[number], members, limits):
            rebuilt.append(cue)
    return rebuilt


def _without_neighbours_notes(
    cues: Sequence[Cue], old: Sequence[MarkedToken], new: Sequence[MarkedToken], places: Sequence[int]
) -> list[MarkedToken]:
    """Return the new words without the notes that other cues show.

    A note between two cues marks a word of one of them in the text, and is in the other or alone in a third.
    """
    together = marked_tokens("\n".join(line for cue in cues for line in cue.lines), OWN_TURNS)
    cleaned = []
    for token, place in zip(new, places, strict=True):
        in_text, in_cue = together[place], old[place]
        before = in_cue.before if token.before == in_text.before else token.before
        after = in_cue.after if token.after == in_text.after else token.after
        song = in_cue.song if token.song == in_text.song else token.song
        cleaned.append(replace(token, before=before, after=after, song=song))
    return cleaned


def places_of(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """Return, for each word of a corrected text, the index of the old word whose place it takes; never decreasing.

    Raises `UnrelatedText` if the two wordings have too little in common.
    """
    if not old or not new:
        if old or new:
            raise UnrelatedText(
                "the captions hold no words" if new else "there are no words to correct the captions by"
            )
        return []
    blocks = align(old, new)
    share = related_share(old, new, blocks)
    if share < _MIN_RELATED:
        raise UnrelatedText(
            f"the corrected text shares only {share:.0%} of its letters with the captions: "
            f"it seems to belong to a different recording"
        )
    return list(_places(old, new, blocks))


@dataclass(frozen=True, slots=True)
class _Slot:
    """A cue, or one speaker's line of a shared cue, whose words are replaced together."""

    cue: int
    dashed: bool
    tokens: Sequence[MarkedToken]

    def reworded(self, placed: Sequence[tuple[int, MarkedToken]]) -> list[MarkedToken]:
        """Return the new words with the marks of this place, each with the index of the old word it replaces."""
        notes = any(token.before or token.after for token in self.tokens)
        turns = self.dashed or any(token.turn for token in self.tokens)
        new = [token for _, token in placed]
        if notes:
            new = [replace(token, before="", after="", song=("", "")) for token in new]
        if turns:
            new = [replace(token, turn="") for token in new]
        places = [place for place, _ in placed]
        for index, token in enumerate(self.tokens):
            if not (token.turn or token.before or token.after):
                continue
            first, last = bisect_left(places, index), bisect_right(places, index) - 1
            song = self._song_around(index)
            if token.turn and first < len(new):
                new[first] = replace(new[first], turn=token.turn)
            if token.before and first < len(new) and places[first] in song:
                new[first] = replace(new[first], before=token.before)
            if token.after and last >= 0 and places[last] in song:
                new[last] = replace(new[last], after=token.after)
        return new

    def _song_around(self, index: int) -> range:
        """Return the words of the song that this one belongs to, which keep its notes; outside of songs, all words."""
        song = self.tokens[index].song
        if not any(song):
            return range(len(self.tokens))
        first, stop = index, index + 1
        while first > 0 and self.tokens[first - 1].song == song:
            first -= 1
        while stop < len(self.tokens) and self.tokens[stop].song == song:
            stop += 1
        return range(first, stop)


def _slots(cues: Sequence[Cue]) -> list[_Slot]:
    """Return the slots of the cues, in order."""
    slots: list[_Slot] = []
    for number, cue in enumerate(cues):
        dashed = len(cue.lines) > 1 and all(line.startswith(DASH) for line in cue.lines)
        texts = [line.removeprefix(DASH) for line in cue.lines] if dashed else ["\n".join(cue.lines)]
        slots += [_Slot(number, dashed, marked_tokens(text, OWN_TURNS)) for text in texts]
    return slots


def _places(old: Sequence[str], new: Sequence[str], blocks: Sequence[AlignedBlock]) -> Iterator[int]:
    """Yield, for each new word, the index of the old word that it replaces or follows."""
    for block in blocks:
        before, after = old[block.old_first : block.old_stop], new[block.new_first : block.new_stop]
        if before:
            yield from (block.old_first + number for number in counterparts(before, after))
        elif block.old_first and not (block.old_first < len(old) and closes_sentence(new[block.new_first - 1])):
            yield from repeat(block.old_first - 1, len(after))
        else:
            yield from repeat(block.old_first, len(after))


def _holds_notes(cue: Cue) -> bool:
    return any(NOTES.search(line) for line in cue.lines)


def _rebuilt(
    cue: Cue, places: Sequence[tuple[_Slot, Sequence[tuple[int, MarkedToken]]]], limits: CaptionLimits
) -> Cue | None:
    """Return the cue with its new words: itself if they are unchanged, None if none are left."""
    turns = [(slot, slot.reworded(placed)) for slot, placed in places]
    if all(_look_the_same(slot.tokens, new) for slot, new in turns):
        return cue
    remaining = [new for _, new in turns if new]
    if len(cue.speakers) == len(turns):
        speakers = (speaker for speaker, (_, new) in zip(cue.speakers, turns, strict=True) if new)
        cue = replace(cue, speakers=tuple(speakers))
    if not remaining:
        return None
    if len(remaining) == 1:
        return replace(cue, lines=_lines(remaining[0], limits))
    lines = (DASH + join_words(_words(shown_tokens(turn, notes=True, turns=False))) for turn in remaining)
    return replace(cue, lines=tuple(lines))


def _look_the_same(old: Sequence[MarkedToken], new: Sequence[MarkedToken]) -> bool:
    """Return whether two wordings show the same words and marks."""
    visible = (shown_tokens(tokens, notes=True, turns=True) for tokens in (old, new))
    return len({tuple(token.text for token in tokens) for tokens in visible}) == 1


def _lines(tokens: Sequence[MarkedToken], limits: CaptionLimits) -> tuple[str, ...]:
    """Return a cue's lines: the best line breaks, or one line per turn of dialogue."""
    words = _words(shown_tokens(tokens, notes=True, turns=True))
    turns = [number for number, token in enumerate(tokens) if token.turn and number]
    if not turns:
        return break_lines(join_quotes(words)[0], limits.max_lines, limits.max_line_characters)
    return tuple(join_words(words[first:stop]) for first, stop in pairwise([0, *turns, len(words)]))


def _words(tokens: Sequence[Token]) -> list[Word]:
    return [Word(token.text, 0.0, 0.0, glued=token.glued) for token in tokens]
