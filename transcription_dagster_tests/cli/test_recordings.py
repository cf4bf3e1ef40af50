"""Importing a transcript by another program, and forgetting a recording."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from dagster import AssetKey, AssetSpec, DagsterInstance, materialize
from sqlalchemy import Engine

from transcription_dagster.cli.connection import open_instance
from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.defs.assets.captions import captions_srt
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.settings import load_settings
from transcription_dagster.transcripts.amazon_json import read_transcript

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
AMAZON = {
    "jobName": "harbour-news-17",
    "accountId": "123456789012",
    "status": "COMPLETED",
    "results": {
        "language_code": "en-US",
        "transcripts": [{"transcript": "Ferry leaves."}],
        "items": [
            {"type": "pronunciation", "alternatives": [{"confidence": "0.9", "content": "Ferry"}],
             "start_time": "0.1", "end_time": "0.5"},
            {"type": "pronunciation", "alternatives": [{"confidence": "0.8", "content": "leaves"}],
             "start_time": "0.5", "end_time": "0.9"},
            {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": "."}]},
        ],
    },
}  # fmt: skip


@pytest.fixture
def amazon(tmp_path: Path) -> Path:
    path = tmp_path / "amazon.json"
    path.write_text(json.dumps(AMAZON))
    return path


def test_amazons_transcript_becomes_the_recordings_own(
    on_database: Command, engine: Engine, amazon: Path, tmp_path: Path
) -> None:
    result = on_database("import", str(amazon), "--uuid", A)
    assert result.exit_code == 0, result.output
    assert "2 words" in result.output
    # Read without the recording's UUID, as the assets read it.
    transcript = read_transcript((tmp_path / "store" / A / "transcript.json").read_bytes())
    assert transcript.recording == A
    assert [(word.text, word.start) for word in transcript.words] == [("Ferry", 0.1), ("leaves.", 0.5)]
    recording = find_recording(engine, A)
    assert recording is not None
    assert recording.source == (tmp_path / "store" / A / "transcript.json").as_uri()
    assert recording.language == "en-US"


def test_the_imported_transcript_is_materialized_in_dagster(on_database: Command, amazon: Path) -> None:
    on_database("import", str(amazon), "--uuid", A)
    with open_instance(load_settings()) as instance:
        assert instance.get_dynamic_partitions("recordings") == [A]
        assert instance.get_materialized_partitions(AssetKey("transcript")) == {A}
        [record] = instance.fetch_materializations(AssetKey("transcript"), limit=2).records
        metadata = record.asset_materialization.metadata if record.asset_materialization else {}
        assert (metadata["words"].value, metadata["imported_from"].value) == (2, str(amazon))


def test_captions_are_made_from_an_import_without_transcribing(
    on_database: Command, amazon: Path, tmp_path: Path
) -> None:
    on_database("import", str(amazon), "--uuid", A)
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("recordings", [A])
        # Without `conversation.json`, the transcript replaces it.
        assets = [captions_srt, AssetSpec("conversation", partitions_def=recordings)]
        resources = all_resources(load_settings())
        materialize(assets, partition_key=A, instance=instance, resources=resources, selection=[captions_srt])
    assert "Ferry leaves." in (tmp_path / "store" / A / "captions.srt").read_text()


def test_forgetting_removes_the_partition(on_database: Command, amazon: Path) -> None:
    for uuid in (A, B):
        on_database("import", str(amazon), "--uuid", uuid)
    on_database("forget", "-y", A)
    with open_instance(load_settings()) as instance:
        assert instance.get_dynamic_partitions("recordings") == [B]


def test_standard_input_is_read_for_a_dash(on_database: Command, tmp_path: Path) -> None:
    assert on_database("import", "-", "--uuid", A, input=json.dumps(AMAZON)).exit_code == 0
    assert (tmp_path / "store" / A / "transcript.json").exists()


def test_an_import_keeps_known_facts_about_the_recording(on_database: Command, engine: Engine, amazon: Path) -> None:
    registered = Recording(A, "s3://bucket/a.wav", "Harbour news", "de", etag="e1")
    register(engine, [registered])
    on_database("import", str(amazon), "--uuid", A)
    assert find_recording(engine, A) == registered


def test_the_source_of_the_audio_can_be_named(on_database: Command, engine: Engine, amazon: Path) -> None:
    on_database("import", str(amazon), "--uuid", A, "--source", "s3://bucket/a.wav")
    recording = find_recording(engine, A)
    assert recording is not None
    assert recording.source == "s3://bucket/a.wav"


def test_an_invalid_transcript_changes_nothing(on_database: Command, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"results": 1}')
    result = on_database("import", "other.json", "--uuid", A)
    assert isinstance(result.exception, InvalidTranscript)
    assert str(result.exception).startswith("other.json: results")
    assert find_recording(engine, A) is None
    assert not (tmp_path / "store" / A).exists()


@pytest.mark.parametrize("uuid", ["", "not-a-uuid", "../../etc/passwd", A + "/x"])
def test_a_recording_must_be_named_by_its_uuid(on_database: Command, amazon: Path, uuid: str) -> None:
    assert on_database("import", str(amazon), "--uuid", uuid).exit_code == 2
    assert on_database("forget", "-y", "--", uuid).exit_code == 2


def test_forgetting_removes_rows_and_files_of_that_recording_alone(
    on_database: Command, engine: Engine, amazon: Path, tmp_path: Path
) -> None:
    for uuid in (A, B):
        on_database("import", str(amazon), "--uuid", uuid)
        publish(engine, Publication(uuid, "a", "A.", "en", "medium", 1, 1.0))
    result = on_database("forget", "-y", A)
    assert (result.exit_code, result.stdout) == (0, f"Removed {A}: its rows, 1 files, 0 runs and its partition.\n")
    assert find_recording(engine, A) is None
    assert list((tmp_path / "store").rglob("*.json")) == [tmp_path / "store" / B / "transcript.json"]
    assert find_recording(engine, B) is not None


def test_a_repeated_forget_completes_an_interrupted_one(
    on_database: Command, engine: Engine, amazon: Path, tmp_path: Path
) -> None:
    on_database("import", str(amazon), "--uuid", A)
    from transcription_dagster.database.recordings import forget

    forget(engine, A)
    assert on_database("forget", "-y", A).stdout == f"Removed {A}: no rows, 1 files, 0 runs and its partition.\n"
    assert not list((tmp_path / "store").rglob("*.json"))


def test_forgetting_an_unknown_recording_is_an_error(on_database: Command) -> None:
    result = on_database("forget", "-y", A)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, f"Nothing is stored about {A}.")


def test_forgetting_asks_for_confirmation(on_database: Command, engine: Engine, amazon: Path) -> None:
    on_database("import", str(amazon), "--uuid", A)
    assert on_database("forget", A, input="n\n").exit_code == 1
    assert find_recording(engine, A) is not None
    assert on_database("forget", A, input="y\n").exit_code == 0
    assert find_recording(engine, A) is None


def test_the_store_of_all_machines_is_used_where_none_is_set(
    on_database: Command, engine: Engine, amazon: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_database("settings", "push")
    monkeypatch.delenv("TRANSCRIPTION_STORE")
    on_database("import", str(amazon), "--uuid", A)
    assert [path.name for path in (tmp_path / "store" / A).iterdir()] == ["transcript.json"]
    assert "1 files" in on_database("forget", "-y", A).stdout
    assert not list((tmp_path / "store").rglob("*.json"))
