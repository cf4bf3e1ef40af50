"""People's changes of a transcript: an append-only list of entries, and the state that they produce.

The machine's transcript never changes. Every entry refers to the machine's words by index, so it can be read without
the entries before it. Undoing adds an entry instead of changing one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from transcription_dagster.model import Word

#: Text that stands for speech that cannot be understood.
UNINTELLIGIBLE = "[unintelligible]"


class Kind(StrEnum):
    """What a change does to the words `first` up to `stop`."""

    #: `new` replaces their text.
    TEXT = "text"
    #: The words cannot be understood: `UNINTELLIGIBLE` replaces them.
    UNINTELLIGIBLE = "unintelligible"
    #: Restores the machine's words.
    RESTORE = "restore"
    #: `new` is the speaker of all words in `stretches`.
    SPEAKER = "speaker"
    #: A turn begins at the word `first`.
    SPLIT = "split"
    #: No turn begins at the word `first`: it belongs to the turn before it.
    JOIN = "join"
    #: Restores the words to their state before the change `undoes`.
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class WordRange:
    """Words `first` up to `stop`, spoken from `start` to `end` (seconds)."""

    first: int
    stop: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A change before it is recorded: what it does, without author and time."""

    kind: Kind
    #: The machine's words that it concerns.
    where: WordRange
    #: The text or speaker before the change and after it.
    old: str = ""
    new: str = ""
    #: The machine's words in `where`, as text.
    heard: str = ""
    #: For a change of speaker: all stretches that it covers.
    stretches: tuple[WordRange, ...] = ()
    #: For an undo: the version of the change that it undoes.
    undoes: int | None = None
    #: The version of the change, made on an earlier transcript, that this one repeats on the current transcript.
    carried_from: int | None = None
    #: The words of the earlier transcript are not in the current one: the change has no effect until a person decides.
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded change. Versions count from 1 within a recording, without gaps."""

    version: int
    draft: Draft
    who: str
    when: datetime


@dataclass(frozen=True, slots=True)
class _Patch:
    """One value set by a change: the layer, the word, and the values before and after."""

    layer: str
    word: int
    before: Hashable
    after: Hashable


@dataclass
class ChangedWords:
    """The combined effect of all changes on the words; words that are in none of the layers are unchanged."""

    #: Word -> the change whose text replaces it.
    texts: dict[int, Change] = field(default_factory=dict)
    #: Word -> (speaker, version of the change).
    speakers: dict[int, tuple[str, int]] = field(default_factory=dict)
    #: Word -> (whether a turn begins there, version of the change).
    breaks: dict[int, tuple[bool, int]] = field(default_factory=dict)
    #: Versions of undone changes.
    undone: set[int] = field(default_factory=set)
    #: Version of the last change.
    version: int = 0
    _patches: dict[int, tuple[_Patch, ...]] = field(default_factory=dict)
    #: Version of an undo -> version of the change that it undid.
    _undoes: dict[int, int] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Apply the next change. Lost changes have no effect."""
        self.version = change.version
        patches = () if change.draft.is_lost else tuple(self._patches_of(change))
        for patch in patches:
            layer: dict[int, Any] = getattr(self, patch.layer)
            if patch.after is None:
                layer.pop(patch.word, None)
            else:
                layer[patch.word] = patch.after
        self._patches[change.version] = patches
        self._note_undone(change)

    def is_untouched_since(self, version: int) -> bool:
        """Return whether every value that a change set is unchanged since, so that the change can be undone."""
        patches = self._patches.get(version)
        return patches is not None and all(
            getattr(self, patch.layer).get(patch.word) == patch.after for patch in patches
        )

    def _patches_of(self, change: Change) -> Iterable[_Patch]:
        draft = change.draft
        words = range(draft.where.first, draft.where.stop)
        match draft.kind:
            case Kind.TEXT | Kind.UNINTELLIGIBLE:
                return [_Patch("texts", word, self.texts.get(word), change) for word in words]
            case Kind.RESTORE:
                return [_Patch("texts", word, self.texts[word], None) for word in words if word in self.texts]
            case Kind.SPEAKER:
                return self._speaker_patches(change)
            case Kind.SPLIT | Kind.JOIN:
                value = (draft.kind is Kind.SPLIT, change.version)
                first = draft.where.first
                return [_Patch("breaks", first, self.breaks.get(first), value), *self._speaker_patches(change)]
            case Kind.UNDO:
                undone = self._patches.get(draft.undoes or 0, ())
                return [_Patch(patch.layer, patch.word, patch.after, patch.before) for patch in undone]

    def _speaker_patches(self, change: Change) -> list[_Patch]:
        value = (change.draft.new, change.version)
        return [
            _Patch("speakers", word, self.speakers.get(word), value)
            for stretch in change.draft.stretches
            for word in range(stretch.first, stretch.stop)
        ]

    def _note_undone(self, change: Change) -> None:
        """Record an undo: its change is undone; undoing an undo restores that change."""
        undoes = change.draft.undoes
        if change.draft.kind is not Kind.UNDO or undoes is None:
            return
        self.undone.add(undoes)
        self.undone.discard(self._undoes.get(undoes, 0))
        self._undoes[change.version] = undoes


def replay(changes: Iterable[Change]) -> ChangedWords:
    """Return the state after all changes, given in the order of their versions."""
    state = ChangedWords()
    for change in changes:
        state.apply(change)
    return state


def words_digest(words: Sequence[Word]) -> str:
    """Return a SHA-256 digest (hexadecimal) of the machine's words and times; speakers do not count.

    Changes refer to words by index, so they belong to the transcript with this digest.
    """
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word.text}\t{word.start:.3f}\t{word.end:.3f}\t{word.glued}\n".encode())
    return digest.hexdigest()
