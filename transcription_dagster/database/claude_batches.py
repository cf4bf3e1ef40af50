"""The Message Batches that are under way: announced, handed in, collected. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Update, bindparam, delete, func, insert, select, text, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ClaudeBatchRow, RefinementRequestRow, SpendingRow

_batch = ClaudeBatchRow.__table__.c
_request = RefinementRequestRow.__table__.c

#: Key of the advisory lock that whoever hands in holds; any number that no other program picks.
_EXCHANGE_LOCK = 0x7261_6E73_6261_7463


@dataclass(frozen=True, slots=True)
class Announced:
    """A batch of which it is not known whether the API has it."""

    id: str
    state: dict[str, Any]
    announced_at: datetime


@dataclass(frozen=True, slots=True)
class Cost:
    """What a recording's answers cost."""

    recording: str
    model: str
    dollars: float


@contextmanager
def exchange_lock(engine: Engine) -> Iterator[bool]:
    """Give whether this process is the only one, for the length of the block, that talks to the API about batches."""
    with transaction(engine) as connection:
        statement = text("SELECT pg_try_advisory_xact_lock(:key)")
        yield connection.execute(statement, {"key": _EXCHANGE_LOCK}).scalar_one()


def announce(engine: Engine, batch: str, state: Mapping[str, Any], recordings: Collection[str]) -> None:
    """Note that a batch is about to be handed in, under an id of our own."""
    with transaction(engine) as connection:
        connection.execute(insert(ClaudeBatchRow).values(id=batch, state=dict(state), handing_in=True))
        connection.execute(_of(recordings).values(batch=batch))


def announced(engine: Engine) -> Announced | None:
    """Return the batch that was announced and not heard of again."""
    statement = select(_batch.id, _batch.state, _batch.submitted_at).where(_batch.handing_in)
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Announced(*row)


def handed_in(engine: Engine, batch: str, state: Mapping[str, Any]) -> None:
    """Note that the API has the batch that was announced, under the id `batch`."""
    statement = update(ClaudeBatchRow).where(_batch.handing_in)
    with transaction(engine) as connection:
        connection.execute(statement.values(id=batch, state=dict(state), handing_in=False))


def take_back(engine: Engine) -> None:
    """Note that the API does not have the batch that was announced: its recordings wait again."""
    announced_id = select(_batch.id).where(_batch.handing_in).scalar_subquery()
    with transaction(engine) as connection:
        connection.execute(update(RefinementRequestRow).where(_request.batch == announced_id).values(batch=None))
        connection.execute(delete(ClaudeBatchRow).where(_batch.handing_in))


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
    dollars = func.coalesce(func.sum(_batch.state["dollars"].astext.cast(SpendingRow.dollars.type)), 0.0)
    with transaction(engine) as connection:
        return float(connection.execute(select(dollars).where(_batch.collected_at.is_(None))).scalar_one())


def collect(
    engine: Engine,
    batch: str,
    answers: Mapping[str, list[Any]],
    *,
    again: Collection[str],
    costs: Iterable[Cost],
) -> None:
    """Keep a batch's answers by recording and what they cost; the recordings in `again` wait for the next batch."""
    answer = update(RefinementRequestRow).where(_request.recording == bindparam("key"), _request.batch == batch)
    answer = answer.values(answers=bindparam("results"), answered_at=func.now(), run_requested=False)
    once_more = _of(again).where(_request.batch == batch).values(batch=None, attempts=_request.attempts + 1)
    entries = [{"recording": cost.recording, "model": cost.model, "dollars": cost.dollars} for cost in costs]
    with transaction(engine) as connection:
        closed = update(ClaudeBatchRow).where(_batch.id == batch, _batch.collected_at.is_(None))
        if not connection.execute(closed.values(collected_at=func.now())).rowcount:
            return
        for recording, results in answers.items():
            connection.execute(answer, {"key": recording, "results": results})
        connection.execute(once_more)
        if entries:
            connection.execute(insert(SpendingRow), entries)


def _of(recordings: Collection[str]) -> Update:
    return update(RefinementRequestRow).where(_request.recording.in_(recordings))
