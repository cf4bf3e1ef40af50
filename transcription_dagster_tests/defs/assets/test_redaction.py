"""A recording with a spoken card number, through the assets that redact it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from sqlalchemy import Engine

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.changes import Draft
from transcription_dagster.corrections.manuscript import CorrectedText, Manuscript, correct
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.assets.redaction import NAMES, redaction
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.model import Audio, RemovedSpeech, Transcript, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests import corpus
from transcription_dagster_tests.redaction.spacy_model import install_names
from transcription_dagster_tests.sample_transcripts import RECORDING

pytestmark = pytest.mark.slow

INPUTS = ("audio", "conversation", "refined_txt", "corrected_txt")
SAID = "My card is four one one one one one one one one one one one one one one one thanks. Write to jane@example.org."


def stored(folder: Path, spoken: str = SAID, language: str = "en") -> ObjectStore:
    """A store with the audio and the conversation of a recording, a word each half second."""
    words = tuple(
        Word(word, number / 2, number / 2 + 0.4, speaker="ch_1" if number < 20 else "ch_0")
        for number, word in enumerate(spoken.split())
    )
    seconds = len(words) / 2
    sound = np.stack([corpus.tone(seconds), corpus.tone(seconds, hertz=300)], axis=1)
    flac = folder / "audio.flac"
    facts = normalise(corpus.write_wav(folder / "a.wav", sound), flac, max_seconds=60, channels="split")
    audio = Audio(RECORDING, "", seconds, facts.source_sha256, 1, "wav", 16_000, 2, -10.0, 1, "", flac_channels=2)
    store = ObjectStore(load_settings().store_url)
    store.put_file(f"{RECORDING}/audio.flac", flac)
    store.put_bytes(f"{RECORDING}/audio.json", STORED_FORMS["audio"].encode(audio))
    conversation = Transcript(RECORDING, words, language=language, duration=seconds)
    store.put_bytes(f"{RECORDING}/conversation.json", STORED_FORMS["conversation"].encode(conversation))
    store.put_bytes(f"{RECORDING}/refined.txt", f"{spoken}\n".encode())
    return store


def made(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Make all redacted files."""
    instance.add_dynamic_partitions("recordings", [RECORDING])
    definitions = dg.Definitions(
        [redaction, *(dg.AssetSpec(name, partitions_def=recordings) for name in INPUTS)],
        resources=all_resources(load_settings()),
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(asset) for asset in NAMES]
    return job.execute_in_process(instance=instance, partition_key=RECORDING, asset_selection=keys)


