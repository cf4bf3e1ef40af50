"""The tables for Claude: replies, costs, reservations and waiting requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, Uuid, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from transcription_dagster.database.tables import Base, recording_key


class SpendingRow(Base):
    """The cost of one reply."""

    __tablename__ = "spending"
    __table_args__ = (Index("spending_recording", "recording"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: Kept when the recording is forgotten, because the money was spent.
    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    model: Mapped[str]
    #: Unset if the model's price is unknown.
    dollars: Mapped[float | None]
    #: Billed tokens; unset if the process that sent the request died before it recorded them.
    usage: Mapped[dict[str, Any] | None]
    spent_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ClaudeAnswerRow(Base):
    """A paid reply by its request's digest; kept for 30 days, or until its recording is forgotten."""

    __tablename__ = "claude_answers"
    __table_args__ = (Index("claude_answers_digest", "digest"),)

    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    #: Digest of the request (`accounts.request_digest`).
    digest: Mapped[str] = mapped_column(primary_key=True)
    #: A `messages.MessageReply`.
    reply: Mapped[dict[str, Any]]
    #: Whether edits could be read from it.
    usable: Mapped[bool]
    answered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ClaudeReservationRow(Base):
    """Dollars reserved for an unanswered request."""

    __tablename__ = "claude_reservations"

    #: Key of the advisory lock that the process holds while it needs the reservation.
    holder: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    dollars: Mapped[float]
    #: Whether the request was sent.
    sent: Mapped[bool] = mapped_column(server_default=sql("false"))
    expires_at: Mapped[datetime]


class ClaudeBatchRow(Base):
    """A submitted Message Batch whose results are not collected yet."""

    __tablename__ = "claude_batches"
    #: The API's id; before the submission is confirmed, our own.
    id: Mapped[str] = mapped_column(primary_key=True)
    #: Data needed to collect it (`refinement.message_batches.batch_plans.PendingBatch`).
    state: Mapped[dict[str, Any]]
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    collected_at: Mapped[datetime | None]
    #: Whether it is still unknown that the API received it.
    handing_in: Mapped[bool] = mapped_column(server_default=sql("false"))


class RefinementRequestRow(Base):
    """A recording to be refined in a Message Batch: waiting, submitted, or answered."""

    __tablename__ = "refinement_requests"

    recording: Mapped[str] = recording_key()
    #: Digest of the whole request, to recognise a repeated one.
    fingerprint: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Number of submissions without an answer.
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    #: The batch that contains or answered it.
    batch: Mapped[str | None] = mapped_column(ForeignKey(ClaudeBatchRow.id, onupdate="CASCADE"), index=True)
    #: Digest of each window's request (`accounts.request_digest`), by `first_stop`; windows not in the batch are kept.
    asked: Mapped[dict[str, Any] | None]
    #: Set if no request is sent: the refinement's status and the reason.
    status: Mapped[str | None]
    note: Mapped[str | None]
    #: The batch's results for this recording.
    answers: Mapped[list[Any] | None]
    answered_at: Mapped[datetime | None]
    #: Whether the run that uses the answers was requested.
    run_requested: Mapped[bool] = mapped_column(server_default=sql("false"))
