"""Recordings submitted over the API: runs to request, and senders to notify."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, insert, or_, select, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.recordings import Recording, register_in
from transcription_dagster.database.tables import RecordingRow, SubmissionRow, TranscriptRow
from transcription_dagster.model import recording_id


@dataclass(frozen=True, slots=True)
class SubmissionOutcome:
    """The outcome of a submitted recording, and the address to notify."""

    recording: str
    webhook: str
    #: Failed deliveries so far.
    attempts: int
    submitted_at: datetime
    #: Why the recording failed; None if it was published.
    error: str | None


def add(engine: Engine, recording: Recording, submitted_by: str, webhook: str | None) -> None:
    """Register a recording that is to be transcribed."""
    values = {"recording": recording_id(recording.uuid), "submitted_by": submitted_by, "webhook": webhook}
    with transaction(engine) as connection:
        register_in(connection, [recording])
        connection.execute(insert(SubmissionRow).values(**values))


def waiting(engine: Engine, limit: int) -> list[str]:
    """Return recordings whose run was not requested yet, longest waiting first."""
    statement = select(SubmissionRow.recording).where(~SubmissionRow.run_requested)
    with transaction(engine) as connection:
        return list(connection.scalars(statement.order_by(SubmissionRow.submitted_at).limit(limit)))


def note_requested(engine: Engine, recordings: Iterable[str]) -> None:
    """Record that runs were requested."""
    keys = sorted(recording_id(recording) for recording in recordings)
    statement = update(SubmissionRow).where(SubmissionRow.recording.in_(keys)).values(run_requested=True)
    with transaction(engine) as connection:
        connection.execute(statement)


def outcomes(engine: Engine, limit: int) -> list[SubmissionOutcome]:
    """Return the outcomes to deliver now: recordings published or failed since their submission."""
    since = SubmissionRow.submitted_at
    published, failed = TranscriptRow.published_at >= since, RecordingRow.failed_at >= since
    statement = (
        select(
            SubmissionRow.recording,
            SubmissionRow.webhook,
            SubmissionRow.attempts,
            SubmissionRow.submitted_at,
            RecordingRow.error,
        )
        .join(RecordingRow, RecordingRow.uuid == SubmissionRow.recording)
        .join(TranscriptRow, TranscriptRow.recording == SubmissionRow.recording, isouter=True)
        .where(SubmissionRow.webhook.is_not(None), SubmissionRow.next_attempt_at <= func.now())
        .where(or_(published, failed))
        .order_by(SubmissionRow.next_attempt_at)
        .limit(limit)
    )
    with transaction(engine) as connection:
        return [SubmissionOutcome(*row) for row in connection.execute(statement)]


def record_delivery(engine: Engine, recording: str) -> None:
    """Record that the sender was notified, or that delivery was given up."""
    _update(engine, recording, webhook=None)


def record_failed_delivery(engine: Engine, recording: str, wait: timedelta) -> None:
    """Record a failed delivery, to be repeated after a while."""
    _update(engine, recording, attempts=SubmissionRow.attempts + 1, next_attempt_at=func.now() + wait)


def _update(engine: Engine, recording: str, **values: object) -> None:
    statement = update(SubmissionRow).where(SubmissionRow.recording == recording_id(recording)).values(**values)
    with transaction(engine) as connection:
        connection.execute(statement)