def test_text_captions_and_audio_are_redacted(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card,email")
    register(engine, [Recording(RECORDING, "/call.wav")])
    stored(tmp_path)
    result = made(instance)
    outcomes = {evaluation.asset_key.path[-1]: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert outcomes == dict.fromkeys(NAMES, True)
    folder = at_home / RECORDING
    assert (folder / "redacted.txt").read_text() == (
        "Channel 2: My card is [card] thanks.\n\nChannel 1: Write to [email].\n"
    )
    assert "[card]" in (folder / "redacted.srt").read_text()
    for channel in (0, 1):
        sound = np.concatenate(list(read_blocks(folder / "redacted.flac", 5, channel)))
        silent = np.flatnonzero(np.abs(sound).reshape(-1, 1600).max(axis=1) == 0) / 10
        # The words 3 to 18 and 22, with 0.2 s around them.
        assert (silent.min(), silent.max()) == pytest.approx((1.3, 11.4), abs=0.11)
        assert np.abs(sound[: round(1.2 * 16_000)]).max() > 0.1


def test_speakers_and_numbers_of_cues_are_not_taken_for_what_is_said(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "digits")
    register(engine, [Recording(RECORDING, "/call.wav")])
    # "Channel 2: one two three" would be four digits, and the number of the first cue, `1`, is part of "1 2 3 4".
    text = "one two three is what you have to press, and then you wait until you hear the tone, and tell me your name. "
    stored(tmp_path, spoken=text * 2)
    assert all(evaluation.passed for evaluation in made(instance).get_asset_check_evaluations())
    assert (at_home / RECORDING / "redacted.txt").read_text().startswith("Channel 2: one two three is")


def test_data_in_speech_that_was_left_out_is_silenced(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card")
    register(engine, [Recording(RECORDING, "/call.wav")])
    store = stored(tmp_path, spoken="Hello and goodbye to all of you.")
    form = STORED_FORMS["conversation"]
    key = f"{RECORDING}/{form.file}"
    left_out = RemovedSpeech(1.0, 2.0, "4111 1111 1111 1111", "no speech")
    store.put_bytes(key, form.encode(replace(form.decode(store.get_bytes(key)), removed=(left_out,))))
    assert all(evaluation.passed for evaluation in made(instance).get_asset_check_evaluations())
    assert "1111" not in (at_home / RECORDING / "redacted.json").read_text()
    sound = np.concatenate(list(read_blocks(at_home / RECORDING / "redacted.flac", 5, 0)))
    silent = np.flatnonzero(np.abs(sound).reshape(-1, 1600).max(axis=1) == 0) / 10
    assert (silent.min(), silent.max()) == pytest.approx((0.8, 2.1), abs=0.11)


def test_corrections_are_redacted_and_replaced_words_stay_silent(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card,email")
    register(engine, [Recording(RECORDING, "/call.wav")])
    store = stored(tmp_path)
    conversation = STORED_FORMS["conversation"].decode(store.get_bytes(f"{RECORDING}/conversation.json"))
    manuscript = Manuscript.of(conversation, f"{SAID}\n")

    def corrections(current: CorrectedText) -> list[Draft]:
        # A mail address that was misheard is named; one of the card's digits is taken for a word.
        wrote = drafts.retype(current.reading, 20, 23, "Write to bob@example.org.")
        named = drafts.set_speaker(current.reading, 20, 23, "Ada", everywhere=False)
        return [*wrote, *named, *drafts.retype(current.reading, 3, 4, "for")]

    correct(engine, manuscript, corrections, who="Bob", seen=0)
    result = made(instance)
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    folder = at_home / RECORDING
    assert (folder / "redacted.txt").read_text() == "Channel 2: My card is [card] thanks.\n\nAda: Write to [email].\n"
    assert "<v Ada>- Write to [email]." in (folder / "redacted.vtt").read_text()
    words = STORED_FORMS["redacted_json"].decode((folder / "redacted.json").read_bytes()).words
    assert [(word.text, word.speaker) for word in words][-2:] == [("to", "Ada"), ("[email].", "Ada")]
    sound = np.concatenate(list(read_blocks(folder / "redacted.flac", 5, 0)))
    assert np.abs(sound[round(1.4 * 16_000) : round(1.8 * 16_000)]).max() == 0


def test_names_and_places_are_redacted_by_presidio(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("presidio_analyzer", reason="Presidio, the extra `presidio`, is not installed")
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "name,address,email")
    install_names(tmp_path, monkeypatch)
    register(engine, [Recording(RECORDING, "/call.wav")])
    stored(tmp_path, spoken="I am Ada Brooks, of Pier Road. Write to ada@example.org.")
    result = made(instance)
    assert {evaluation.passed for evaluation in result.get_asset_check_evaluations()} == {True}
    (metadata,) = {
        str(event.step_materialization_data.materialization.metadata["detectors"].value)
        for event in result.get_asset_materialization_events()
    }
    assert metadata.startswith("patterns, Presidio 2.")
    assert metadata.endswith(" with en_few_names 1.2.3")
    text = (at_home / RECORDING / "redacted.txt").read_text()
    assert text == "I am [name], of [address]. Write to [email].\n"
    sound = np.concatenate(list(read_blocks(at_home / RECORDING / "redacted.flac", 5, 0)))
    silent = np.flatnonzero(np.abs(sound).reshape(-1, 1600).max(axis=1) == 0) / 10
    # The words 2 and 3, 5 and 6, and 9 with 0.2 s around them.
    assert {0.8, 1.9, 2.3, 3.5, 4.3} <= set(silent.round(1))


def test_a_kind_without_a_detector_for_the_language_is_a_warning(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "name,email")
    monkeypatch.setenv("TRANSCRIPTION_INSIGHTS", "comprehend")
    register(engine, [Recording(RECORDING, "/call.wav")])
    stored(tmp_path, language="cy")
    result = made(instance)
    checks = result.get_asset_check_evaluations()
    assert {(each.passed, each.severity) for each in checks} == {(False, dg.AssetCheckSeverity.WARN)}
    events = result.get_asset_materialization_events()
    assert {str(each.step_materialization_data.materialization.metadata["not_searched"].value) for each in events} == {
        "name"
    }
    assert "[email]" in (at_home / RECORDING / "redacted.txt").read_text()


def test_redacted_assets_exist_only_if_kinds_are_set(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> set[str]:
        return {key.to_user_string() for asset in all_assets(load_settings()) for key in asset.keys}

    assert not {name for name in names() if name.startswith("redacted")}
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card")
    assert {name for name in names() if name.startswith("redacted")} == set(NAMES)
