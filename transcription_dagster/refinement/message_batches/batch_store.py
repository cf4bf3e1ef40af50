"""The Message Batches that are under way: announced, handed in, collected. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Update, bindparam, delete, func, insert, select, update

from transcription_dagster.database.connection import session_lock, transaction
from transcription_dagster.database.tables import (
    ClaudeBatchRow,
    ClaudeReservationRow,
    RefinementRequestRow,
    SpendingRow,
)
from transcription_dagster.errors import DatabaseUnavailable
from transcription_dagster.refinement.answer_store import PaidReply, enter_reply

_batch = ClaudeBatchRow.__table__.c
_request = RefinementRequestRow.__table__.c
_reserved = ClaudeReservationRow.__table__.c

#: Key of the advisory lock that whoever hands in holds; any number that no other program picks.
_EXCHANGE_LOCK = 0x7261_6E73_6261_7463


@dataclass(frozen=True, slots=True)
class Announced:
    """A batch of which it is not known whether the API has it."""

    id: str
    state: dict[str, Any]
    announced_at: datetime
    #: How long ago that was.
    age: timedelta


def exchange_lock(engine: Engine) -> AbstractContextManager[bool]:
    """Give whether this process is the only one, for the length of the block, that talks to the API about batches."""
    return session_lock(engine, _EXCHANGE_LOCK)


def announce(
    engine: Engine, batch: str, state: Mapping[str, Any], asked: Mapping[str, Mapping[str, str]], holder: int
) -> None:
    """Note that a batch is about to be handed in, under an id of our own.

    `asked` gives the digest of each window's request, by recording. The batch's dollars are committed from now on, and
    what `holder` had reserved for its recordings is released.

    Raises `DatabaseUnavailable` if one of the recordings no longer waits: another process hands in too, because this
    one has lost its lock, or the recording was forgotten. Nothing is noted then.
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


def announced(engine: Engine) -> list[Announced]:
    """Return the batches that were announced and not heard of again, oldest first."""
    statement = select(_batch.id, _batch.state, _batch.submitted_at, func.now() - _batch.submitted_at)
    with transaction(engine) as connection:
        rows = connection.execute(statement.where(_batch.handing_in).order_by(_batch.submitted_at))
        return [Announced(*row) for row in rows]


def handed_in(engine: Engine, announced_id: str, batch: str, state: Mapping[str, Any]) -> None:
    """Note that the API has the batch that was announced, under the id `batch`."""
    statement = update(ClaudeBatchRow).where(_batch.handing_in, _batch.id == announced_id)
    with transaction(engine) as connection:
        connection.execute(statement.values(id=batch, state=dict(state), handing_in=False))


def take_back(engine: Engine, announced_id: str) -> None:
    """Note that the API does not have the batch that was announced: its recordings wait again."""
    with transaction(engine) as connection:
        connection.execute(update(RefinementRequestRow).where(_request.batch == announced_id).values(batch=None))
        connection.execute(delete(ClaudeBatchRow).where(_batch.handing_in, _batch.id == announced_id))


def pending(engine: Engine) -> list[dict[str, Any]]:
    """Return the states of the batches that the API has and that are not collected, oldest first."""
    statement = select(_batch.state).where(~_batch.handing_in, _batch.collected_at.is_(None))
    with transaction(engine) as connection:
        return list(connection.execute(statement.order_by(_batch.submitted_at, _batch.id)).scalars())


def find(engine: Engine, batch: str) -> dict[str, Any] | None:
    """Return the state of a batch, or None if there is none by that id."""
    with transaction(engine) as connection:
        return connection.execute(select(_batch.state).where(_batch.id == batch)).scalar_one_or_none()


def known(engine: Engine, batches: Collection[str]) -> set[str]:
    """Return those of the ids that are ours already."""
    with transaction(engine) as connection:
        return set(connection.execute(select(_batch.id).where(_batch.id.in_(batches))).scalars())


def committed_dollars(engine: Engine) -> float:
    """Return what the batches that are not collected are expected to cost at most."""
    with transaction(engine) as connection:
        return committed(connection)


def committed(connection: Connection) -> float:
    """The same, within a transaction."""
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
    """Keep a batch's answers by recording and what they cost; the recordings in `again` wait for the next batch.

    Does nothing if the batch was collected before.
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
