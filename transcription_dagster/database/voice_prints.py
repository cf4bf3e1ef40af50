"""Voice prints: the voices of recordings' speakers, by which a person who was named once is known in other recordings.

They are personal data. They are written only where a setting says so, and are removed with their recording, or with the
person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, false, func, insert, or_, select, true, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.forgotten import refuse_forgotten
from transcription_dagster.database.tables import VoicePrintRow
from transcription_dagster.errors import UnknownSpeaker
from transcription_dagster.model import recording_id

#: Cosine similarity from which two voices are surely one person's, and from which they may be.
SURE = 0.7
LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class VoicePrint:
    """The voice of one speaker of a recording."""

    recording: str
    #: `spk_0`, `spk_1`, …
    label: str
    #: Seconds that the speaker talks.
    seconds: float
    #: Who it is, or may be; None: nobody who was named sounds like it.
    person: str | None = None
    #: A person said so.
    confirmed: bool = False
    #: Cosine similarity to the nearest voice that was named so by hand; None where this one was.
    similarity: float | None = None

    @property
    def name(self) -> str | None:
        """The person's name where it is certain; None where it is a suggestion."""
        return self.person if self.confirmed or (self.similarity or 0.0) >= SURE else None


def replace_voice_prints(
    engine: Engine, recording: str, model: str, voices: Mapping[str, tuple[float, Sequence[float]]]
) -> tuple[VoicePrint, ...]:
    """Make these the voice prints of a recording, and return them with the people who sound like them.

    `voices` holds the seconds and the embedding of each label; embeddings of different models are not compared. A voice
    that was named by hand keeps its name if it is still among them. Raises `RecordingForgotten`.
    """
    uuid = recording_id(recording)
    with transaction(engine) as connection:
        refuse_forgotten(connection, uuid)
        candidates = [
            (similarity, label, person, own)
            for label, (_, vector) in voices.items()
            for person, own, similarity in _people_like(connection, model, vector, uuid)
        ]
        matches = _one_each(candidates)
        connection.execute(delete(VoicePrintRow).where(VoicePrintRow.recording == uuid))
        prints = [_print(uuid, label, seconds, matches.get(label)) for label, (seconds, _) in voices.items()]
        rows = [_row(one, model, voices[one.label][1]) for one in prints]
        if rows:
            connection.execute(insert(VoicePrintRow), rows)
    return tuple(prints)


def voice_prints(engine: Engine, recording: str | None = None) -> tuple[VoicePrint, ...]:
    """Return the voice prints of a recording, or of all whose person is known or suggested."""
    # `spk_10` comes after `spk_2`.
    by_label = (func.length(VoicePrintRow.label), VoicePrintRow.label)
    if recording is None:
        chosen, order = VoicePrintRow.person.is_not(None), (VoicePrintRow.person, VoicePrintRow.recording, *by_label)
    else:
        chosen, order = VoicePrintRow.recording == recording_id(recording), by_label
    with transaction(engine) as connection:
        rows = connection.execute(select(*_COLUMNS).where(chosen).order_by(*order))
        return tuple(VoicePrint(*row) for row in rows)


