"""Prepare a transcript for Claude and assemble the answers, for direct and batch mode alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from transcription_dagster.errors import RefinementFailed
from transcription_dagster.model import Edit, Term, Transcript, Word
from transcription_dagster.refinement.edit_anchors import Anchors, compose
from transcription_dagster.refinement.edits import validate_edits
from transcription_dagster.refinement.messages import MessageRequest, Price, TokenUsage
from transcription_dagster.refinement.prompt import Answer, make_request
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus, WindowFailure
from transcription_dagster.refinement.text_windows import TextWindow, join_edits, join_places, make_windows
from transcription_dagster.transcripts.plain_text import join_paragraphs, paragraph_starts
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster.vocabulary.prompts import merged_terms
from transcription_dagster.vocabulary.variants import correct_variants

UNKNOWN_PRICE = "no price is known for {model}: its dollars are not counted and no budget was applied"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transcript after the vocabulary's corrections, cut into windows."""

    transcript: Transcript
    #: The shared terms, and those of this recording.
    shared_terms: tuple[Term, ...]
    own_terms: tuple[Term, ...]
    #: Anchored in the transcript's words.
    vocabulary_edits: tuple[Edit, ...]
    #: The words that Claude sees and that its edits are anchored in.
    words: tuple[Word, ...]
    windows: tuple[TextWindow, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """Return all terms; the recording's own take precedence over shared ones of the same spelling."""
        return merged_terms(self.shared_terms, self.own_terms)

    def request(
        self, window: TextWindow, settings: RefinementSettings, *, cache: Literal["5m", "1h"] = "5m"
    ) -> MessageRequest:
        """Return the request for one window."""
        language = self.transcript.language
        return make_request(
            self.words, window, self.shared_terms, language, settings, own_terms=self.own_terms, cache=cache
        )


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
    transcript: Transcript, terms: Sequence[Term], settings: RefinementSettings, *, own_terms: Sequence[Term] = ()
) -> Prepared:
    """Make the unambiguous corrections and cut the words into windows."""
    edits = tuple(correct_variants(transcript.words, merged_terms(terms, own_terms)))
    words = tuple(correct_words(transcript.words, edits))
    windows = make_windows(words, settings.window_words, settings.overlap_words)
    return Prepared(transcript, tuple(terms), tuple(own_terms), edits, words, tuple(windows))


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
