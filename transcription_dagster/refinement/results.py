"""What refinement is asked to keep to, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from transcription_dagster.model import Edit, Word
from transcription_dagster.refinement.accounts import Limits
from transcription_dagster.refinement.edits import Dropped, EditLimits
from transcription_dagster.refinement.messages import Effort, Usage
from transcription_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class RefinementSettings:
    """How recordings are refined."""

    model: str
    #: None: the model's own.
    effort: Effort | None = "medium"
    max_dollars_per_recording: float = 5.0
    max_dollars_per_day: float = 50.0
    parallel_windows: int = 4
    #: Words sent in one request, and words that two neighbouring requests share.
    window_words: int = 1200
    overlap_words: int = 80
    #: Thinking counts too. The SDK refuses more than about 21,000 without streaming.
    max_tokens: int = 16_000
    limits: EditLimits = field(default_factory=EditLimits)

    @property
    def spending(self) -> Limits:
        """What may be spent."""
        return Limits(self.max_dollars_per_recording, self.max_dollars_per_day)

    @classmethod
    def of(cls, settings: Settings) -> RefinementSettings:
        """Take what the program's settings say about refinement."""
        return cls(
            model=settings.claude_model,
            effort=None if settings.claude_effort == "default" else settings.claude_effort,
            max_dollars_per_recording=settings.claude_max_dollars_per_recording,
            max_dollars_per_day=settings.claude_max_dollars_per_day,
            parallel_windows=settings.claude_parallel_windows,
        )


class Status(StrEnum):
    """How far a refinement went."""

    #: Claude has read the transcript; windows that failed are listed.
    REFINED = "refined"
    #: Nobody was asked: only the vocabulary's unmistakable variants are corrected.
    VOCABULARY_ONLY = "vocabulary-only"
    #: Asking would cost more than allowed: the same, and marked.
    OVER_BUDGET = "over-budget"


@dataclass(frozen=True, slots=True)
class WindowFailure:
    """The words `first` up to `stop` that Claude gave no usable answer about, and why."""

    first: int
    stop: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refined:
    """A refined transcript, and everything that was done to it."""

    recording: str
    #: Paragraphs with an empty line between them, and a newline at the end.
    text: str
    #: The transcript's words after all `edits`, in their old times.
    words: tuple[Word, ...]
    #: Anchored in the transcript's words, in order, without overlap.
    edits: tuple[Edit, ...]
    #: Anchored in the words that Claude was shown: those after the vocabulary's corrections.
    dropped: tuple[Dropped, ...]
    #: Index in `words` of each paragraph's first word.
    paragraphs: tuple[int, ...]
    status: Status
    #: What a reader of the status should know beside it; empty if nothing.
    note: str = ""
    #: The model that answered; empty when nobody was asked.
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    #: None when no price is known for the model.
    dollars: float | None = 0.0
    windows: int = 0
    #: Replies that had been paid for earlier; neither `usage` nor `dollars` counts them.
    kept: int = 0
    failures: tuple[WindowFailure, ...] = ()

    @property
    def unrefined_words(self) -> int:
        """How many words Claude gave no usable answer about."""
        return sum(failure.stop - failure.first for failure in self.failures)
