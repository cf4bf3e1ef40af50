"""Read and correct one recording over the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.changes import Change, Draft
from transcription_dagster.corrections.desk import Corrected, correct, corrected
from transcription_dagster.corrections.drafts import replaced, replacements
from transcription_dagster.corrections.reading import CorrectedTurn, Passage
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.errors import CorrectionConflict, UnusableCorrection
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.web.program_api.operations import Call, Input, Operation
from transcription_dagster.web.reading_room.manuscripts import Manuscripts

#: Changes returned by a history; older ones stay in the journal.
_HISTORY = 500
#: Turns listed in a preview of a replacement.
_PREVIEW = 200

_Name = Field(
    default=None,
    max_length=100,
    description="The person who corrects. A request with a token uses the token's name instead.",
)


class WordModel(BaseModel):
    """A word with its times in seconds; `corrected`: a person wrote it."""

    text: str
    start: float
    end: float
    confidence: float
    #: Attached to the previous word without a space.
    glued: bool
    corrected: bool


class PassageModel(BaseModel):
    """The smallest unit of replacement: the current text of the machine's words `first` up to `stop`."""

    first: int
    stop: int
    text: str
    #: Attached to the previous passage without a space.
    glued: bool
    author: Literal["machine", "refinement", "person"]


class TurnModel(BaseModel):
    """One speaker's paragraph: the current text of the machine's words `first` up to `stop`."""

    first: int
    stop: int
    start: float
    end: float
    speaker: str | None
    text: str
    words: list[WordModel] | None = None
    passages: list[PassageModel] | None = None


class ReadingModel(BaseModel):
    """A recording's current text; `version` is that of the last correction, 0 before the first."""

    recording: str
    version: int
    turns: list[TurnModel]


class ReadingQuery(Input):
    """Which words to return, and whether with their times."""

    first: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=0, description="If unset, up to the end.")
    words: bool = Field(default=False, description="Include the times of each word.")
    passages: bool = Field(default=False, description="Include the passages: the units that are replaced as a whole.")


class CorrectionRequest(Input):
    """A correction of the machine's words `first` up to `stop`, which come from one turn or several."""

    kind: Literal["text", "unintelligible", "restore", "speaker", "split", "join", "undo"]
    first: int = Field(default=0, ge=0)
    stop: int = Field(default=0, ge=0, description="Not used by `split`, `join` and `undo`.")
    text: str = Field(default="", description="For `text`: the new text of the words.")
    speaker: str = Field(default="", description="For `speaker`: the speaker's name.")
    everywhere: bool = Field(default=False, description="For `speaker`: change all turns of the present speaker.")
    undoes: int = Field(default=0, ge=0, description="For `undo`: the version of the change to undo.")
    seen: int = Field(ge=0, description="The version that the corrected text was read at.")
    who: str | None = _Name


class ChangeModel(BaseModel):
    """A change in the history of a recording."""

    version: int
    kind: str
    first: int
    stop: int
    start: float
    end: float
    old: str
    new: str
    heard: str
    who: str
    when: datetime
    undoes: int | None
    #: It was undone.
    undone: bool
    #: Its words are not in the current transcript, so it has no effect.
    lost: bool
    #: No later change concerns its words, so it can be undone.
    can_undo: bool


class CorrectedModel(BaseModel):
    """The recorded changes, and the turns around them as they now read."""

    version: int
    changes: list[ChangeModel]
    turns: list[TurnModel]


class HistoryModel(BaseModel):
    """The last changes, newest first, and those whose words a new transcription no longer has."""

    version: int
    changes: list[ChangeModel]
    lost: list[ChangeModel]


class ReplaceRequest(Input):
    """What to find in the recording, and what replaces it."""

    sought: str = Field(max_length=200)
    new: str = Field(max_length=200)
    match_case: bool = False
    apply: bool = Field(default=False, description="If false, return a preview and change nothing.")
    seen: int = Field(ge=0, description="The version that the preview was made at.")
    who: str | None = _Name


