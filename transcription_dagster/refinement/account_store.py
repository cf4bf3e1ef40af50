"""Claude accounts shared by all processes: money spent, reservations, and paid answers.

A reservation belongs to a holder, identified by an advisory lock that it keeps while it lives. The next reservation
settles those of dead holders: a request that was sent may have been answered, so its reservation counts as spent; one
that was not sent costs nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from transcription_dagster.database.claude_tables import ClaudeReservationRow, SpendingRow
from transcription_dagster.database.connection import session_lock, transaction
from transcription_dagster.database.recordings import refuse_forgotten
from transcription_dagster.model import recording_id
from transcription_dagster.refinement.accounts import Budgets, Spent, refusal
from transcription_dagster.refinement.answer_store import (
    PaidReply,
    committed_to_batches,
    paid_replies,
    record_reply,
    spent_since_midnight,
)
from transcription_dagster.refinement.messages import MessageReply

_reservation = ClaudeReservationRow.__table__.c

#: Arbitrary key of the advisory lock that serialises reservations.
_BUDGET_LOCK = 0x7261_6E73_6275_6467
#: Silence after which a holder counts as dead even if its connection still looks alive; longer than a request takes
#: with all its retries.
_LEASE = timedelta(hours=1)
_RECORDING_WINDOW = timedelta(hours=24)

_CLOSE_OWN = text(
    """
    WITH closed AS (
        DELETE FROM transcription_data.claude_reservations WHERE holder = :holder
        RETURNING recording, model, dollars, sent
    )
    INSERT INTO transcription_data.spending (recording, model, dollars)
    SELECT recording, model, dollars FROM closed WHERE sent AND dollars > 0
    """
)
_CLOSE_LOST = text(
    """
    WITH holders AS MATERIALIZED (SELECT DISTINCT holder FROM transcription_data.claude_reservations),
    lost AS MATERIALIZED (SELECT holder FROM holders WHERE pg_try_advisory_xact_lock(holder)),
    closed AS (
        DELETE FROM transcription_data.claude_reservations
        WHERE holder IN (SELECT holder FROM lost) OR expires_at < now()
        RETURNING recording, model, dollars, sent
    )
    INSERT INTO transcription_data.spending (recording, model, dollars)
    SELECT recording, model, dollars FROM closed WHERE sent AND dollars > 0
    """
)


class ClaudeAccount:
    """The account of one recording (see `accounts.Account`), opened by `open_account`."""

    def __init__(self, engine: Engine, holder: int, recording: str, model: str, limits: Budgets) -> None:
        self._engine = engine
        self._holder = holder
        self._recording = recording
        self._model = model
        self._limits = limits
        self._renewal = Lock()

    def paid_replies(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        return paid_replies(self._engine, digests)

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        with transaction(self._engine) as connection:
            refuse_forgotten(connection, self._recording)
            _lock_budget(connection)
            spent = _spent(connection, self._recording)
            if refused := refusal(sum(costs.values()), spent, self._limits):
                return refused
            connection.execute(insert(ClaudeReservationRow).values([self._row(*cost) for cost in costs.items()]))
        return None

    def mark_sent(self, digest: str) -> None:
        # Threads that renew the same rows in different orders would deadlock.
        with self._renewal, transaction(self._engine) as connection:
            connection.execute(update(ClaudeReservationRow).where(self._is_own(digest)).values(sent=True))
            # Each request that is sent also renews the reservations of those that wait.
            renewed = update(ClaudeReservationRow).where(_reservation.holder == self._holder)
            connection.execute(renewed.values(expires_at=func.now() + _LEASE))

    def release(self, digest: str) -> None:
        with transaction(self._engine) as connection:
            connection.execute(self._deletion(digest))

    def record(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        with transaction(self._engine) as connection:
            connection.execute(self._deletion(digest))
            record_reply(connection, PaidReply(self._recording, digest, self._model, reply, dollars, usable))

    def _row(self, digest: str, dollars: float) -> dict[str, Any]:
        return {
            "holder": self._holder,
            "digest": digest,
            "recording": self._recording,
            "model": self._model,
            "dollars": dollars,
            "expires_at": func.now() + _LEASE,
        }

    def _deletion(self, digest: str) -> Any:
        return delete(ClaudeReservationRow).where(self._is_own(digest))

    def _is_own(self, digest: str) -> Any:
        return (
            (_reservation.holder == self._holder)
            & (_reservation.recording == self._recording)
            & (_reservation.digest == digest)
        )


@contextmanager
def open_account(engine: Engine, recording: str, *, model: str, limits: Budgets) -> Iterator[ClaudeAccount]:
    """Open the account of a recording; its unspent reservations are released after the block."""
    with holding(engine) as holder:
        yield ClaudeAccount(engine, holder, recording_id(recording), model, limits)


@contextmanager
def holding(engine: Engine) -> Iterator[int]:
    """Provide a holder of reservations, which are settled after the block."""
    holder = secrets.randbits(62)
    with session_lock(engine, holder):
        try:
            yield holder
        finally:
            # Those sent without an answer count as spent.
            with transaction(engine) as connection:
                connection.execute(_CLOSE_OWN, {"holder": holder})


def _lock_budget(connection: Connection) -> None:
    """Serialise reservations until the transaction ends, and settle those of dead holders."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _BUDGET_LOCK})
    connection.execute(_CLOSE_LOST)


def _reserved_dollars(connection: Connection) -> float:
    """Return the dollars reserved for unanswered requests."""
    return float(connection.execute(select(func.coalesce(func.sum(_reservation.dollars), 0.0))).scalar_one() or 0.0)


def _spent(connection: Connection, recording: str) -> Spent:
    spending = SpendingRow.__table__.c
    paid = select(func.coalesce(func.sum(spending.dollars), 0.0)).where(
        spending.recording == recording, spending.spent_at > func.now() - _RECORDING_WINDOW
    )
    reserved = select(func.coalesce(func.sum(_reservation.dollars), 0.0)).where(_reservation.recording == recording)
    return Spent(
        recording=float(connection.execute(paid).scalar_one() or 0.0)
        + float(connection.execute(reserved).scalar_one() or 0.0),
        today=spent_since_midnight(connection) + _reserved_dollars(connection) + committed_to_batches(connection),
    )
