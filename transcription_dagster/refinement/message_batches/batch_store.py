"""The Message Batches in progress: intended, submitted, collected. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Update, bindparam, delete, func, insert, select, update

from transcription_dagster.database.claude_tables import (
    ClaudeBatchRow,
    ClaudeReservationRow,
    RefinementRequestRow,
    SpendingRow,
)
from transcription_dagster.database.connection import session_lock, transaction
from transcription_dagster.errors import DatabaseUnavailable
from transcription_dagster.refinement.answer_store import PaidReply, enter_reply

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
    #: Age in seconds.
    age: timedelta


def exchange_lock(engine: Engine) -> AbstractContextManager[bool]:
    """Try to be the only process that exchanges batches with the API during the block; yields whether it is."""
    return session_lock(engine, _EXCHANGE_LOCK)


def record_intent(
    engine: Engine, batch: str, state: Mapping[str, Any], asked: Mapping[str, Mapping[str, str]], holder: int
) -> None:
    """Record the intent to submit a batch, under an id of our own.

    `asked` holds the digest of each window's request, by recording. The batch's dollars count as committed from now on,
    and the reservations of `holder` for its recordings are released.

    Raises `DatabaseUnavailable`, without recording anything, if one of the recordings no longer waits: this process
    lost its lock and another one submits too, or the recording was forgotten.
    """
    waiting = update(RefinementRequestRow).where(
        _request.recording == bindparam("key"), _request.batch.is_(None), _request.answered_at.is_(None)
    )
    waiting = waiting.values(batch=batch, asked=bindparam("windows"))
    reserved = delete(ClaudeReservationRow).where(_reserved.holder == holder, _reserved.recording.in_(list(asked)))
    with transaction(engine) as connection:
        connection.execute(insert(ClaudeBatchRow).values(id=batch, state=dict(state), handing_in=True))
        for recording, windows in asked.items():
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
    """Record that the API accepted the intended batch under the id `batch`."""
    statement = update(ClaudeBatchRow).where(_batch.handing_in, _batch.id == intent_id)
    with transaction(engine) as connection:
        connection.execute(statement.values(id=batch, state=dict(state), handing_in=False))


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


def committed(connection: Connection) -> float:
    """Return the maximum expected cost, in dollars, of uncollected batches."""
    dollars = func.coalesce(func.sum(_batch.state["dollars"].astext.cast(SpendingRow.dollars.type)), 0.0)
    return float(connection.execute(select(dollars).where(_batch.collected_at.is_(None))).scalar_one() or 0.0)


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
    once_more = _of(again).where(_request.batch == batch).values(batch=None, attempts=_request.attempts + 1)
    with transaction(engine) as connection:
        closed = update(ClaudeBatchRow).where(_batch.id == batch, _batch.collected_at.is_(None))
        if not connection.execute(closed.values(collected_at=func.now())).rowcount:
            return
        for recording, results in answers.items():
            connection.execute(answer, {"key": recording, "results": results})
        connection.execute(once_more)
        for reply in paid:
            enter_reply(connection, reply)


def _of(recordings: Collection[str]) -> Update:
    return update(RefinementRequestRow).where(_request.recording.in_(recordings))
