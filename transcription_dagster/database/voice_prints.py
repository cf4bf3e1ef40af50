"""Voice prints: speakers' voices as vectors, used to recognise a named person in other recordings.

They are personal data. They are stored only if a setting allows it, and are removed with their recording or their
person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, or_, select, text, true, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.recordings import refuse_forgotten
from transcription_dagster.database.tables import VoicePrintRow
from transcription_dagster.errors import UnknownSpeaker
from transcription_dagster.model import recording_id

#: Cosine similarity from which two voices certainly belong to the same person, and from which they may.
SURE = 0.7
LIKELY = 0.5

#: Arbitrary key of the advisory lock that serialises changes of names.
_NAMES_LOCK = 0x7261_6E73_766F_6963


@dataclass(frozen=True, slots=True)
class VoicePrint:
    """The voice of one speaker of a recording."""

    recording: str
    #: `spk_0`, `spk_1`, …
    label: str
    #: Seconds of speech of this speaker.
    seconds: float
    #: The certain or possible person; None: no named voice is similar.
    person: str | None = None
    #: Whether a person confirmed the name.
    confirmed: bool = False
    #: Cosine similarity to the nearest voice named by hand; None if this one was.
    similarity: float | None = None

    @property
    def name(self) -> str | None:
        """The person's name if it is certain; None if it is a suggestion."""
        return self.person if self.confirmed or (self.similarity or 0.0) >= SURE else None


def replace_voice_prints(
    engine: Engine, recording: str, model: str, voices: Mapping[str, tuple[float, Sequence[float]]]
) -> tuple[VoicePrint, ...]:
    """Replace the voice prints of a recording; return them with the people who sound like them.

    `voices` holds seconds and embedding of each label; embeddings of different models are not compared. A voice named
    by hand keeps its name if it is still among them. Raises `RecordingForgotten`.
    """
    uuid = recording_id(recording)
    with transaction(engine) as connection:
        refuse_forgotten(connection, uuid)
        _lock_names(connection)
        named = _one_each(
            (similarity, label, person)
            for label, (_, vector) in voices.items()
            for person, similarity in _people_like(connection, model, vector, VoicePrintRow.recording == uuid)
            if similarity >= SURE
        )
        connection.execute(delete(VoicePrintRow).where(VoicePrintRow.recording == uuid))
        rows = [
            {"recording": uuid, "label": label, "model": model, "seconds": seconds, "embedding": list(vector)}
            | {"person": named[label][0] if label in named else None, "confirmed": label in named}
            for label, (seconds, vector) in voices.items()
        ]
        if rows:
            connection.execute(insert(VoicePrintRow), rows)
        _match_speakers(connection, uuid)
        return _select(connection, VoicePrintRow.recording == uuid)


def voice_prints(engine: Engine, recording: str | None = None) -> tuple[VoicePrint, ...]:
    """Return the voice prints of a recording, or of all recordings whose person is known or suggested."""
    condition = VoicePrintRow.person.is_not(None)
    if recording is not None:
        condition = VoicePrintRow.recording == recording_id(recording)
    with transaction(engine) as connection:
        prints = _select(connection, condition)
    return prints if recording is not None else tuple(sorted(prints, key=lambda voice: voice.person or ""))


def name_speaker(engine: Engine, recording: str, label: str, person: str) -> tuple[VoicePrint, ...]:
    """Name a voice; return the voice prints of other recordings that match this person.

    Each recording has at most one match, never a voice named by hand. Naming a voice again corrects the name. Raises
    `UnknownSpeaker` if there is no voice print with that label.
    """
    uuid = recording_id(recording)
    named = and_(VoicePrintRow.recording == uuid, VoicePrintRow.label == label)
    statement = select(VoicePrintRow.person, VoicePrintRow.model, VoicePrintRow.embedding).where(named)
    with transaction(engine) as connection:
        _lock_names(connection)
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise UnknownSpeaker(f"there is no voice print of {label} in {uuid}")
        connection.execute(update(VoicePrintRow).where(named).values(person=person, confirmed=True, similarity=None))
        alike = _similarity(row.embedding) >= LIKELY
        if row.person is not None:
            # Other voices were matched to the person of the old name.
            alike = or_(alike, VoicePrintRow.person == row.person)
        unnamed = select(VoicePrintRow.recording).where(VoicePrintRow.model == row.model, ~VoicePrintRow.confirmed)
        for other in sorted({uuid, *connection.scalars(unnamed.where(alike))}):
            _match_speakers(connection, other)
        theirs = _select(connection, and_(VoicePrintRow.person == person, ~VoicePrintRow.confirmed))
    return tuple(sorted(theirs, key=lambda voice: -(voice.similarity or 0.0)))


