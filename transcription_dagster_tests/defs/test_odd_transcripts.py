"""Unusual transcripts by Whisper or Amazon go through the whole graph up to publication."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.definitions import defs
from transcription_dagster.model import Transcript, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster_tests.sample_transcripts import RECORDING, transcript

pytestmark = pytest.mark.slow

#: Asset -> its file, if it has one.
MADE = {
    "captions_srt": "captions.srt",
    "captions_vtt": "captions.vtt",
    "corrected_txt": "corrected.txt",
    "embeddings": None,
    "insights": "insights.json",
    "peaks": "peaks.bin",
    "reading": "reading.json",
    "refined_srt": "refined.srt",
    "refined_txt": "refined.txt",
    "refined_vtt": "refined.vtt",
    "transcript_txt": "transcript.txt",
}


def signs(text: str) -> tuple[Word, ...]:
    """One word for each sign, as Whisper times a script without spaces."""
    return tuple(Word(sign, place / 4, place / 4 + 0.2, glued=place > 0) for place, sign in enumerate(text))


ODD = {
    "silence without a language": Transcript(RECORDING, (), language="und", duration=3.0),
    "one word": transcript("Yes."),
    "one word that takes no time": Transcript(RECORDING, (Word("So", 1.0, 1.0),), language="en", duration=1.0),
    "a language that Postgres has no dictionary of": transcript("Tha mi sgìth agus tha an t-acras orm", language="gd"),
    "from right to left, with emoji": transcript("שלום עולם 👋🏽 מה שלומך היום", language="he"),
    "a word that fills a line": transcript("Donau" + "dampf" * 12 + " fährt", language="de"),
    "without spaces": Transcript(RECORDING, signs("私は昨日新しい本を買いました"), language="ja", duration=4.0),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_every_asset_is_made_from_an_odd_transcript(
    odd: Transcript, at_home: Path, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REFINEMENT", "off")
    monkeypatch.setenv("TRANSCRIPTION_INFERENCE", "process")
    register(engine, [Recording(RECORDING, "/odd.wav")])
    instance.add_dynamic_partitions("recordings", [RECORDING])
    store = ObjectStore(load_settings().store_url)
    store.put_bytes(f"{RECORDING}/transcript.json", write_transcript(odd).encode())
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        partition_key=RECORDING,
        asset_selection=[dg.AssetKey(name) for name in MADE],
        raise_on_error=False,
    )
    materialized = {
        event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key
    }
    assert result.success
    assert materialized == set(MADE)
    files = {path.name for path in (at_home / RECORDING).iterdir()}
    assert files == {"transcript.json", "edits.json", *filter(None, MADE.values())}
    messages = "".join((at_home / RECORDING / "refined.txt").read_text().split())
    assert messages == "".join(word.text for word in odd.words)
