"""Requests to refine recordings in Message Batches: waiting, submitted, answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql

from transcription_dagster.database.claude_tables import RefinementRequestRow
from transcription_dagster.database.connection import transaction
from transcription_dagster.model import recording_id

_row = RefinementRequestRow.__table__.c
_is_waiting = _row.batch.is_(None) & _row.answered_at.is_(None)


@dataclass(frozen=True, slots=True)
class Queue:
    """The requests that wait for submission."""

    recordings: int
    #: Age of the oldest request in seconds.
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The outcome of a request."""

    #: The batch that answered, and its results; None if Claude was not asked.
    batch: str | None
    answers: list[Any] | None
    #: If Claude was not asked: the refinement's status and the reason.
    status: str | None
    note: str | None
    #: Digest of each window's request, by `first_stop`.
    asked: dict[str, str]


def ask(engine: Engine, recording: str, fingerprint: str) -> bool:
    """Queue a recording; return False if the same request is already submitted or answered.

    An answered one is marked as answered now, so that the run that uses the answers is requested again.
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
    statement = postgresql.insert(RefinementRequestRow).values(values)
    upsert = statement.on_conflict_do_update(index_elements=["recording"], set_=afresh, where=is_other)
    again = update(RefinementRequestRow).where(_row.recording == values["recording"], _row.answered_at.is_not(None))
    with transaction(engine) as connection:
        is_new = connection.execute(upsert.returning(_row.recording)).first() is not None
        if not is_new:
            connection.execute(again.values(answered_at=func.now(), run_requested=False))
    return is_new


def refuse(engine: Engine, recording: str, fingerprint: str, *, status: str, note: str) -> None:
    """Record that Claude will not be asked about a recording, with the reason."""
    values = {"fingerprint": fingerprint, "status": status, "note": note.replace("\0", "")}
    settled = {**values, "batch": None, "answers": None, "answered_at": func.now(), "run_requested": False}
    statement = postgresql.insert(RefinementRequestRow).values(recording=recording_id(recording), **settled)
    with transaction(engine) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=settled))


def answer_from_kept(engine: Engine, recording: str, fingerprint: str, asked: Mapping[str, str]) -> None:
    """Record that every window of a recording was answered earlier, so that no batch is needed."""
    values = {"fingerprint": fingerprint, "asked": dict(asked), "answers": [], "answered_at": func.now()}
    settled = {**values, "batch": None, "status": None, "note": None, "run_requested": False}
    statement = postgresql.insert(RefinementRequestRow).values(recording=recording_id(recording), **settled)
    with transaction(engine) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=settled))


def withdraw(engine: Engine, recording: str) -> None:
    """Delete a recording's request, so that the same one can be made again."""
    with transaction(engine) as connection:
        connection.execute(delete(RefinementRequestRow).where(_row.recording == recording_id(recording)))


def queue(engine: Engine) -> Queue:
    """Return the size and age of the queue."""
    age = func.extract("epoch", func.now() - func.min(_row.requested_at))
    with transaction(engine) as connection:
        count, oldest = connection.execute(select(func.count(), age).where(_is_waiting)).one()
    return Queue(count, float(oldest or 0.0))


def waiting(engine: Engine) -> list[tuple[str, str]]:
    """Return the waiting recordings and their fingerprints, in order of request."""
    statement = select(_row.recording, _row.fingerprint).where(_is_waiting).order_by(_row.requested_at, _row.recording)
    with transaction(engine) as connection:
        return [(recording, fingerprint) for recording, fingerprint in connection.execute(statement)]


def is_in_progress(engine: Engine, recording: str) -> bool:
    """Return whether a recording waits for submission or for its answer."""
    statement = select(_row.recording).where(_row.recording == recording_id(recording), _row.answered_at.is_(None))
    with transaction(engine) as connection:
        return connection.execute(statement).first() is not None


def answered(engine: Engine, recording: str) -> Answered | None:
    """Return the outcome of a recording's request, or None if there is no answered request."""
    columns = (_row.batch, _row.answers, _row.status, _row.note, _row.asked)
    statement = select(*columns).where(_row.recording == recording_id(recording), _row.answered_at.is_not(None))
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Answered(row.batch, row.answers, row.status, row.note, row.asked or {})


def to_use(engine: Engine, limit: int) -> dict[str, datetime]:
    """Return answered recordings for which no run was requested yet, with the time of the answer, oldest first."""
    statement = select(_row.recording, _row.answered_at).where(_row.answered_at.is_not(None), ~_row.run_requested)
    with transaction(engine) as connection:
        rows = connection.execute(statement.order_by(_row.answered_at, _row.recording).limit(limit))
        return {row.recording: row.answered_at for row in rows}


def record_runs(engine: Engine, asked: Mapping[str, datetime]) -> None:
    """Record that runs were requested, except for recordings answered again in between."""
    these = tuple_(_row.recording, _row.answered_at).in_([(recording, when) for recording, when in asked.items()])
    with transaction(engine) as connection:
        connection.execute(update(RefinementRequestRow).where(these).values(run_requested=True))


@dataclass(frozen=True, slots=True)
class SubmittedRecording:
    """A recording in a submitted batch."""

    #: Number of earlier batches that did not answer it.
    attempts: int
    #: Digest of each window's request, by `first_stop`.
    asked: dict[str, str]


def submitted_recordings_of(engine: Engine, batch: str) -> dict[str, SubmittedRecording]:
    """Return the recordings of a batch."""
    statement = select(_row.recording, _row.attempts, _row.asked).where(_row.batch == batch)
    with transaction(engine) as connection:
        return {
            row.recording: SubmittedRecording(row.attempts, row.asked or {}) for row in connection.execute(statement)
        }
