"""A recording in which somebody says a card number, through the assets that take it out."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from sqlalchemy import Engine

from transcription_dagster.audio.decode import normalise, read_blocks
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.assets.redaction import redaction
from transcription_dagster.defs.io_manager import StoreIOManager
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.model import Audio, Transcript, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests import corpus
from transcription_dagster_tests.sample_transcripts import RECORDING

pytestmark = pytest.mark.slow

SAID = "My card is four one one one one one one one one one one one one one one one thanks. Write to jane@example.org."


def stored(folder: Path) -> ObjectStore:
    """A store with the audio and the conversation of a recording, a word each half second."""
    words = tuple(
        Word(text, number / 2, number / 2 + 0.4, speaker="ch_1" if number < 20 else "ch_0")
        for number, text in enumerate(SAID.split())
    )
    seconds = len(words) / 2
    sound = np.stack([corpus.tone(seconds), corpus.tone(seconds, hertz=300)], axis=1)
    flac = folder / "audio.flac"
    facts = normalise(corpus.write_wav(folder / "a.wav", sound), flac, max_seconds=60, channels="split")
    audio = Audio(RECORDING, "", seconds, facts.source_sha256, 1, "wav", 16_000, 2, -10.0, 1, "", flac_channels=2)
    store = ObjectStore(load_settings().store_url)
    store.put_file(f"{RECORDING}/audio.flac", flac)
    store.put_bytes(f"{RECORDING}/audio.json", STORED_FORMS["audio"].encode(audio))
    conversation = Transcript(RECORDING, words, duration=seconds)
    store.put_bytes(f"{RECORDING}/conversation.json", STORED_FORMS["conversation"].encode(conversation))
    return store


def made(instance: dg.DagsterInstance, *assets: str) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("recordings", [RECORDING])
    definitions = dg.Definitions(
        [redaction, *(dg.AssetSpec(name, partitions_def=recordings) for name in ("audio", "conversation"))],
        resources={"io_manager": StoreIOManager(), "catalogue": CatalogueResource(), "store": StoreResource()},
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(asset) for asset in assets]
    return job.execute_in_process(instance=instance, partition_key=RECORDING, asset_selection=keys)


def test_text_captions_and_sound_are_without_it(
    at_home: Path, tmp_path: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card,email")
    register(engine, [Recording(RECORDING, "/call.wav")])
    stored(tmp_path)
    result = made(instance, "redacted_txt", "redacted_srt", "redacted_audio")
    outcomes = {each.asset_key.path[-1]: each.passed for each in result.get_asset_check_evaluations()}
    assert outcomes == {"redacted_txt": True, "redacted_srt": True, "redacted_audio": True}
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


def test_redacted_assets_exist_only_where_kinds_are_named(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> set[str]:
        return {key.to_user_string() for asset in all_assets(load_settings()) for key in asset.keys}

    assert not {name for name in names() if name.startswith("redacted")}
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card")
    assert {name for name in names() if name.startswith("redacted")} == {
        "redacted_txt",
        "redacted_srt",
        "redacted_audio",
    }
