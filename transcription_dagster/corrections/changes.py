"""People's changes of a transcript: an append-only list of entries, and the state that they amount to.

The machine's transcript never changes. Every entry names words of it by their index, so an entry can be read without
the ones before it, and an undone entry needs no rewriting: an undo is one more entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from transcription_dagster.model import Word

#: What stands in the text where nobody understands the speaker.
UNINTELLIGIBLE = "[unintelligible]"


class Kind(StrEnum):
    """What a change does to the words `first` up to `stop`."""

    #: `new` replaces their text.
    TEXT = "text"
    #: The words cannot be understood: `UNINTELLIGIBLE` replaces them.
    UNINTELLIGIBLE = "unintelligible"
    #: The machine's words come back.
    RESTORE = "restore"
    #: `new` is the speaker of all words in `stretches`.
    SPEAKER = "speaker"
    #: A turn begins at the word `first`.
    SPLIT = "split"
    #: No turn begins at the word `first`: it belongs to the turn before it.
    JOIN = "join"
    #: The words are again as they were before the change `undoes`.
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Words `first` up to `stop`, spoken from `start` to `end` (seconds)."""

    first: int
    stop: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A change before it is recorded: what it does, without who made it and when."""

    kind: Kind
    #: The machine's words that it is about.
    where: Stretch
    #: What the person saw there, and what they want there: a text, or a speaker.
    old: str = ""
    new: str = ""
    #: The machine's words there, as text.
    heard: str = ""
    #: Of a change of speaker: all stretches that it reaches.
    stretches: tuple[Stretch, ...] = ()
    #: Of an undo: the version of the change that it takes back.
    undoes: int | None = None
    #: The version of the change, made on an earlier transcript, that this one repeats on the present transcript.
    carried_from: int | None = None
    #: The words of the earlier transcript are not in the present one: the change has no effect and waits for a person.
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
    """One value that a change set: in which layer, at which word, and what was there before and after."""

    layer: str
    word: int
    before: Hashable
    after: Hashable


@dataclass
class State:
    """What all changes together say about the words; a word that no layer mentions is as the machine has it."""

    #: Word -> the change whose text stands in its place.
    texts: dict[int, Change] = field(default_factory=dict)
    #: Word -> (speaker, version of the change).
    speakers: dict[int, tuple[str, int]] = field(default_factory=dict)
    #: Word -> (whether a turn begins there, version of the change).
    breaks: dict[int, tuple[bool, int]] = field(default_factory=dict)
    #: Versions of changes that are undone.
    undone: set[int] = field(default_factory=set)
    #: Version of the last change.
    version: int = 0
    _patches: dict[int, tuple[_Patch, ...]] = field(default_factory=dict)

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
        """Whether everything that a change set is still as it set it, so that the change can be undone."""
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
        """An undo marks its change as undone; the undo of an undo brings that change back."""
        undoes = change.draft.undoes
        if change.draft.kind is not Kind.UNDO or undoes is None:
            return
        self.undone.add(undoes)
        self.undone.discard(self._undoes.get(undoes, 0))
        self._undoes[change.version] = undoes

    #: Version of an undo -> version of the change that it took back.
    _undoes: dict[int, int] = field(default_factory=dict)


def replay(changes: Iterable[Change]) -> State:
    """The state after all changes, which come in the order of their versions."""
    state = State()
    for change in changes:
        state.apply(change)
    return state


def words_digest(words: Sequence[Word]) -> str:
    """A digest of the machine's words and times, SHA-256 in hexadecimal; speakers do not count.

    Changes name words by index, so they belong to the transcript with this digest.
    """
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word.text}\t{word.start:.3f}\t{word.end:.3f}\t{word.glued}\n".encode())
    return digest.hexdigest()