class ReplacementModel(BaseModel):
    """A turn that changes. `parts`: `old` cut at the matches, so every second part is a match."""

    first: int
    stop: int
    start: float
    old: str
    new: str
    count: int
    parts: list[str]


class ReplacedModel(BaseModel):
    """The result of a replacement: `count` places in `turns` turns, of which the first are listed."""

    version: int
    count: int
    turns: int
    replacements: list[ReplacementModel]


@dataclass(frozen=True, slots=True)
class Correcting:
    """Answers the operations about one recording's text."""

    engine: Engine
    manuscripts: Manuscripts

    def operations(self) -> list[Operation]:
        """Return the operations: read, correct, history and replace."""
        one = "/api/recordings/{recording}"
        turns, corrections, replacing = f"{one}/turns", f"{one}/corrections", f"{one}/replacements"
        read, correct = TokenScope.READ, TokenScope.CORRECT
        operations = [
            Operation("GET", turns, read, "Read the text in turns", self.read, ReadingQuery, ReadingModel),
            Operation("GET", corrections, read, "The history of corrections", self.history, None, HistoryModel),
            Operation("POST", corrections, correct, "Correct", self.correct, CorrectionRequest, CorrectedModel),
            Operation("POST", replacing, correct, "Find and replace", self.replace, ReplaceRequest, ReplacedModel),
        ]
        return [replace(operation, shows_everything=True) for operation in operations]

    def read(self, call: Call) -> ReadingModel:
        """Return the turns that hold the requested words."""
        now = self.present(call.recording)
        query: ReadingQuery = call.values
        return ReadingModel(
            recording=call.recording,
            version=now.version,
            turns=[
                turn_model(now, turn, words=query.words, passages=query.passages)
                for turn in now.reading.turns(query.first, query.stop)
            ],
        )

    def history(self, call: Call) -> HistoryModel:
        """Return the history, newest first."""
        now = self.present(call.recording)
        shown = [change for change in reversed(now.changes) if not change.draft.is_lost][:_HISTORY]
        return HistoryModel(
            version=now.version,
            changes=[_change_model(now, change) for change in shown],
            lost=[_change_model(now, change) for change in now.lost],
        )

    def correct(self, call: Call) -> CorrectedModel | Response:
        """Record a correction, or return both versions if another person was faster."""
        wanted: CorrectionRequest = call.values
        manuscript = self.manuscripts.of(call.recording)
        try:
            after = correct(
                self.engine,
                manuscript,
                lambda now: _drafts(now, wanted),
                who=author_of(call, wanted.who),
                seen=wanted.seen,
            )
        except CorrectionConflict as conflict:
            return self._conflict(call.recording, wanted, str(conflict))
        made = [change for change in after.changes if change.version > wanted.seen]
        first, stop = _reach(after, wanted, made)
        return CorrectedModel(
            version=after.version,
            changes=[_change_model(after, change) for change in made],
            turns=[turn_model(after, turn) for turn in after.reading.turns(first, stop)],
        )

    def replace(self, call: Call) -> ReplacedModel:
        """Preview a replacement, or apply it."""
        wanted: ReplaceRequest = call.values
        manuscript = self.manuscripts.of(call.recording)
        now = corrected(self.engine, manuscript)
        found = replacements(now.reading, wanted.sought, wanted.new, match_case=wanted.match_case)
        if wanted.apply:
            now = correct(
                self.engine,
                manuscript,
                lambda present: replaced(
                    present.reading,
                    replacements(present.reading, wanted.sought, wanted.new, match_case=wanted.match_case),
                ),
                who=author_of(call, wanted.who),
                seen=wanted.seen,
            )
        listed = [
            ReplacementModel(
                first=each.first,
                stop=each.stop,
                start=each.start,
                old=each.old,
                new=each.new,
                count=each.count,
                parts=list(each.parts),
            )
            for each in found[:_PREVIEW]
        ]
        count = sum(each.count for each in found)
        return ReplacedModel(version=now.version, count=count, turns=len(found), replacements=listed)

    def present(self, recording: str) -> Corrected:
        """Return the recording as it reads now."""
        return self.manuscripts.corrected(self.engine, recording)

    def _conflict(self, recording: str, wanted: CorrectionRequest, complaint: str) -> Response:
        now = self.present(recording)
        stop = max(wanted.stop, wanted.first + 1)
        later = [change for change in now.changes if change.version > wanted.seen]
        since = [each for each in later if each.draft.where.first < stop and each.draft.where.stop > wanted.first]
        theirs = CorrectedModel(
            version=now.version,
            changes=[_change_model(now, change) for change in since],
            turns=[turn_model(now, turn) for turn in now.reading.turns(wanted.first, stop)],
        )
        return JSONResponse({"error": complaint, "yours": wanted.text, "theirs": theirs.model_dump(mode="json")}, 409)


