"""Voice prints: recognising people, and removing every trace of a forgotten person or recording."""

from __future__ import annotations

import math
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, forget, register
from transcription_dagster.database.voice_prints import (
    LIKELY,
    SURE,
    VoicePrint,
    forget_all,
    forget_person,
    name_speaker,
    replace_voice_prints,
    voice_prints,
)
from transcription_dagster.errors import RecordingForgotten, UnknownSpeaker

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
ADA, BEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def like(person: tuple[float, ...], similarity: float) -> tuple[float, float, float]:
    """Return a voice with this similarity to one person's, and none to others."""
    rest = math.sqrt(1 - similarity**2)
    return (person[0] * similarity, person[1] * similarity, rest)


def heard(engine: Engine, recording: str, *vectors: tuple[float, ...], model: str = "m") -> tuple[VoicePrint, ...]:
    voices = {f"spk_{number}": (10.0 + number, vector) for number, vector in enumerate(vectors)}
    return replace_voice_prints(engine, recording, model, voices)


def people(engine: Engine, recording: str) -> list[str]:
    return [f"{one.label} {one.name or '?'} {one.person or '-'}" for one in voice_prints(engine, recording)]


@pytest.fixture
def known(engine: Engine) -> Engine:
    register(engine, [Recording(recording, f"file:///{recording}.wav") for recording in (A, B, C)])
    return engine


def test_people_who_name_similar_voices_at_once_keep_their_names(known: Engine) -> None:
    """Each naming matches the other recording's voice again."""
    recordings = (A, B, C)
    for _ in range(20):
        for recording in recordings:
            heard(known, recording, like(ADA, 0.99))
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda each: name_speaker(known, each, "spk_0", f"name {each}"), recordings))
        assert [people(known, each) for each in recordings] == [
            [f"spk_0 name {each} name {each}"] for each in recordings
        ]
        forget_all(known)


def test_voices_are_kept_without_a_name(known: Engine) -> None:
    assert heard(known, A, ADA, BEN) == voice_prints(known, A)
    assert people(known, A) == ["spk_0 ? -", "spk_1 ? -"]
    assert [one.seconds for one in voice_prints(known, A)] == [10.0, 11.0]
    assert voice_prints(known) == ()


def test_a_named_person_is_named_where_certain_and_suggested_where_likely(
    known: Engine,
) -> None:
    heard(known, A, ADA, BEN)
    heard(known, B, BEN, like(ADA, SURE + 0.01))
    heard(known, C, like(ADA, LIKELY + 0.01))
    found = name_speaker(known, A, "spk_0", "Ada")
    assert [(one.recording, one.label, one.name) for one in found] == [(B, "spk_1", "Ada"), (C, "spk_0", None)]
    assert people(known, A) == ["spk_0 Ada Ada", "spk_1 ? -"]
    assert people(known, B) == ["spk_0 ? -", "spk_1 Ada Ada"]
    assert people(known, C) == ["spk_0 ? Ada"]


def test_later_recordings_recognise_named_people(known: Engine) -> None:
    heard(known, A, ADA)
    name_speaker(known, A, "spk_0", "Ada")
    certain, other = heard(known, B, like(ADA, SURE + 0.01), BEN)
    assert (certain.name, certain.confirmed, other.person) == ("Ada", False, None)
    (likely,) = heard(known, C, like(ADA, SURE - 0.01))
    assert (likely.name, likely.person) == (None, "Ada")


def test_a_person_is_at_most_one_voice_of_a_recording(known: Engine) -> None:
    heard(known, A, ADA)
    heard(known, B, like(ADA, SURE + 0.01), like(ADA, SURE + 0.05))
    assert [(one.recording, one.label) for one in name_speaker(known, A, "spk_0", "Ada")] == [(B, "spk_1")]
    assert people(known, B) == ["spk_0 ? -", "spk_1 Ada Ada"]
    assert [one.name for one in heard(known, C, like(ADA, SURE + 0.01), like(ADA, SURE + 0.05))] == [None, "Ada"]


def test_a_name_given_by_hand_survives_remaking_the_recording(known: Engine) -> None:
    heard(known, A, ADA, BEN)
    name_speaker(known, A, "spk_0", "Ada")
    again = heard(known, A, BEN, like(ADA, 0.99))
    assert [(one.person, one.confirmed) for one in again] == [(None, False), ("Ada", True)]


def test_a_name_given_by_hand_is_not_changed_by_another_recording(known: Engine) -> None:
    heard(known, A, ADA)
    heard(known, B, like(ADA, 0.95))
    name_speaker(known, B, "spk_0", "Ada's twin")
    assert name_speaker(known, A, "spk_0", "Ada") == ()
    assert people(known, B) == ["spk_0 Ada's twin Ada's twin"]


def test_a_wrong_name_is_corrected_everywhere(known: Engine) -> None:
    heard(known, A, ADA)
    heard(known, B, like(ADA, 0.9))
    name_speaker(known, A, "spk_0", "Eda")
    assert [one.recording for one in name_speaker(known, A, "spk_0", "Ada")] == [B]
    assert people(known, B) == ["spk_0 Ada Ada"]


def test_voices_of_different_models_are_not_compared(known: Engine) -> None:
    heard(known, A, ADA)
    heard(known, B, ADA, model="another")
    assert name_speaker(known, A, "spk_0", "Ada") == ()
    assert heard(known, C, ADA, model="another")[0].person is None


def test_a_speaker_without_a_voice_print_cannot_be_named(known: Engine) -> None:
    with pytest.raises(UnknownSpeaker, match=f"no voice print of spk_7 in {A}"):
        name_speaker(known, A, "spk_7", "Ada")


def test_a_forgotten_person_is_removed_from_every_recording(known: Engine) -> None:
    heard(known, A, ADA, BEN)
    heard(known, B, like(ADA, SURE + 0.01))
    heard(known, C, like(ADA, LIKELY + 0.01))
    name_speaker(known, A, "spk_0", "Ada")
    name_speaker(known, A, "spk_1", "Ben")
    assert forget_person(known, "Ada") == 2
    assert [people(known, recording) for recording in (A, B, C)] == [["spk_1 Ben Ben"], [], ["spk_0 ? -"]]
    with pytest.raises(UnknownSpeaker, match="'Ada'"):
        forget_person(known, "Ada")


def test_all_people_can_be_forgotten(known: Engine) -> None:
    heard(known, A, ADA, BEN)
    assert forget_all(known) == 2
    assert people(known, A) == []


def test_a_forgotten_recording_loses_its_voices_and_gets_none(known: Engine) -> None:
    heard(known, A, ADA)
    name_speaker(known, A, "spk_0", "Ada")
    forget(known, A)
    assert voice_prints(known) == voice_prints(known, A) == ()
    with pytest.raises(RecordingForgotten):
        heard(known, A, ADA)
