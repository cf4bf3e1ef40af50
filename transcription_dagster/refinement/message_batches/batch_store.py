"""Message Batches in the database: the requests to refine recordings, and the batches that hold them.

A request waits, is submitted, and is answered; a batch is intended, submitted and collected. Each step is one
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql

from transcription_dagster.database.claude_tables import (
    ClaudeBatchRow,
    ClaudeReservationRow,
    RefinementRequestRow,
)
from transcription_dagster.database.connection import session_lock, transaction
from transcription_dagster.errors import DatabaseUnavailable
from transcription_dagster.model import recording_id
from transcription_dagster.refinement.answer_store import PaidReply, record_reply

_batch = ClaudeBatchRow.__table__.c
_request = RefinementRequestRow.__table__.c
_reserved = ClaudeReservationRow.__table__.c

#: Arbitrary key of the advisory lock that serialises submissions.
_EXCHANGE_LOCK = 0x7261_6E73_6261_7463


@dataclass(frozen=True, slots=True)
class UnconfirmedBatch:
    """A batch that the API may or may not have received."""

    id: str
    state: dict[str, Any]
    announced_at: datetime
    #: Time since the intent was recorded.
    age: timedelta


def exchange_lock(engine: Engine) -> AbstractContextManager[bool]:
    """Try to be the only process that exchanges batches with the API during the block; yields whether it is."""
    return session_lock(engine, _EXCHANGE_LOCK)


def record_intent(
    engine: Engine, batch: str, state: Mapping[str, Any], digests: Mapping[str, Mapping[str, str]], holder: int
) -> None:
    """Record the intent to submit a batch, under an id of our own.

    `digests` are those of each window's request, by recording. The batch's dollars count as committed from now on,
    and the reservations of `holder` for its recordings are released.

    Raises `DatabaseUnavailable`, without recording anything, if one of the recordings no longer waits: this process
    lost its lock and another one submits too, or the recording was forgotten.
    """
    waiting = update(RefinementRequestRow).where(
        _request.recording == bindparam("key"), _request.batch.is_(None), _request.answered_at.is_(None)
    )
    waiting = waiting.values(batch=batch, asked=bindparam("windows"))
    reserved = delete(ClaudeReservationRow).where(_reserved.holder == holder, _reserved.recording.in_(list(digests)))
    with transaction(engine) as connection:
        connection.execute(insert(ClaudeBatchRow).values(id=batch, state=dict(state), handing_in=True))
        for recording, windows in digests.items():
            if not connection.execute(waiting, {"key": recording, "windows": dict(windows)}).rowcount:
                raise DatabaseUnavailable(f"{recording} no longer waits for the batch; the next exchange tries again")
        connection.execute(reserved)


def unconfirmed(engine: Engine) -> list[UnconfirmedBatch]:
    """Return the batches with a recorded intent but no outcome, oldest first."""
    statement = select(_batch.id, _batch.state, _batch.submitted_at, func.now() - _batch.submitted_at)
    with transaction(engine) as connection:
        rows = connection.execute(statement.where(_batch.handing_in).order_by(_batch.submitted_at))
        return [UnconfirmedBatch(*row) for row in rows]


def record_submission(engine: Engine, intent_id: str, batch: str, state: Mapping[str, Any]) -> None:
    """Record that the API accepted the intended batch under the id `batch`.

    If another process found nothing and discarded the intent, the batch is recorded nevertheless: it is paid for, and
    its replies are kept.
    """
    values = {"id": batch, "state": dict(state), "handing_in": False}
    statement = update(ClaudeBatchRow).where(_batch.handing_in, _batch.id == intent_id)
    with transaction(engine) as connection:
        if not connection.execute(statement.values(values)).rowcount:
            connection.execute(postgresql.insert(ClaudeBatchRow).values(values).on_conflict_do_nothing())


def discard_intent(engine: Engine, intent_id: str) -> None:
    """Record that the API does not have the intended batch: its recordings wait again."""
    with transaction(engine) as connection:
        connection.execute(update(RefinementRequestRow).where(_request.batch == intent_id).values(batch=None))
        connection.execute(delete(ClaudeBatchRow).where(_batch.handing_in, _batch.id == intent_id))


def pending(engine: Engine) -> list[dict[str, Any]]:
    """Return the states of submitted, uncollected batches, oldest first."""
    statement = select(_batch.state).where(~_batch.handing_in, _batch.collected_at.is_(None))
    with transaction(engine) as connection:
        return list(connection.execute(statement.order_by(_batch.submitted_at, _batch.id)).scalars())


def find(engine: Engine, batch: str) -> dict[str, Any] | None:
    """Return the state of a batch, or None if the id is unknown."""
    with transaction(engine) as connection:
        return connection.execute(select(_batch.state).where(_batch.id == batch)).scalar_one_or_none()


def known(engine: Engine, batches: Collection[str]) -> set[str]:
    """Return the ids that belong to known batches."""
    with transaction(engine) as connection:
        return set(connection.execute(select(_batch.id).where(_batch.id.in_(batches))).scalars())


def collect(
    engine: Engine,
    batch: str,
    answers: Mapping[str, list[Any]],
    *,
    again: Collection[str],
    paid: Iterable[PaidReply],
) -> None:
    """Store a batch's answers by recording and their cost; the recordings in `again` wait for the next batch.

    Does nothing if the batch is already collected.
    """
    answer = update(RefinementRequestRow).where(_request.recording == bindparam("key"), _request.batch == batch)
    answer = answer.values(answers=bindparam("results"), answered_at=func.now(), run_requested=False)
    once_more = update(RefinementRequestRow).where(_request.recording.in_(again), _request.batch == batch)
    once_more = once_more.values(batch=None, attempts=_request.attempts + 1)
    with transaction(engine) as connection:
        closed = update(ClaudeBatchRow).where(_batch.id == batch, _batch.collected_at.is_(None))
        if not connection.execute(closed.values(collected_at=func.now())).rowcount:
            return
        for recording, results in answers.items():
            connection.execute(answer, {"key": recording, "results": results})
        connection.execute(once_more)
        for reply in paid:
            record_reply(connection, reply)


_is_waiting = _request.batch.is_(None) & _request.answered_at.is_(None)


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


def enqueue(engine: Engine, recording: str, fingerprint: str) -> bool:
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
    is_other = or_(_request.fingerprint != fingerprint, _request.status.is_not(None))
    statement = postgresql.insert(RefinementRequestRow).values(values)
    upsert = statement.on_conflict_do_update(index_elements=["recording"], set_=afresh, where=is_other)
    again = update(RefinementRequestRow).where(
        _request.recording == values["recording"], _request.answered_at.is_not(None)
    )
    with transaction(engine) as connection:
        is_new = connection.execute(upsert.returning(_request.recording)).first() is not None
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


def answer_from_paid_replies(engine: Engine, recording: str, fingerprint: str, digests: Mapping[str, str]) -> None:
    """Record that every window of a recording was answered earlier, so that no batch is needed."""
    values = {"fingerprint": fingerprint, "asked": dict(digests), "answers": [], "answered_at": func.now()}
    settled = {**values, "batch": None, "status": None, "note": None, "run_requested": False}
    statement = postgresql.insert(RefinementRequestRow).values(recording=recording_id(recording), **settled)
    with transaction(engine) as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=settled))


def cancel(engine: Engine, recording: str) -> None:
    """Delete a recording's request, so that the same one can be made again."""
    with transaction(engine) as connection:
        connection.execute(delete(RefinementRequestRow).where(_request.recording == recording_id(recording)))


