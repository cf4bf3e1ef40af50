"""The text of one recording under correction: read it with all corrections, and record further ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from transcription_dagster.corrections.carrying import carry
from transcription_dagster.corrections.changes import Change, ChangedWords, Draft, replay, words_digest
from transcription_dagster.corrections.journal import changes_of, earlier_changes, is_corrected, record
from transcription_dagster.corrections.reading import CorrectedReading, UncorrectedText, apply_changes, apply_refinement
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
        """Return the machine's words, with the refined text applied to them if there is one."""
        return cls(
            transcript.recording, apply_refinement(transcript.words, refined_text), words_digest(transcript.words)
        )


@dataclass(frozen=True, slots=True)
class CorrectedText:
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


def load_corrected(engine: Engine, manuscript: Manuscript) -> CorrectedText:
    """Return the recording's text with all corrections so far.

    The first call after a new transcription carries the changes of the earlier transcript over to the new one.
    """
    changes = changes_of(engine, manuscript.recording, manuscript.digest)
    if not changes and (earlier := earlier_changes(engine, manuscript.recording, manuscript.digest)):

        def carried_over(existing: Sequence[Change]) -> list[tuple[Draft, str, datetime | None]]:
            # Another process may have carried them over before this one got the lock.
            carried = [] if existing else carry(earlier, manuscript.base)
            return [(change.draft, change.who, change.when) for change in carried]

        changes = record(engine, manuscript.recording, manuscript.digest, carried_over)
        changes = changes or changes_of(engine, manuscript.recording, manuscript.digest)
    return _apply(changes, manuscript)


def with_named_speakers(engine: Engine, transcript: Transcript) -> Transcript:
    """Return the transcript with the speakers that people named; the words stay the machine's."""
    if not is_corrected(engine, transcript.recording):
        return transcript
    named = load_corrected(engine, Manuscript.of(transcript, None)).state.speakers
    words = [
        replace(word, speaker=named[index][0]) if index in named else word
        for index, word in enumerate(transcript.words)
    ]
    return replace(transcript, words=tuple(words))


def correct(
    engine: Engine,
    manuscript: Manuscript,
    make: Callable[[CorrectedText], Sequence[Draft]],
    *,
    who: str,
    seen: int,
) -> CorrectedText:
    """Record the changes that `make` returns for the current text, and return the text after them.

    `seen` is the version that the person was editing. Raises `CorrectionConflict` and records nothing if a later change
    concerns the same words; `UnusableCorrection` and `UnknownRecording` as `make` and the journal do.
    """
    current: list[CorrectedText] = []

    def drafts(changes: Sequence[Change]) -> list[tuple[Draft, str, datetime | None]]:
        text = _apply(changes, manuscript)
        current.append(text)
        drafts = make(text)
        for draft in drafts:
            if any(text.changed_since(seen, span.first, span.stop) for span in draft.stretches or (draft.where,)):
                raise CorrectionConflict("another person has changed the same words; your change was not saved")
        return [(draft, who, None) for draft in drafts]

    recorded = record(engine, manuscript.recording, manuscript.digest, drafts)
    return _apply([*current[0].changes, *recorded], manuscript) if recorded else current[0]


def _apply(changes: Sequence[Change], manuscript: Manuscript) -> CorrectedText:
    state = replay(changes)
    return CorrectedText(manuscript, tuple(changes), state, apply_changes(manuscript.base, state))