def turn_model(now: Corrected, turn: CorrectedTurn, *, words: bool = False, passages: bool = False) -> TurnModel:
    """Return a turn for the API."""
    where = now.reading.stretch(turn.first, turn.stop)
    listed = [
        WordModel(
            text=word.text,
            start=word.start,
            end=word.end,
            confidence=word.confidence,
            glued=word.glued,
            corrected=word.corrected,
        )
        for passage in (turn.passages if words else ())
        for word in passage.words
    ]
    return TurnModel(
        first=turn.first,
        stop=turn.stop,
        start=where.start,
        end=where.end,
        speaker=turn.speaker,
        text=turn.text,
        words=listed if words else None,
        passages=[_passage_model(passage) for passage in turn.passages] if passages else None,
    )


def _passage_model(passage: Passage) -> PassageModel:
    return PassageModel(
        first=passage.first,
        stop=passage.stop,
        text=join_words(passage.words),
        glued=bool(passage.words) and passage.words[0].glued,
        author=passage.author.value,
    )


def _drafts(now: Corrected, wanted: CorrectionRequest) -> Sequence[Draft]:
    reading, first, stop = now.reading, wanted.first, wanted.stop
    match wanted.kind:
        case "text":
            return drafts.retyped(reading, first, stop, wanted.text)
        case "unintelligible":
            return drafts.marked_unintelligible(reading, first, stop)
        case "restore":
            return drafts.restored(reading, now.state, first, stop)
        case "speaker":
            return drafts.named(reading, first, stop, wanted.speaker, everywhere=wanted.everywhere)
        case "split":
            return drafts.split(reading, first)
        case "join":
            return drafts.joined(reading, first)
        case "undo":
            change = now.change(wanted.undoes)
            if change is None:
                raise UnusableCorrection(f"there is no change {wanted.undoes} of the present transcript")
            return drafts.undone(reading, now.state, change.draft, change.version)


def _reach(after: Corrected, wanted: CorrectionRequest, made: Sequence[Change]) -> tuple[int, int]:
    """Return the words whose turns may look different now, including the previous and the next turn."""
    ranges = [(place.first, place.stop) for change in made for place in change.draft.stretches or (change.draft.where,)]
    if wanted.kind != "undo":
        ranges.append((wanted.first, max(wanted.stop, wanted.first + 1)))
    first, stop = min(first for first, _ in ranges), max(stop for _, stop in ranges)
    return max(0, first - 1), min(len(after.reading.words), stop + 1)


def _change_model(now: Corrected, change: Change) -> ChangeModel:
    draft = change.draft
    undone = change.version in now.state.undone
    return ChangeModel(
        version=change.version,
        kind=draft.kind,
        first=draft.where.first,
        stop=draft.where.stop,
        start=draft.where.start,
        end=draft.where.end,
        old=draft.old,
        new=draft.new,
        heard=draft.heard,
        who=change.who,
        when=change.when,
        undoes=draft.undoes,
        undone=undone,
        lost=draft.is_lost,
        can_undo=not undone and now.state.is_untouched_since(change.version),
    )


def author_of(call: Call, said: str | None) -> str:
    """Return the author of a change: the token's name, otherwise the name that the person gave."""
    if call.access.program is not None:
        return call.access.program
    name = " ".join((said or "").split())
    return name if name.isprintable() and name else "unnamed"