def queue(engine: Engine) -> Queue:
    """Return the size and age of the queue."""
    age = func.extract("epoch", func.now() - func.min(_request.requested_at))
    with transaction(engine) as connection:
        count, oldest = connection.execute(select(func.count(), age).where(_is_waiting)).one()
    return Queue(count, float(oldest or 0.0))


def waiting(engine: Engine) -> list[tuple[str, str]]:
    """Return the waiting recordings and their fingerprints, in order of request."""
    statement = (
        select(_request.recording, _request.fingerprint)
        .where(_is_waiting)
        .order_by(_request.requested_at, _request.recording)
    )
    with transaction(engine) as connection:
        return [(recording, fingerprint) for recording, fingerprint in connection.execute(statement)]


def is_in_progress(engine: Engine, recording: str) -> bool:
    """Return whether a recording waits for submission or for its answer."""
    statement = select(_request.recording).where(
        _request.recording == recording_id(recording), _request.answered_at.is_(None)
    )
    with transaction(engine) as connection:
        return connection.execute(statement).first() is not None


def is_submitted(engine: Engine, recording: str, digests: Collection[str]) -> bool:
    """Return whether all these requests of a recording, by digest, are in a batch that is not answered yet."""
    statement = select(_request.asked).where(
        _request.recording == recording_id(recording), _request.batch.is_not(None), _request.answered_at.is_(None)
    )
    with transaction(engine) as connection:
        submitted = connection.execute(statement).scalar_one_or_none()
    return set(digests) <= set((submitted or {}).values())


def answered(engine: Engine, recording: str) -> Answered | None:
    """Return the outcome of a recording's request, or None if there is no answered request."""
    columns = (_request.batch, _request.answers, _request.status, _request.note, _request.asked)
    statement = select(*columns).where(_request.recording == recording_id(recording), _request.answered_at.is_not(None))
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Answered(row.batch, row.answers, row.status, row.note, row.asked or {})


def unused_answers(engine: Engine, limit: int) -> dict[str, datetime]:
    """Return answered recordings for which no run was requested yet, with the time of the answer, oldest first."""
    statement = select(_request.recording, _request.answered_at).where(
        _request.answered_at.is_not(None), ~_request.run_requested
    )
    with transaction(engine) as connection:
        rows = connection.execute(statement.order_by(_request.answered_at, _request.recording).limit(limit))
        return {row.recording: row.answered_at for row in rows}


def record_runs(engine: Engine, answered_at: Mapping[str, datetime]) -> None:
    """Record that runs were requested, except for recordings answered again in between."""
    these = tuple_(_request.recording, _request.answered_at).in_(
        [(recording, when) for recording, when in answered_at.items()]
    )
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
    statement = select(_request.recording, _request.attempts, _request.asked).where(_request.batch == batch)
    with transaction(engine) as connection:
        return {
            row.recording: SubmittedRecording(row.attempts, row.asked or {}) for row in connection.execute(statement)
        }
