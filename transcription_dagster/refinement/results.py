"""The settings and results of refinement."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from transcription_dagster.model import Edit, Word
from transcription_dagster.refinement.accounts import Budgets
from transcription_dagster.refinement.edits import Dropped, EditLimits
from transcription_dagster.refinement.messages import Effort, TokenUsage
from transcription_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class RefinementSettings:
    """Settings of the refinement of recordings."""

    model: str
    #: None for the model's default.
    effort: Effort | None = "medium"
    max_dollars_per_recording: float = 5.0
    max_dollars_per_day: float = 50.0
    parallel_windows: int = 4
    #: Words per request, and words shared by adjacent requests.
    window_words: int = 1200
    overlap_words: int = 80
    #: Includes thinking. The SDK refuses more than about 21,000 without streaming.
    max_tokens: int = 16_000
    limits: EditLimits = field(default_factory=EditLimits)

    @property
    def spending(self) -> Budgets:
        """Return the budgets."""
        return Budgets(self.max_dollars_per_recording, self.max_dollars_per_day)

    @classmethod
    def of(cls, settings: Settings) -> RefinementSettings:
        """Extract the refinement settings from the program's settings."""
        return cls(
            model=settings.claude_model,
            effort=None if settings.claude_effort == "default" else settings.claude_effort,
            max_dollars_per_recording=settings.claude_max_dollars_per_recording,
            max_dollars_per_day=settings.claude_max_dollars_per_day,
            parallel_windows=settings.claude_parallel_windows,
        )


class RefinementStatus(StrEnum):
    """The extent of a refinement."""

    #: Claude has read the transcript; failed windows are listed.
    REFINED = "refined"
    #: Claude was not asked: only the vocabulary's unambiguous variants are corrected.
    VOCABULARY_ONLY = "vocabulary-only"
    #: The same, because asking would exceed the budget.
    OVER_BUDGET = "over-budget"


@dataclass(frozen=True, slots=True)
class WindowFailure:
    """The words [`first`, `stop`) without a usable answer, and the reason."""

    first: int
    stop: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refined:
    """A refined transcript and its edits."""

    recording: str
    #: Paragraphs separated by empty lines, with a final newline.
    text: str
    #: The transcript's words after all `edits`, with unchanged times.
    words: tuple[Word, ...]
    #: Anchored in the transcript's words, in order, without overlap.
    edits: tuple[Edit, ...]
    #: Anchored in the words that Claude saw, after the vocabulary's corrections.
    dropped: tuple[Dropped, ...]
    #: Index in `words` of each paragraph's first word.
    paragraphs: tuple[int, ...]
    status: RefinementStatus
    #: Explains the status; empty if there is nothing to explain.
    note: str = ""
    #: The model that answered; empty if Claude was not asked.
    model: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    #: None if the model's price is unknown.
    dollars: float | None = 0.0
    windows: int = 0
    #: Number of replies paid for earlier, not counted in `usage` and `dollars`.
    kept: int = 0
    failures: tuple[WindowFailure, ...] = ()

    @property
    def unrefined_words(self) -> int:
        """Return the number of words without a usable answer."""
        return sum(failure.stop - failure.first for failure in self.failures)
