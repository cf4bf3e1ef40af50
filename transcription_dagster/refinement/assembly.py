"""Prepare a transcript for Claude and assemble the answers, for direct and batch mode alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from transcription_dagster.captions.corrections import correct_words
from transcription_dagster.errors import RefinementFailed
from transcription_dagster.model import Edit, Term, Transcript, Word
from transcription_dagster.refinement.edits import validate_edits
from transcription_dagster.refinement.messages import MessageRequest, Price, TokenUsage
from transcription_dagster.refinement.prompt import Answer, make_request
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus, WindowFailure
from transcription_dagster.refinement.text_windows import TextWindow, join_edits, join_places, make_windows
from transcription_dagster.transcripts.plain_text import join_paragraphs, join_words, paragraph_starts
from transcription_dagster.vocabulary.prompts import merged_terms
from transcription_dagster.vocabulary.variants import correct_variants


@dataclass(frozen=True, slots=True)
class _Piece:
    """The words [`first`, `stop`) that an edit replaces, and the position of its new words."""

    first: int
    stop: int
    new_first: int
    new_stop: int


class Anchors:
    """Maps word indices across edits that do not overlap."""

    def __init__(self, words: Sequence[Word], edits: Iterable[Edit]) -> None:
        self._pieces: list[_Piece] = []
        shift = 0
        for edit in sorted(edits, key=lambda edit: edit.first):
            replaced = words[edit.first : edit.last + 1]
            written = len(correct_words(replaced, [_moved(edit, -edit.first)]))
            new_first = edit.first + shift
            self._pieces.append(_Piece(edit.first, edit.last + 1, new_first, new_first + written))
            shift += written - len(replaced)
        self._firsts = [piece.first for piece in self._pieces]
        self._new_firsts = [piece.new_first for piece in self._pieces]

    def new_index(self, index: int) -> int | None:
        """Return the index after the edits of the word at `index`; None inside an edit, past its first word."""
        piece = self._before(self._firsts, index)
        if piece is None or index >= piece.stop:
            return index + (piece.new_stop - piece.stop if piece else 0)
        return piece.new_first if index == piece.first else None

    def new_boundary(self, index: int) -> int:
        """Return the position after the edits of the gap before `index`; a gap inside an edit moves behind it."""
        piece = self._before(self._firsts, index)
        if piece is None or index == piece.first:
            return piece.new_first if piece else index
        return max(index - piece.stop, 0) + piece.new_stop

    def old_span(self, first: int, stop: int) -> tuple[int, int]:
        """Return the span of original words that became the words [`first`, `stop`)."""
        return self._old_edges(first)[0], self._old_edges(stop - 1)[1]

    def whole_span(self, first: int, stop: int) -> tuple[int, int]:
        """Widen the span [`first`, `stop`) of edited words so that it splits no edit."""
        opening, closing = self._around(first), self._around(stop - 1)
        return (opening.new_first if opening else first), (closing.new_stop if closing else stop)

    def _old_edges(self, index: int) -> tuple[int, int]:
        if piece := self._around(index):
            return piece.first, piece.stop
        piece = self._before(self._new_firsts, index)
        old = index - (piece.new_stop - piece.stop if piece else 0)
        return old, old + 1

    def _around(self, index: int) -> _Piece | None:
        piece = self._before(self._new_firsts, index)
        return piece if piece and piece.new_first <= index < piece.new_stop else None

    def _before(self, keys: Sequence[int], index: int) -> _Piece | None:
        position = bisect_right(keys, index)
        return self._pieces[position - 1] if position else None


def corrected_transcript(transcript: Transcript, edits: Sequence[Edit]) -> Transcript:
    """Apply the edits to the transcript; segments keep their times and remaining words."""
    anchors = Anchors(transcript.words, edits)
    moved = (
        replace(segment, first=anchors.new_boundary(segment.first), stop=anchors.new_boundary(segment.stop))
        for segment in transcript.segments
    )
    segments = tuple(segment for segment in moved if segment.first < segment.stop)
    return replace(transcript, words=tuple(correct_words(transcript.words, edits)), segments=segments)


def compose(words: Sequence[Word], first_round: Sequence[Edit], second_round: Sequence[Edit]) -> list[Edit]:
    """Combine two consecutive rounds of edits of `words` into one.

    The second round is anchored in the result of the first. Edits of both rounds to the same words become one edit of
    the first round's kind, or none if they cancel out.
    """
    anchors = Anchors(words, first_round)
    between = correct_words(words, first_round)
    composed: list[Edit] = []
    for group, first, stop in _groups(second_round, anchors):
        old_first, old_stop = anchors.old_span(first, stop)
        absorbed = [edit for edit in first_round if old_first <= edit.first < old_stop]
        rewritten = correct_words(between[first:stop], [_moved(edit, -first) for edit in group])
        old, new = join_words(words[old_first:old_stop]), join_words(rewritten)
        kind = (absorbed or group)[0].kind
        composed.append(Edit(old_first, old_stop - 1, old, new, kind))
    replaced = {index for edit in composed for index in range(edit.first, edit.last + 1)}
    untouched = [edit for edit in first_round if edit.first not in replaced]
    changing = [edit for edit in composed if edit.old != edit.new]
    return sorted([*untouched, *changing], key=lambda edit: edit.first)


def _groups(edits: Sequence[Edit], anchors: Anchors) -> list[tuple[list[Edit], int, int]]:
    """Group the second round's edits by the whole spans they touch."""
    groups: list[tuple[list[Edit], int, int]] = []
    for edit in sorted(edits, key=lambda edit: edit.first):
        first, stop = anchors.whole_span(edit.first, edit.last + 1)
        if groups and first < groups[-1][2]:
            members, opening, closing = groups.pop()
            groups.append(([*members, edit], opening, max(stop, closing)))
        else:
            groups.append(([edit], first, stop))
    return groups


