"""The recordings that are refined in Message Batches: waiting to be handed in, under way, answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import RefinementRequestRow
from transcription_dagster.model import recording_id

_row = RefinementRequestRow.__table__.c
_is_waiting = _row.batch.is_(None) & _row.answered_at.is_(None)


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits to be handed in."""

    recordings: int
    #: Seconds since the first of them was asked for.
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a request."""

    #: The batch that answered, and what came from it; None where nobody was asked.
    batch: str | None
    answers: list[Any] | None
    #: Where nobody was asked: the refinement's status, and why.
    status: str | None
    note: str | None
    #: Digest of each window's request, by `first_stop`.
    asked: dict[str, str]


def ask(engine: Engine, recording: str, fingerprint: str) -> bool:
    """Put a recording among those that wait; False if the same question is under way or answered already.

    One that is answered counts as answered now, so that the run that uses the answers is asked for again.
    """
    values = {"recording": recording_id(recording), "fingerprint": fingerprint}
    afresh = {
        "fingerprint": fingerprint,
        "requested_at": func.now(),
        **dict.fromkeys(("batch", "status", "note", "asked", "answers", "answered_at")),
        "attempts": 0,
        "run_requested": False,
    }
    is_other = or_(_row.fingerprint != fingerprint, _row.status.is_not(None))
    statement = insert(RefinementRequestRow).values(values)
    upsert = statement.on_conflict_do_update(index_elements=["recording"], set_=afresh, where=is_other)
    again = update(RefinementRequestRow).where(_row.recording == values["recording"], _row.answered_at.is_not(None))
    with transaction(engine) as connection:
        is_new = connection.execute(upsert.returning(_row.recording)).first() is not None
        if not is_new:
            connection.execute(again.values(answered_at=func.now(), run_requested=False))
    return is_new


def refuse(engine: Engine, recording: str, fingerprint: str, *, status: str, note: str) -> None:
    """Note that nobody is asked about a recording, and why."""
    values = {"fingerprint": fingerprint, "status": status, "note": note.replace("\0", "")}
    settled = {**values, "batch": None, "answers": None, "answered_at": func.now(), "run_requested": False}
    statement = insert(RefinementRequestRow).values(recording=recording_id(recording), **settled)
    with transaction(engine) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=settled))


def answer_from_kept(engine: Engine, recording: str, fingerprint: str, asked: Mapping[str, str]) -> None:
    """Note that every window of a recording was answered earlier, so that no batch is needed."""
    values = {"fingerprint": fingerprint, "asked": dict(asked), "answers": [], "answered_at": func.now()}
    settled = {**values, "batch": None, "status": None, "note": None, "run_requested": False}
    statement = insert(RefinementRequestRow).values(recording=recording_id(recording), **settled)
    with transaction(engine) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=settled))


def withdraw(engine: Engine, recording: str) -> None:
    """Forget what was asked about a recording, so that the same can be asked again."""
    with transaction(engine) as connection:
        connection.execute(delete(RefinementRequestRow).where(_row.recording == recording_id(recording)))


def queue(engine: Engine) -> Queue:
    """Return how much waits, and for how long."""
    age = func.extract("epoch", func.now() - func.min(_row.requested_at))
    with transaction(engine) as connection:
        count, oldest = connection.execute(select(func.count(), age).where(_is_waiting)).one()
    return Queue(count, float(oldest or 0.0))


def waiting(engine: Engine) -> list[tuple[str, str]]:
    """Return the recordings that wait, with their fingerprints, in the order in which they were asked for."""
    statement = select(_row.recording, _row.fingerprint).where(_is_waiting).order_by(_row.requested_at, _row.recording)
    with transaction(engine) as connection:
        return [(recording, fingerprint) for recording, fingerprint in connection.execute(statement)]


def is_under_way(engine: Engine, recording: str) -> bool:
    """Whether a recording waits to be handed in, or for its answer."""
    statement = select(_row.recording).where(_row.recording == recording_id(recording), _row.answered_at.is_(None))
    with transaction(engine) as connection:
        return connection.execute(statement).first() is not None


def answered(engine: Engine, recording: str) -> Answered | None:
    """Return what came of a recording's request, or None if there is none or it is not answered."""
    columns = (_row.batch, _row.answers, _row.status, _row.note, _row.asked)
    statement = select(*columns).where(_row.recording == recording_id(recording), _row.answered_at.is_not(None))
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Answered(row.batch, row.answers, row.status, row.note, row.asked or {})


def to_use(engine: Engine, limit: int) -> dict[str, datetime]:
    """Return recordings whose answers no run was asked for to use, and since when they are there; oldest first."""
    statement = select(_row.recording, _row.answered_at).where(_row.answered_at.is_not(None), ~_row.run_requested)
    with transaction(engine) as connection:
        rows = connection.execute(statement.order_by(_row.answered_at, _row.recording).limit(limit))
        return {row.recording: row.answered_at for row in rows}


def record_runs(engine: Engine, asked: Mapping[str, datetime]) -> None:
    """Note that runs were asked for; one that was answered anew in between is left out."""
    these = tuple_(_row.recording, _row.answered_at).in_([(recording, when) for recording, when in asked.items()])
    with transaction(engine) as connection:
        connection.execute(update(RefinementRequestRow).where(these).values(run_requested=True))


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A recording in a batch."""

    #: How often it came back unanswered before.
    attempts: int
    #: Digest of each window's request, by `first_stop`.
    asked: dict[str, str]


def under_way(engine: Engine, batch: str) -> dict[str, UnderWay]:
    """Return the recordings of a batch."""
    statement = select(_row.recording, _row.attempts, _row.asked).where(_row.batch == batch)
    with transaction(engine) as connection:
        return {row.recording: UnderWay(row.attempts, row.asked or {}) for row in connection.execute(statement)}
