"""Validate proposed edits against the words they claim to replace; invalid ones are dropped with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.language.spelling import affixes, folded_words
from transcription_dagster.model import Edit, Term, Word
from transcription_dagster.refinement.edit_rules import KINDS, Case, Knowledge, changes_words, fault
from transcription_dagster.transcripts.plain_text import join_words


@dataclass(frozen=True, slots=True)
class EditLimits:
    """Limits on edits."""

    #: Share of the words in any block that edits may change, ignoring case and punctuation, and the size of a block.
    max_changed_share: float = 0.25
    block_words: int = 200
    #: Words that may change in a block of any size: a short recording may consist of a misheard name.
    min_changed_words: int = 6
    #: Maximum words that one edit may replace.
    max_span: int = 20
    #: Minimum phonetic similarity of a correction to what it replaces, 0 to 1.
    min_similarity: float = 0.5
    #: Maximum distance in words between an edit's index and its words.
    reach: int = 25


@dataclass(frozen=True, slots=True)
class Dropped:
    """A rejected edit and the reason."""

    edit: Edit
    reason: str


@dataclass(frozen=True, slots=True)
class Validated:
    """The valid edits, in order and without overlap, and the rejected ones."""

    valid: tuple[Edit, ...]
    dropped: tuple[Dropped, ...]


def validate_edits(
    words: Sequence[Word],
    proposals: Iterable[Edit],
    vocabulary: Sequence[Term],
    limits: EditLimits | None = None,
    *,
    language: str = "en",
) -> Validated:
    """Keep the valid proposals for `words`, correcting wrong indices.

    An edit must echo the words at its index, or at exactly one place nearby; do only what its kind allows; change no
    number, and no name unless the vocabulary or the rest of the recording supports it; and not overlap another. If the
    edits of a block change more than `limits` allow, all that the vocabulary does not support are dropped. `old` and
    `new` of a kept edit hold exactly the displayed words with their punctuation.
    """
    limits = limits or EditLimits()
    knowledge = Knowledge(words, vocabulary)
    accepted: list[Edit] = []
    dropped: list[Dropped] = []
    for proposal in proposals:
        placed = _placed(words, proposal, limits)
        if isinstance(placed, str):
            dropped.append(Dropped(proposal, placed))
            continue
        spoken = words[placed.first].language or language
        if reason := _fault(Case(placed, words, knowledge, limits.min_similarity, spoken)):
            dropped.append(Dropped(proposal, reason))
        else:
            accepted.append(placed)
    disjoint = _without_overlaps(accepted, dropped)
    valid = _within_bounds(words, disjoint, limits, dropped)
    return Validated(tuple(valid), tuple(dropped))


def _placed(words: Sequence[Word], edit: Edit, limits: EditLimits) -> Edit | str:
    """Return the edit at the one place that its echo matches, with omitted punctuation restored, or why it has none."""
    if edit.kind not in KINDS:
        return f"unknown kind {edit.kind!r}"
    length = edit.last - edit.first + 1
    if length < 1:
        return "ends before it begins"
    if length > limits.max_span:
        return f"replaces {length} words at once"
    if not edit.new.isprintable() and not edit.new.replace("\n", " ").isprintable():
        return "holds a control character"
    echo = folded_words(edit.old)
    if not echo:
        return "echoes no word"
    first = _find(words, edit, echo, limits.reach)
    return first if isinstance(first, str) else _complete(words, replace(edit, first=first, last=first + length - 1))


def _find(words: Sequence[Word], edit: Edit, echo: tuple[str, ...], reach: int) -> int | str:
    length = edit.last - edit.first + 1
    if _echoes(words, edit.first, length, echo):
        return edit.first
    nearby = range(max(edit.first - reach, 0), min(edit.first + reach, len(words) - length) + 1)
    places = [first for first in nearby if _echoes(words, first, length, echo)]
    if len(places) == 1:
        return places[0]
    return "its old words are nowhere near" if not places else f"its old words fit {len(places)} places"


def _echoes(words: Sequence[Word], first: int, length: int, echo: tuple[str, ...]) -> bool:
    if first < 0 or first + length > len(words):
        return False
    return folded_words(join_words(words[first : first + length])) == echo


def _complete(words: Sequence[Word], edit: Edit) -> Edit:
    """Extend the echo to the displayed words; punctuation outside the echo is not to be removed."""
    old = join_words(words[edit.first : edit.last + 1])
    new = " ".join(edit.new.split())
    opening, _, closing = affixes(old)
    echoed_opening, _, echoed_closing = affixes(edit.old.strip())
    if new and opening and not echoed_opening and not affixes(new)[0]:
        new = opening + new
    if new and closing and not echoed_closing and not affixes(new)[2]:
        new += closing
    return replace(edit, old=old, new=new)


def _fault(case: Case) -> str | None:
    edit, words = case.edit, case.words
    if edit.new == edit.old:
        return "changes nothing"
    if edit.new and not folded_words(edit.new):
        return "leaves punctuation without a word"
    if not edit.new and edit.last + 1 == len(words) == edit.last - edit.first + 1:
        return "removes everything"
    if not edit.new and _closes_sentence(words, edit):
        return "removes the end of a sentence"
    return fault(case)


def _closes_sentence(words: Sequence[Word], edit: Edit) -> bool:
    """Return whether removing the words would run two sentences together."""
    if edit.first == 0:
        return False
    before, last = words[edit.first - 1], words[edit.last]
    after = words[edit.last + 1] if edit.last + 1 < len(words) else None
    closes = bool(affixes(last.text)[2].strip(",;-–—")) if after is None else ends_sentence(last, after)
    return closes and not ends_sentence(before, words[edit.first])


def _without_overlaps(edits: Sequence[Edit], dropped: list[Dropped]) -> list[Edit]:
    accepted: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.first, edit.last)):
        if accepted and edit.first <= accepted[-1].last:
            dropped.append(Dropped(edit, "overlaps another edit"))
        else:
            accepted.append(edit)
    return accepted


def _within_bounds(
    words: Sequence[Word], edits: Sequence[Edit], limits: EditLimits, dropped: list[Dropped]
) -> list[Edit]:
    """Drop all unsupported word changes in a block with too many of them: such an answer rewrites the text."""
    changed: Counter[int] = Counter()
    for edit in edits:
        if _counts(edit):
            changed[edit.first // limits.block_words] += edit.last - edit.first + 1
    allowed = {
        block: max(limits.min_changed_words, limits.max_changed_share * _block_size(words, block, limits))
        for block in changed
    }
    accepted: list[Edit] = []
    for edit in edits:
        block = edit.first // limits.block_words
        if _counts(edit) and changed[block] > allowed[block]:
            share = changed[block] / _block_size(words, block, limits)
            dropped.append(Dropped(edit, f"belongs to a rewriting of {share:.0%} of the words around it"))
        else:
            accepted.append(edit)
    return accepted


def _block_size(words: Sequence[Word], block: int, limits: EditLimits) -> int:
    return min(limits.block_words, len(words) - block * limits.block_words)


def _counts(edit: Edit) -> bool:
    return edit.kind != "vocabulary" and changes_words(edit)