def _moved(edit: Edit, by: int) -> Edit:
    return replace(edit, first=edit.first + by, last=edit.last + by)


UNKNOWN_PRICE = "no price is known for {model}: its dollars are not counted and no budget was applied"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transcript after the vocabulary's corrections, cut into windows."""

    transcript: Transcript
    #: The shared terms, and those of this recording.
    shared: tuple[Term, ...]
    own: tuple[Term, ...]
    #: Anchored in the transcript's words.
    vocabulary_edits: tuple[Edit, ...]
    #: The words that Claude sees and that its edits are anchored in.
    words: tuple[Word, ...]
    windows: tuple[TextWindow, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """Return all terms; the recording's own take precedence over shared ones of the same spelling."""
        return merged_terms(self.shared, self.own)

    def request(
        self, window: TextWindow, settings: RefinementSettings, *, cache: Literal["5m", "1h"] = "5m"
    ) -> MessageRequest:
        """Return the request for one window."""
        language = self.transcript.language
        return make_request(self.words, window, self.shared, language, settings, own=self.own, cache=cache)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers for the windows of one recording; a window may have been sent in halves."""

    answered: Mapping[TextWindow, Answer]
    failures: tuple[WindowFailure, ...] = ()
    #: Usage paid for now.
    usage: TokenUsage = field(default_factory=TokenUsage)
    #: Number of replies paid for earlier.
    kept: int = 0


def prepare(
    transcript: Transcript, terms: Sequence[Term], settings: RefinementSettings, *, own: Sequence[Term] = ()
) -> Prepared:
    """Make the unambiguous corrections and cut the words into windows."""
    edits = tuple(correct_variants(transcript.words, merged_terms(terms, own)))
    words = tuple(correct_words(transcript.words, edits))
    windows = make_windows(words, settings.window_words, settings.overlap_words)
    return Prepared(transcript, tuple(terms), tuple(own), edits, words, tuple(windows))


def unrefined(prepared: Prepared, status: RefinementStatus, note: str) -> Refined:
    """Return the transcript corrected by the vocabulary alone, with the reason why Claude was not asked."""
    return replace(_laid_out(prepared, prepared.vocabulary_edits, ()), status=status, note=note)


def assemble(
    prepared: Prepared,
    answers: Answers,
    settings: RefinementSettings,
    price: Price | None,
    *,
    batch: bool = False,
) -> Refined:
    """Validate the answers against the words, apply the valid edits, and report on all of them.

    Raises `RefinementFailed` if no window has a usable answer.
    """
    failures = tuple(sorted(answers.failures, key=lambda failure: failure.first))
    if failures and not answers.answered:
        raise RefinementFailed(f"none of the {len(prepared.windows)} windows was answered: {failures[0].reason}")
    proposals = join_edits({window: answer.edits for window, answer in answers.answered.items()})
    language = prepared.transcript.language
    validated = validate_edits(prepared.words, proposals, prepared.terms, settings.limits, language=language)
    edits = compose(prepared.transcript.words, prepared.vocabulary_edits, validated.valid)
    topics = join_places({window: answer.topics for window, answer in answers.answered.items()})
    return replace(
        _laid_out(prepared, edits, topics),
        dropped=validated.dropped,
        note=_note(prepared, failures, settings, price),
        model=settings.model,
        usage=answers.usage,
        dollars=None if price is None else price.dollars(answers.usage, batch=batch),
        windows=len(prepared.windows),
        kept=answers.kept,
        failures=failures,
    )


def _laid_out(prepared: Prepared, edits: Sequence[Edit], topics: Sequence[int]) -> Refined:
    """Return the words after all edits, in paragraphs; `topics` index the words that Claude saw."""
    transcript = prepared.transcript
    words = tuple(correct_words(transcript.words, edits))
    after_vocabulary, final = Anchors(transcript.words, prepared.vocabulary_edits), Anchors(transcript.words, edits)
    places = (final.new_index(after_vocabulary.old_span(topic, topic + 1)[0]) for topic in topics)
    starts = paragraph_starts(words, {place for place in places if place is not None})
    return Refined(
        recording=transcript.recording,
        text=join_paragraphs(words, starts),
        words=words,
        edits=tuple(edits),
        dropped=(),
        paragraphs=starts,
        status=RefinementStatus.REFINED,
    )


def _note(
    prepared: Prepared, failures: Sequence[WindowFailure], settings: RefinementSettings, price: Price | None
) -> str:
    notes: list[str] = []
    if not prepared.words:
        notes.append("there are no words to refine")
    if failures:
        words = sum(failure.stop - failure.first for failure in failures)
        reasons = "; ".join(dict.fromkeys(failure.reason for failure in failures))
        notes.append(f"{words} of {len(prepared.words)} words are not refined: {reasons}")
    if price is None:
        notes.append(UNKNOWN_PRICE.format(model=settings.model))
    return ". ".join(notes)
