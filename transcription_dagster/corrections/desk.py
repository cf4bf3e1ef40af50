"""Correct one recording: read its current text, and record changes unless another person was faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from transcription_dagster.corrections.carrying import carry
from transcription_dagster.corrections.changes import Change, ChangedWords, Draft, replay, words_digest
from transcription_dagster.corrections.journal import changes_of, earlier_changes, is_corrected, record
from transcription_dagster.corrections.reading import CorrectedReading, UncorrectedText, lay_changes, lay_refined
from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import CorrectionConflict
from transcription_dagster.model import Transcript


@dataclass(frozen=True, slots=True)
class Manuscript:
    """The text that people correct, with the digest of the transcript that their changes refer to."""

    recording: str
    base: UncorrectedText
    digest: str

    @classmethod
    def of(cls, transcript: Transcript, refined_text: str | None) -> Manuscript:
        """Return the machine's words with the refined text over them, if there is one."""
        return cls(transcript.recording, lay_refined(transcript.words, refined_text), words_digest(transcript.words))


@dataclass(frozen=True, slots=True)
class Corrected:
    """A manuscript with people's changes applied."""

    manuscript: Manuscript
    changes: tuple[Change, ...]
    state: ChangedWords
    reading: CorrectedReading

    @property
    def version(self) -> int:
        """Version of the last change; 0 before the first."""
        return self.state.version

    @property
    def lost(self) -> list[Change]:
        """Return undismissed changes of an earlier transcript whose words the current one does not have."""
        return [change for change in self.changes if change.draft.is_lost and change.version not in self.state.undone]

    def change(self, version: int) -> Change | None:
        """Return the change with this version."""
        return next((change for change in self.changes if change.version == version), None)

    def changed_since(self, version: int, first: int, stop: int) -> bool:
        """Return whether a change after `version` concerns any of the words `first` up to `stop`."""
        return any(
            change.draft.where.first < stop and change.draft.where.stop > first
            for change in self.changes
            if change.version > version
        )


def corrected(engine: Engine, manuscript: Manuscript) -> Corrected:
    """Return the recording with all corrections so far.

    The first call after a new transcription carries the changes of the earlier transcript over to the new one.
    """
    changes = changes_of(engine, manuscript.recording, manuscript.digest)
    if not changes and (earlier := earlier_changes(engine, manuscript.recording, manuscript.digest)):

        def carried(present: Sequence[Change]) -> list[tuple[Draft, str, datetime | None]]:
            # Another process may have carried them over before this one got the lock.
            again = [] if present else carry(earlier, manuscript.base)
            return [(each.draft, each.who, each.when) for each in again]

        changes = record(engine, manuscript.recording, manuscript.digest, carried)
        changes = changes or changes_of(engine, manuscript.recording, manuscript.digest)
    return _laid(manuscript, changes)


def with_named_speakers(engine: Engine, transcript: Transcript) -> Transcript:
    """Return the transcript with the speakers that people named; the words stay the machine's."""
    if not is_corrected(engine, transcript.recording):
        return transcript
    named = corrected(engine, Manuscript.of(transcript, None)).state.speakers
    words = [
        replace(word, speaker=named[number][0]) if number in named else word
        for number, word in enumerate(transcript.words)
    ]
    return replace(transcript, words=tuple(words))


def correct(
    engine: Engine,
    manuscript: Manuscript,
    make: Callable[[Corrected], Sequence[Draft]],
    *,
    who: str,
    seen: int,
) -> Corrected:
    """Record the changes that `make` returns for the current state; return the new state and the changes.

    `seen` is the version that the person was editing. Raises `CorrectionConflict` and records nothing if a later change
    concerns the same words; `UnusableCorrection` and `UnknownRecording` as `make` and the journal do.
    """
    before: list[Corrected] = []

    def drafts(changes: Sequence[Change]) -> list[tuple[Draft, str, datetime | None]]:
        now = _laid(manuscript, changes)
        before.append(now)
        made = make(now)
        for draft in made:
            if any(now.changed_since(seen, place.first, place.stop) for place in draft.stretches or (draft.where,)):
                raise CorrectionConflict("someone else has changed the same words; your change was not saved")
        return [(draft, who, None) for draft in made]

    recorded = record(engine, manuscript.recording, manuscript.digest, drafts)
    return _laid(manuscript, [*before[0].changes, *recorded]) if recorded else before[0]


def _laid(manuscript: Manuscript, changes: Sequence[Change]) -> Corrected:
    state = replay(changes)
    return Corrected(manuscript, tuple(changes), state, lay_changes(manuscript.base, state))
