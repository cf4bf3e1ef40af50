"""The journal of corrections in the database: append-only; changes are never altered or removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from transcription_dagster.corrections.changes import Change, Draft, Kind, WordRange
from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import CorrectedRecordingRow, CorrectionRow, RecordingRow
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import recording_id


def is_corrected(engine: Engine, recording: str) -> bool:
    """Return whether a recording has corrections, of this transcript or an earlier one."""
    with transaction(engine) as connection:
        return bool(connection.scalar(select(exists().where(CorrectionRow.recording == recording_id(recording)))))


def last_version(engine: Engine, recording: str) -> int:
    """Return the version of a recording's last change; 0 if there is none."""
    newest = select(func.max(CorrectionRow.version)).where(CorrectionRow.recording == recording_id(recording))
    with transaction(engine) as connection:
        return connection.scalar(newest) or 0


def changes_of(engine: Engine, recording: str, transcript: str) -> list[Change]:
    """Return the changes that belong to the transcript with this digest, in the order of their versions."""
    with transaction(engine) as connection:
        return _changes(connection, recording, CorrectionRow.transcript == transcript)


def earlier_changes(engine: Engine, recording: str, transcript: str) -> list[Change]:
    """Return the changes of the transcript that was corrected last, unless it has this digest."""
    newest = (
        select(CorrectionRow.transcript)
        .where(CorrectionRow.recording == recording_id(recording))
        .order_by(CorrectionRow.version.desc())
        .limit(1)
    )
    with transaction(engine) as connection:
        last = connection.scalar(newest)
        if last is None or last == transcript:
            return []
        return _changes(connection, recording, CorrectionRow.transcript == last)


def record(
    engine: Engine,
    recording: str,
    transcript: str,
    make: Callable[[Sequence[Change]], Sequence[tuple[Draft, str, datetime | None]]],
) -> list[Change]:
    """Add the changes that `make` returns: draft, author, and time (None: now).

    `make` gets all changes of the transcript so far; no other process can add one until those of `make` are stored. If
    `make` raises, nothing is recorded. Raises `UnknownRecording` if the recording is not registered.
    """
    key = recording_id(recording)
    with transaction(engine) as connection:
        registered = select(RecordingRow.uuid).where(RecordingRow.uuid == key).with_for_update()
        if connection.execute(registered).one_or_none() is None:
            raise UnknownRecording(f"recording {key} is not registered, so it cannot be corrected")
        drafts = make(_changes(connection, key, CorrectionRow.transcript == transcript))
        if not drafts:
            return []
        last = connection.scalar(select(func.max(CorrectionRow.version)).where(CorrectionRow.recording == key)) or 0
        now: datetime = connection.scalar(select(func.now()))  # type: ignore[assignment] - always a row
        recorded = [
            Change(version, draft, who, when or now)
            for version, (draft, who, when) in enumerate(drafts, start=last + 1)
        ]
        connection.execute(insert(CorrectionRow), [_row(key, transcript, change) for change in recorded])
        latest = upsert(CorrectedRecordingRow).values(recording=key, version=recorded[-1].version)
        connection.execute(
            latest.on_conflict_do_update(
                index_elements=["recording"], set_={"version": latest.excluded.version, "changed_at": func.now()}
            )
        )
    return recorded


def due(engine: Engine, quiet_seconds: float, limit: int) -> dict[str, int]:
    """Return the recordings with changes for which no run was requested, and the version of each one's last change.

    Recordings that changed within the last `quiet_seconds` are left out. The longest waiting come first.
    """
    quiet = func.make_interval(0, 0, 0, 0, 0, 0, quiet_seconds)
    statement = (
        select(CorrectedRecordingRow.recording, CorrectedRecordingRow.version)
        .where(CorrectedRecordingRow.version > CorrectedRecordingRow.requested)
        .where(CorrectedRecordingRow.changed_at <= func.now() - quiet)
        .order_by(CorrectedRecordingRow.changed_at)
        .limit(limit)
    )
    with transaction(engine) as connection:
        return {row.recording: row.version for row in connection.execute(statement)}


def note_requested(engine: Engine, versions: Mapping[str, int]) -> None:
    """Record that runs were requested for recordings up to these versions."""
    with transaction(engine) as connection:
        for recording, version in sorted(versions.items()):
            statement = update(CorrectedRecordingRow).where(CorrectedRecordingRow.recording == recording_id(recording))
            connection.execute(statement.values(requested=func.greatest(CorrectedRecordingRow.requested, version)))


def _changes(connection: Connection, recording: str, condition: Any) -> list[Change]:
    statement = select(CorrectionRow.__table__).where(CorrectionRow.recording == recording_id(recording), condition)
    rows = connection.execute(statement.order_by(CorrectionRow.version)).mappings()
    return [_change(row) for row in rows]


def _change(row: Mapping[Any, Any]) -> Change:
    draft = Draft(
        kind=Kind(row["kind"]),
        where=WordRange(row["first"], row["stop"], row["start"], row["end"]),
        old=row["old"],
        new=row["new"],
        heard=row["heard"],
        stretches=tuple(WordRange(**stretch) for stretch in row["stretches"]),
        undoes=row["undoes"],
        carried_from=row["carried_from"],
        is_lost=row["is_lost"],
    )
    return Change(row["version"], draft, row["who"], row["made_at"])


def _row(recording: str, transcript: str, change: Change) -> dict[str, Any]:
    draft = asdict(change.draft)
    return {
        **{name: value for name, value in draft.items() if name != "where"},
        **draft["where"],
        "kind": change.draft.kind.value,
        "recording": recording,
        "transcript": transcript,
        "version": change.version,
        "who": change.who,
        "made_at": change.when,
        "stretches": list(draft["stretches"]),
    }