def forget_person(engine: Engine, person: str) -> int:
    """Remove a person's voice prints and suggestions; return how many were removed.

    Raises `UnknownSpeaker` if there is no person of that name.
    """
    theirs = VoicePrintRow.person == person
    certain = or_(VoicePrintRow.confirmed, VoicePrintRow.similarity >= SURE)
    with transaction(engine) as connection:
        _lock_names(connection)
        removed = connection.execute(delete(VoicePrintRow).where(theirs, certain)).rowcount
        suggested = update(VoicePrintRow).where(theirs).values(person=None, similarity=None)
        if not removed + connection.execute(suggested).rowcount:
            raise UnknownSpeaker(f"there is no voice print of anyone named {person!r}")
    return removed


def forget_all(engine: Engine) -> int:
    """Remove every voice print; return how many there were."""
    with transaction(engine) as connection:
        return connection.execute(delete(VoicePrintRow).where(true())).rowcount


_COLUMNS = (
    VoicePrintRow.recording,
    VoicePrintRow.label,
    VoicePrintRow.seconds,
    VoicePrintRow.person,
    VoicePrintRow.confirmed,
    VoicePrintRow.similarity,
)


def _lock_names(connection: Connection) -> None:
    """Serialise changes of names until the transaction ends: each may match the voices of any recording again."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _NAMES_LOCK})


def _select(connection: Connection, condition: ColumnElement[bool]) -> tuple[VoicePrint, ...]:
    # `spk_10` comes after `spk_2`.
    order = (VoicePrintRow.recording, func.length(VoicePrintRow.label), VoicePrintRow.label)
    return tuple(VoicePrint(*row) for row in connection.execute(select(*_COLUMNS).where(condition).order_by(*order)))


def _match_speakers(connection: Connection, recording: str) -> None:
    """Match the speakers of a recording to people again, except those named by hand."""
    of_recording = VoicePrintRow.recording == recording
    confirmed = set(connection.scalars(select(VoicePrintRow.person).where(of_recording, VoicePrintRow.confirmed)))
    unnamed = select(VoicePrintRow.label, VoicePrintRow.model, VoicePrintRow.embedding)
    rows = connection.execute(unnamed.where(of_recording, ~VoicePrintRow.confirmed)).all()
    matches = _one_each(
        (similarity, row.label, person)
        for row in rows
        for person, similarity in _people_like(connection, row.model, row.embedding, true())
        if person not in confirmed
    )
    for row in rows:
        person, similarity = matches.get(row.label, (None, None))
        statement = update(VoicePrintRow).where(of_recording, VoicePrintRow.label == row.label)
        connection.execute(statement.values(person=person, similarity=similarity))


def _people_like(
    connection: Connection, model: str, vector: Any, among: ColumnElement[bool]
) -> Sequence[tuple[str, float]]:
    """Return the people who may have this voice, from voices named by hand, with their similarity."""
    similarity = func.max(_similarity(vector))
    rows = connection.execute(
        select(VoicePrintRow.person, similarity)
        .where(VoicePrintRow.model == model, VoicePrintRow.confirmed, among)
        .group_by(VoicePrintRow.person)
        .having(similarity >= LIKELY)
    )
    return [(person, float(value)) for person, value in rows]


def _similarity(vector: Any) -> ColumnElement[float]:
    return 1.0 - VoicePrintRow.embedding.cosine_distance(list(vector))


def _one_each(candidates: Iterable[tuple[float, str, str]]) -> dict[str, tuple[str, float]]:
    """Assign each label its most similar person, and each person to one label."""
    matches: dict[str, tuple[str, float]] = {}
    assigned: set[str] = set()
    for similarity, label, person in sorted(candidates, reverse=True):
        if label not in matches and person not in assigned:
            matches[label] = (person, similarity)
            assigned.add(person)
    return matches
