"""Paid replies of Claude: what they cost, and their text for reuse when the same request comes again.

It also says what uncollected batches will cost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine, delete, exists, func, insert, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from transcription_dagster.database.claude_tables import (
    ClaudeAnswerRow,
    ClaudeBatchRow,
    RefinementRequestRow,
    SpendingRow,
)
from transcription_dagster.database.connection import transaction
from transcription_dagster.database.recordings import is_forgotten
from transcription_dagster.refinement.messages import MessageReply

#: Time after which an unusable reply no longer prevents the same request.
_UNUSABLE_FOR = timedelta(days=1)

#: Days for which an answer is kept and the same request costs nothing; afterwards only its cost stays on record.
ANSWER_DAYS: Final = 30

_answer = ClaudeAnswerRow.__table__.c
_request = RefinementRequestRow.__table__.c
_batch = ClaudeBatchRow.__table__.c


@dataclass(frozen=True, slots=True)
class PaidReply:
    """A reply and its cost."""

    recording: str
    #: Digest of the request (`accounts.request_digest`); None if it is unknown, in which case the reply is not kept.
    digest: str | None
    model: str
    reply: MessageReply
    #: None if the price is unknown.
    dollars: float | None
    #: Whether edits could be read from it.
    usable: bool


def paid_replies(engine: Engine, digests: Collection[str]) -> dict[str, MessageReply]:
    """Return paid replies, of any recording, by request digest."""
    still_counts = or_(_answer.usable, _answer.answered_at > func.now() - _UNUSABLE_FOR)
    statement = select(_answer.digest, _answer.reply).where(_answer.digest.in_(list(digests)), still_counts)
    with transaction(engine) as connection:
        return {digest: MessageReply.from_json(reply) for digest, reply in connection.execute(statement)}


def record_reply(connection: Connection, paid: PaidReply) -> None:
    """Record a reply's cost, and keep the reply unless its recording was forgotten meanwhile."""
    usage = asdict(paid.reply.usage)
    entry = {"recording": paid.recording, "model": paid.model, "dollars": paid.dollars, "usage": usage}
    connection.execute(insert(SpendingRow).values(entry))
    if paid.digest is None or is_forgotten(connection, paid.recording):
        return
    values = {"reply": paid.reply.to_json(), "usable": paid.usable, "answered_at": func.now()}
    statement = upsert(ClaudeAnswerRow).values(recording=paid.recording, digest=paid.digest, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["recording", "digest"], set_=values))


def spent_since_midnight(connection: Connection) -> float:
    """Return the dollars spent since midnight UTC."""
    midnight = text("date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
    statement = select(func.coalesce(func.sum(SpendingRow.dollars), 0.0)).where(SpendingRow.spent_at >= midnight)
    return float(connection.execute(statement).scalar_one() or 0.0)


def committed_to_batches(connection: Connection) -> float:
    """Return the maximum expected cost, in dollars, of uncollected batches."""
    dollars = func.coalesce(func.sum(_batch.state["dollars"].astext.cast(SpendingRow.dollars.type)), 0.0)
    return float(connection.execute(select(dollars).where(_batch.collected_at.is_(None))).scalar_one() or 0.0)


def remove_old_answers(engine: Engine, days: float = ANSWER_DAYS) -> None:
    """Remove answers, answered requests and collected batches older than `days`.

    Waiting and submitted requests stay, and so does any batch that a request still refers to.
    """
    oldest = func.now() - timedelta(days=days)
    with transaction(engine) as connection:
        connection.execute(delete(ClaudeAnswerRow).where(_answer.answered_at < oldest))
        connection.execute(delete(RefinementRequestRow).where(_request.answered_at < oldest))
        unused = ~exists().where(_request.batch == _batch.id)
        connection.execute(delete(ClaudeBatchRow).where(_batch.collected_at < oldest, unused))
