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
from transcription_dagster.corrections.drafts import Replacement, find_replacements, replace_all
from transcription_dagster.corrections.manuscript import CorrectedText, correct, load_corrected
from transcription_dagster.corrections.reading import CorrectedTurn, Passage
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.errors import CorrectionConflict, UnusableCorrection
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.web.program_api.operations import Call, Input, Operation
from transcription_dagster.web.reading_room.archive import Manuscripts

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
    """The words to return, and how much detail."""

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
    everywhere: bool = Field(default=False, description="For `speaker`: change all turns of the current speaker.")
    undoes: int = Field(default=0, ge=0, description="For `undo`: the version of the change to undo.")
    seen: int = Field(ge=0, description="The version of the corrected text that the caller has read.")
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
    #: Whether it was undone.
    undone: bool
    #: Whether it has no effect because its words are not in the current transcript.
    lost: bool
    #: Whether it can be undone: no later change concerns its words.
    can_undo: bool


class CorrectedModel(BaseModel):
    """The recorded changes, and the current text of the turns around them."""

    version: int
    changes: list[ChangeModel]
    turns: list[TurnModel]


class HistoryModel(BaseModel):
    """The last changes, newest first, and those whose words a new transcription no longer has."""

    version: int
    changes: list[ChangeModel]
    lost: list[ChangeModel]


class ReplaceRequest(Input):
    """The text to find in the recording, and its replacement."""

    sought: str = Field(max_length=200)
    new: str = Field(max_length=200)
    match_case: bool = False
    apply: bool = Field(default=False, description="If false, return a preview and change nothing.")
    seen: int = Field(ge=0, description="The version of the corrected text in the preview.")
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
    """The operations on one recording's text: read, correct, history and replace."""

    engine: Engine
    manuscripts: Manuscripts

    def operations(self) -> list[Operation]:
        """Return the operations."""
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
        text = self.current(call.recording)
        query: ReadingQuery = call.values
        return ReadingModel(
            recording=call.recording,
            version=text.version,
            turns=[
                _turn_model(text, turn, words=query.words, passages=query.passages)
                for turn in text.reading.turns(query.first, query.stop)
            ],
        )

    def history(self, call: Call) -> HistoryModel:
        """Return the history, newest first."""
        text = self.current(call.recording)
        newest = [change for change in reversed(text.changes) if not change.draft.is_lost][:_HISTORY]
        return HistoryModel(
            version=text.version,
            changes=[_change_model(text, change) for change in newest],
            lost=[_change_model(text, change) for change in text.lost],
        )

    def correct(self, call: Call) -> CorrectedModel | Response:
        """Record a correction. On a conflict with another person's change, return both versions with status 409."""
        values: CorrectionRequest = call.values
        manuscript = self.manuscripts.of(call.recording)
        try:
            text = correct(
                self.engine,
                manuscript,
                lambda current: _drafts(current, values),
                who=author_of(call, values.who),
                seen=values.seen,
            )
        except CorrectionConflict as conflict:
            return self._conflict(call.recording, values, str(conflict))
        new = [change for change in text.changes if change.version > values.seen]
        first, stop = _affected_words(text, values, new)
        return CorrectedModel(
            version=text.version,
            changes=[_change_model(text, change) for change in new],
            turns=[_turn_model(text, turn) for turn in text.reading.turns(first, stop)],
        )

    def replace(self, call: Call) -> ReplacedModel:
        """Preview a replacement, or apply it."""
        values: ReplaceRequest = call.values
        manuscript = self.manuscripts.of(call.recording)

        def matches(text: CorrectedText) -> list[Replacement]:
            return find_replacements(text.reading, values.sought, values.new, match_case=values.match_case)

        text = load_corrected(self.engine, manuscript)
        replaced_turns = matches(text)
        if values.apply:
            text = correct(
                self.engine,
                manuscript,
                lambda current: replace_all(current.reading, matches(current)),
                who=author_of(call, values.who),
                seen=values.seen,
            )
        return ReplacedModel(
            version=text.version,
            count=sum(turn.count for turn in replaced_turns),
            turns=len(replaced_turns),
            replacements=[_replacement_model(turn) for turn in replaced_turns[:_PREVIEW]],
        )

    def current(self, recording: str) -> CorrectedText:
        """Return a recording's text with all corrections so far."""
        return self.manuscripts.corrected(self.engine, recording)

    def _conflict(self, recording: str, values: CorrectionRequest, complaint: str) -> Response:
        text = self.current(recording)
        stop = max(values.stop, values.first + 1)
        conflicting = [
            change
            for change in text.changes
            if change.version > values.seen
            and change.draft.where.first < stop
            and change.draft.where.stop > values.first
        ]
        theirs = CorrectedModel(
            version=text.version,
            changes=[_change_model(text, change) for change in conflicting],
            turns=[_turn_model(text, turn) for turn in text.reading.turns(values.first, stop)],
        )
        return JSONResponse({"error": complaint, "yours": values.text, "theirs": theirs.model_dump(mode="json")}, 409)


def _replacement_model(turn: Replacement) -> ReplacementModel:
    return ReplacementModel(
        first=turn.first,
        stop=turn.stop,
        start=turn.start,
        old=turn.old,
        new=turn.new,
        count=turn.count,
        parts=list(turn.parts),
    )


def _turn_model(text: CorrectedText, turn: CorrectedTurn, *, words: bool = False, passages: bool = False) -> TurnModel:
    span = text.reading.stretch(turn.first, turn.stop)
    word_models = [
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
        start=span.start,
        end=span.end,
        speaker=turn.speaker,
        text=turn.text,
        words=word_models if words else None,
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


def _drafts(text: CorrectedText, values: CorrectionRequest) -> Sequence[Draft]:
    reading, first, stop = text.reading, values.first, values.stop
    match values.kind:
        case "text":
            return drafts.retype(reading, first, stop, values.text)
        case "unintelligible":
            return drafts.mark_unintelligible(reading, first, stop)
        case "restore":
            return drafts.restore(reading, text.state, first, stop)
        case "speaker":
            return drafts.set_speaker(reading, first, stop, values.speaker, everywhere=values.everywhere)
        case "split":
            return drafts.split_turn(reading, first)
        case "join":
            return drafts.join_turns(reading, first)
        case "undo":
            change = text.change(values.undoes)
            if change is None:
                raise UnusableCorrection(f"there is no change {values.undoes} of the current transcript")
            return drafts.undo(reading, text.state, change.draft, change.version)


def _affected_words(text: CorrectedText, values: CorrectionRequest, changes: Sequence[Change]) -> tuple[int, int]:
    """Return the range of words whose turns may have changed, including the previous and the next turn."""
    spans = [span for change in changes for span in change.draft.stretches or (change.draft.where,)]
    ranges = [(span.first, span.stop) for span in spans]
    if values.kind != "undo":
        ranges.append((values.first, max(values.stop, values.first + 1)))
    first, stop = min(first for first, _ in ranges), max(stop for _, stop in ranges)
    return max(0, first - 1), min(len(text.reading.words), stop + 1)


def _change_model(text: CorrectedText, change: Change) -> ChangeModel:
    draft = change.draft
    undone = change.version in text.state.undone
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
        can_undo=not undone and text.state.is_untouched_since(change.version),
    )


def author_of(call: Call, who: str | None) -> str:
    """Return the author of a change: the token's name, otherwise the name `who` that the person entered."""
    if call.access.program is not None:
        return call.access.program
    name = " ".join((who or "").split())
    return name if name.isprintable() and name else "unnamed"