def name_speaker(engine: Engine, recording: str, label: str, person: str) -> tuple[VoicePrint, ...]:
    """Say whose voice it is; return the voice prints of other recordings that are now taken for this person's.

    In each recording it is at most one, and never one that was named by hand. Raises `UnknownSpeaker` if there is no
    voice print of that label.
    """
    uuid = recording_id(recording)
    named = and_(VoicePrintRow.recording == uuid, VoicePrintRow.label == label)
    values = {"person": person, "confirmed": True, "similarity": None}
    with transaction(engine) as connection:
        returned = (VoicePrintRow.model, VoicePrintRow.embedding)
        row = connection.execute(update(VoicePrintRow).where(named).values(values).returning(*returned)).one_or_none()
        if row is None:
            raise UnknownSpeaker(f"there is no voice print of {label} in {uuid}")
        similarity = _similarity(row.embedding)
        taken = select(VoicePrintRow.recording).where(VoicePrintRow.person == person, VoicePrintRow.confirmed)
        found = connection.execute(
            select(VoicePrintRow.recording, VoicePrintRow.label, similarity.label("similarity"))
            .where(VoicePrintRow.model == row.model, ~VoicePrintRow.confirmed)
            .where(VoicePrintRow.recording.not_in(taken), similarity >= LIKELY)
            .where(similarity > func.coalesce(VoicePrintRow.similarity, -1.0))
            .order_by(similarity.desc())
        ).all()
        # The most similar one of each recording.
        best = {one.recording: one for one in reversed(found)}
        for one in best.values():
            _take(connection, one.recording, one.label, person, one.similarity)
        keys = or_(
            false(),
            *(
                and_(VoicePrintRow.recording == one.recording, VoicePrintRow.label == one.label)
                for one in best.values()
            ),
        )
        rows = connection.execute(select(*_COLUMNS).where(keys).order_by(VoicePrintRow.similarity.desc()))
        return tuple(VoicePrint(*row) for row in rows)


def forget_person(engine: Engine, person: str) -> int:
    """Remove the voice prints that are a person's, and the suggestion where they may be; return how many were removed.

    Raises `UnknownSpeaker` if nobody has that name.
    """
    theirs = VoicePrintRow.person == person
    certain = or_(VoicePrintRow.confirmed, VoicePrintRow.similarity >= SURE)
    with transaction(engine) as connection:
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


def _similarity(vector: Any) -> Any:
    return 1.0 - VoicePrintRow.embedding.cosine_distance(vector)


def _people_like(
    connection: Connection, model: str, vector: Sequence[float], recording: str
) -> Sequence[tuple[str, bool, float]]:
    """People who may have this voice: name, whether it was named in this very recording, similarity."""
    own = VoicePrintRow.recording == recording
    similarity = func.max(_similarity(list(vector)))
    rows = connection.execute(
        select(VoicePrintRow.person, own, similarity)
        .where(VoicePrintRow.model == model, VoicePrintRow.confirmed)
        .group_by(VoicePrintRow.person, own)
        .having(similarity >= LIKELY)
    )
    return [(person, is_own, float(value)) for person, is_own, value in rows]


def _one_each(candidates: list[tuple[float, str, str, bool]]) -> dict[str, tuple[float, str, bool]]:
    """For each label the most similar person, and each person for one label."""
    matches: dict[str, tuple[float, str, bool]] = {}
    taken: set[str] = set()
    for similarity, label, person, own in sorted(candidates, reverse=True):
        if label not in matches and person not in taken:
            matches[label] = (similarity, person, own)
            taken.add(person)
    return matches


def _print(recording: str, label: str, seconds: float, match: tuple[float, str, bool] | None) -> VoicePrint:
    if match is None:
        return VoicePrint(recording, label, seconds)
    similarity, person, own = match
    if own and similarity >= SURE:
        return VoicePrint(recording, label, seconds, person, confirmed=True)
    return VoicePrint(recording, label, seconds, person, similarity=similarity)


def _row(voice: VoicePrint, model: str, vector: Sequence[float]) -> dict[str, Any]:
    values = {
        name: getattr(voice, name) for name in ("recording", "label", "seconds", "person", "confirmed", "similarity")
    }
    return values | {"model": model, "embedding": list(vector)}


def _take(connection: Connection, recording: str, label: str, person: str, similarity: float) -> None:
    """Take a voice for a person's; whoever else in the recording was taken for them is not any more."""
    there = VoicePrintRow.recording == recording
    connection.execute(
        update(VoicePrintRow).where(there, VoicePrintRow.person == person).values(person=None, similarity=None)
    )
    taken = update(VoicePrintRow).where(there, VoicePrintRow.label == label)
    connection.execute(taken.values(person=person, similarity=similarity))
