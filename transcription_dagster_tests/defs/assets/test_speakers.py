"""The asset `speakers`: whether and how a recording is diarized, and how its speakers are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

import transcription_dagster
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.database.voice_prints import name_speaker, replace_voice_prints, voice_prints
from transcription_dagster.defs.assets.ingest import audio
from transcription_dagster.defs.assets.speakers import speakers
from transcription_dagster.defs.resources import InferenceResource, all_resources
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.model import Audio, SpeakerLimits, Speakers, SpeakerTurn
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster_tests.speakers.conftest import speaker_models_home

__all__ = ["speaker_models_home"]

OTHER = "00000000-0000-0000-0000-000000000002"
RECORDING = "00000000-0000-0000-0000-000000000001"
AUDIO = Audio(RECORDING, "", 9.0, "0" * 64, 1, "flac", 16_000, 1, -20.0, 1, "0" * 64)
#: One voice, twelve seconds.
MEMO = Path(transcription_dagster.__file__).parent / "demo/recordings/9a014f69-1578-5703-bce3-2b05134a3ff4.flac"
TURNS = [[0.5, 2.0, "spk_0"], [2.0, 4.0, "spk_1"], [4.5, 6.0, "spk_0"]]


@pytest.fixture
def run(engine: Engine, at_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Materialize `speakers` with this answer of the models; return its value, its metadata and the requests."""

    def run(registered: Recording, result: dict[str, Any] | None = None) -> tuple[Speakers, dict[str, Any], list[Any]]:
        requests: list[Any] = []

        def diarize(*_: object, **how: Any) -> InferenceAnswer:
            requests.append(how)
            diarization = {"turns": TURNS, "voices": {}, "model": "model", "skipped": None} | (result or {})
            return InferenceAnswer(diarization, waited_seconds=0.0, gpu_seconds=1.0, attempts=())

        monkeypatch.setattr(
            InferenceResource, "diarize", lambda self, context, audio, limits, **how: diarize(limits=limits, **how)
        )
        register(engine, [registered])
        instance.add_dynamic_partitions("recordings", [RECORDING])
        store = ObjectStore(load_settings().store_url)
        store.put_bytes(object_key(RECORDING, "audio.json"), STORED_FORMS["audio"].encode(AUDIO))
        ran = dg.materialize(
            [speakers, dg.AssetSpec("audio")],
            partition_key=RECORDING,
            instance=instance,
            resources=all_resources(load_settings()),
        )
        (materialization,) = ran.asset_materializations_for_node("speakers")
        form = STORED_FORMS["speakers"]
        value = form.decode(store.get_bytes(object_key(RECORDING, form.file)))
        return value, {name: entry.value for name, entry in materialization.metadata.items()}, requests

    return run


def test_turns_are_stored_and_shown(run: Any) -> None:
    value, metadata, requests = run(Recording(RECORDING, "file:///a.wav"))
    assert value == Speakers(
        RECORDING,
        (SpeakerTurn(0.5, 2.0, "spk_0"), SpeakerTurn(2.0, 4.0, "spk_1"), SpeakerTurn(4.5, 6.0, "spk_0")),
        model="model",
    )
    assert (metadata["speakers"], metadata["turns"]) == (2, 3)
    assert "| spk\\_0 | 3.0 |" in metadata["shares"]
    assert [request["limits"] for request in requests] == [SpeakerLimits()]


def test_the_recordings_number_and_names_override_the_settings(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_SPEAKERS", "off")
    value, _, requests = run(Recording(RECORDING, "file:///a.wav", speakers="2", speaker_names=("Agent", "Caller")))
    assert [turn.speaker for turn in value.turns] == ["Agent", "Caller", "Agent"]
    assert [request["limits"] for request in requests] == [SpeakerLimits("required", 2, 2)]


def test_with_diarization_off_nothing_is_requested_and_the_reason_is_given(run: Any) -> None:
    value, metadata, requests = run(Recording(RECORDING, "file:///a.wav", speakers="off"))
    assert (value.turns, requests) == ((), [])
    assert value.skipped == metadata["note"] == "TRANSCRIPTION_SPEAKERS, or the recording's worklist, says off."


def test_missing_models_are_reported_with_a_solution(run: Any) -> None:
    note = "run `transcription models pull speakers`"
    value, metadata, _ = run(Recording(RECORDING, "file:///a.wav"), {"turns": [], "model": "", "skipped": note})
    assert value == Speakers(RECORDING, skipped=note)
    assert metadata["note"] == note


VOICES = {"spk_0": [1.0, 0.0], "spk_1": [0.0, 1.0]}


def test_voices_are_stored_only_if_a_setting_allows_it(
    run: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, (requests,) = run(Recording(RECORDING, "file:///a.wav"))
    assert not requests["voices"]
    assert voice_prints(engine, RECORDING) == ()
    monkeypatch.setenv("TRANSCRIPTION_VOICE_PRINTS", "true")
    _, _, (requests,) = run(Recording(RECORDING, "file:///a.wav"), {"voices": VOICES})
    assert requests["voices"]
    assert [(voice.label, voice.seconds) for voice in voice_prints(engine, RECORDING)] == [
        ("spk_0", 3.0),
        ("spk_1", 2.0),
    ]


def test_a_voice_that_was_named_elsewhere_gives_its_name_or_a_suggestion(
    run: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_VOICE_PRINTS", "true")
    register(engine, [Recording(OTHER, "file:///b.wav")])
    replace_voice_prints(engine, OTHER, "model", {"spk_0": (9.0, (0.1, 0.99)), "spk_1": (9.0, (0.6, -0.8))})
    name_speaker(engine, OTHER, "spk_0", "Ada")
    name_speaker(engine, OTHER, "spk_1", "Ben")
    value, metadata, _ = run(Recording(RECORDING, "file:///a.wav"), {"voices": VOICES})
    assert [turn.speaker for turn in value.turns] == ["spk_0", "Ada", "spk_0"]
    assert "| spk\\_0 | Ben | 0.60 |" in metadata["suggestions"]


@pytest.mark.slow
def test_without_a_pool_diarization_runs_in_the_steps_process(
    engine: Engine, at_home: Path, instance: dg.DagsterInstance, speaker_models_home: Path
) -> None:
    (at_home.parent / "home").mkdir()
    (at_home.parent / "home" / "models").symlink_to(speaker_models_home)
    register(engine, [Recording(RECORDING, MEMO.as_uri())])
    instance.add_dynamic_partitions("recordings", [RECORDING])
    ran = dg.materialize(
        [audio, speakers],
        partition_key=RECORDING,
        instance=instance,
        resources=all_resources(load_settings()),
    )
    (materialization,) = ran.asset_materializations_for_node("speakers")
    assert materialization.metadata["speakers"].value == 1
    document = json.loads((at_home / RECORDING / "speakers.json").read_text())
    assert document["model"] == "segmentation-3.0+campplus-zh-en"
    assert {turn["speaker"] for turn in document["turns"]} == {"spk_0"}
