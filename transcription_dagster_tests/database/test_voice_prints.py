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


def store_voices(
    engine: Engine, recording: str, *vectors: tuple[float, ...], model: str = "m"
) -> tuple[VoicePrint, ...]:
    voices = {f"spk_{number}": (10.0 + number, vector) for number, vector in enumerate(vectors)}
    return replace_voice_prints(engine, recording, model, voices)


def people(engine: Engine, recording: str) -> list[str]:
    return [f"{voice.label} {voice.name or '?'} {voice.person or '-'}" for voice in voice_prints(engine, recording)]


@pytest.fixture
def registered(engine: Engine) -> Engine:
    register(engine, [Recording(recording, f"file:///{recording}.wav") for recording in (A, B, C)])
    return engine


def test_people_who_name_similar_voices_at_once_keep_their_names(registered: Engine) -> None:
    """Each naming matches the other recording's voice again."""
    recordings = (A, B, C)
    for _ in range(20):
        for recording in recordings:
            store_voices(registered, recording, like(ADA, 0.99))
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda uuid: name_speaker(registered, uuid, "spk_0", f"name {uuid}"), recordings))
        assert [people(registered, uuid) for uuid in recordings] == [
            [f"spk_0 name {uuid} name {uuid}"] for uuid in recordings
        ]
        forget_all(registered)


def test_voices_are_kept_without_a_name(registered: Engine) -> None:
    assert store_voices(registered, A, ADA, BEN) == voice_prints(registered, A)
    assert people(registered, A) == ["spk_0 ? -", "spk_1 ? -"]
    assert [voice.seconds for voice in voice_prints(registered, A)] == [10.0, 11.0]
    assert voice_prints(registered) == ()


def test_a_named_person_is_named_where_certain_and_suggested_where_likely(
    registered: Engine,
) -> None:
    store_voices(registered, A, ADA, BEN)
    store_voices(registered, B, BEN, like(ADA, SURE + 0.01))
    store_voices(registered, C, like(ADA, LIKELY + 0.01))
    matches = name_speaker(registered, A, "spk_0", "Ada")
    assert [(voice.recording, voice.label, voice.name) for voice in matches] == [
        (B, "spk_1", "Ada"),
        (C, "spk_0", None),
    ]
    assert people(registered, A) == ["spk_0 Ada Ada", "spk_1 ? -"]
    assert people(registered, B) == ["spk_0 ? -", "spk_1 Ada Ada"]
    assert people(registered, C) == ["spk_0 ? Ada"]


def test_later_recordings_recognise_named_people(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    name_speaker(registered, A, "spk_0", "Ada")
    certain, unknown = store_voices(registered, B, like(ADA, SURE + 0.01), BEN)
    assert (certain.name, certain.confirmed, unknown.person) == ("Ada", False, None)
    (likely,) = store_voices(registered, C, like(ADA, SURE - 0.01))
    assert (likely.name, likely.person) == (None, "Ada")


def test_a_person_is_at_most_one_voice_of_a_recording(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    store_voices(registered, B, like(ADA, SURE + 0.01), like(ADA, SURE + 0.05))
    assert [(voice.recording, voice.label) for voice in name_speaker(registered, A, "spk_0", "Ada")] == [(B, "spk_1")]
    assert people(registered, B) == ["spk_0 ? -", "spk_1 Ada Ada"]
    assert [voice.name for voice in store_voices(registered, C, like(ADA, SURE + 0.01), like(ADA, SURE + 0.05))] == [
        None,
        "Ada",
    ]


def test_a_name_given_by_hand_survives_remaking_the_recording(registered: Engine) -> None:
    store_voices(registered, A, ADA, BEN)
    name_speaker(registered, A, "spk_0", "Ada")
    stored = store_voices(registered, A, BEN, like(ADA, 0.99))
    assert [(voice.person, voice.confirmed) for voice in stored] == [(None, False), ("Ada", True)]


def test_a_name_given_by_hand_is_not_changed_by_another_recording(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    store_voices(registered, B, like(ADA, 0.95))
    name_speaker(registered, B, "spk_0", "Ada's twin")
    assert name_speaker(registered, A, "spk_0", "Ada") == ()
    assert people(registered, B) == ["spk_0 Ada's twin Ada's twin"]


def test_a_wrong_name_is_corrected_everywhere(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    store_voices(registered, B, like(ADA, 0.9))
    name_speaker(registered, A, "spk_0", "Eda")
    assert [voice.recording for voice in name_speaker(registered, A, "spk_0", "Ada")] == [B]
    assert people(registered, B) == ["spk_0 Ada Ada"]


def test_voices_of_different_models_are_not_compared(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    store_voices(registered, B, ADA, model="another")
    assert name_speaker(registered, A, "spk_0", "Ada") == ()
    assert store_voices(registered, C, ADA, model="another")[0].person is None


def test_a_speaker_without_a_voice_print_cannot_be_named(registered: Engine) -> None:
    with pytest.raises(UnknownSpeaker, match=f"no voice print of spk_7 in {A}"):
        name_speaker(registered, A, "spk_7", "Ada")


def test_a_forgotten_person_is_removed_from_every_recording(registered: Engine) -> None:
    store_voices(registered, A, ADA, BEN)
    store_voices(registered, B, like(ADA, SURE + 0.01))
    store_voices(registered, C, like(ADA, LIKELY + 0.01))
    name_speaker(registered, A, "spk_0", "Ada")
    name_speaker(registered, A, "spk_1", "Ben")
    assert forget_person(registered, "Ada") == 2
    assert [people(registered, recording) for recording in (A, B, C)] == [["spk_1 Ben Ben"], [], ["spk_0 ? -"]]
    with pytest.raises(UnknownSpeaker, match="'Ada'"):
        forget_person(registered, "Ada")


def test_all_people_can_be_forgotten(registered: Engine) -> None:
    store_voices(registered, A, ADA, BEN)
    assert forget_all(registered) == 2
    assert people(registered, A) == []


def test_a_forgotten_recording_loses_its_voices_and_gets_none(registered: Engine) -> None:
    store_voices(registered, A, ADA)
    name_speaker(registered, A, "spk_0", "Ada")
    forget(registered, A)
    assert voice_prints(registered) == voice_prints(registered, A) == ()
    with pytest.raises(RecordingForgotten):
        store_voices(registered, A, ADA)
