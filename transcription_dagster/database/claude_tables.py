"""The tables about Claude: what it answered, what it cost, and what waits for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, Uuid, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from transcription_dagster.database.tables import Base, recording_key


class SpendingRow(Base):
    """What one reply cost."""

    __tablename__ = "spending"
    __table_args__ = (Index("spending_recording", "recording"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: Kept when the recording is forgotten: the money is spent all the same.
    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    model: Mapped[str]
    #: Unset where no price is known for the model.
    dollars: Mapped[float | None]
    #: Tokens as they were billed; unset where the process that asked died before it could tell.
    usage: Mapped[dict[str, Any] | None]
    spent_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ClaudeAnswerRow(Base):
    """A reply that was paid for, by what was asked; kept for 30 days, or until its recording is forgotten."""

    __tablename__ = "claude_answers"
    __table_args__ = (Index("claude_answers_digest", "digest"),)

    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    #: Of the request (`accounts.request_digest`).
    digest: Mapped[str] = mapped_column(primary_key=True)
    #: A `messages.MessageReply`.
    reply: Mapped[dict[str, Any]]
    #: Whether edits could be read from it.
    usable: Mapped[bool]
    answered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ClaudeReservationRow(Base):
    """Dollars that are set aside for a request that is not answered yet."""

    __tablename__ = "claude_reservations"

    #: Key of the advisory lock that the process holds for as long as it needs the reservation.
    holder: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    dollars: Mapped[float]
    #: Whether the request is on its way.
    sent: Mapped[bool] = mapped_column(server_default=sql("false"))
    expires_at: Mapped[datetime]


class ClaudeBatchRow(Base):
    """A Message Batch that was handed in, until its results are collected."""

    __tablename__ = "claude_batches"
    #: The API's; while it is being handed in, one of our own.
    id: Mapped[str] = mapped_column(primary_key=True)
    #: What collecting it needs (`refinement.batch.PendingBatch`).
    state: Mapped[dict[str, Any]]
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    collected_at: Mapped[datetime | None]
    #: Whether it is not known yet that the API has it.
    handing_in: Mapped[bool] = mapped_column(server_default=sql("false"))


class RefinementRequestRow(Base):
    """A recording that is to be refined in a Message Batch: waiting, handed in, or answered."""

    __tablename__ = "refinement_requests"

    recording: Mapped[str] = recording_key()
    #: Of all that is asked, to know the same question again.
    fingerprint: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: How often it was handed in and came back unanswered.
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    #: The batch that it is in, or was answered by.
    batch: Mapped[str | None] = mapped_column(ForeignKey(ClaudeBatchRow.id, onupdate="CASCADE"), index=True)
    #: Digest of each window's request (`accounts.request_digest`), by `first_stop`; those not in the batch are kept.
    asked: Mapped[dict[str, Any] | None]
    #: Set if no request is sent: the refinement's status and the reason.
    status: Mapped[str | None]
    note: Mapped[str | None]
    #: The batch's results for this recording.
    answers: Mapped[list[Any] | None]
    answered_at: Mapped[datetime | None]
    #: Whether the run that uses the answers was requested.
    run_requested: Mapped[bool] = mapped_column(server_default=sql("false"))
