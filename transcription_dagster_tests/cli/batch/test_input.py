"""Checks before a batch starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from transcription_dagster.cli.batch.input import BatchInput, checked_model, register_recordings, unfinished_entries
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.errors import InvalidWorklist, UnknownModel
from transcription_dagster.model import Term
from transcription_dagster.sources.worklists import load
from transcription_dagster.store.object_store import ObjectStore

ONE = "919f49d0-ef35-5e93-b564-e948b9d75f83"
TWO = "fb4024f4-a2d2-5e85-bbe5-f84f01e07dc0"
THREE = "1ecda57a-ca74-504e-a10d-5f46e86c70ea"


def batch(folder: Path, *objects: dict[str, object]) -> BatchInput:
    path = folder / "worklist.json"
    path.write_text(json.dumps(objects))
    worklist = load(path)
    return BatchInput(worklist, worklist.entries)


def test_finished_entries_are_skipped_and_failed_ones_are_not(tmp_path: Path) -> None:
    worklist = batch(tmp_path, {"uuid": ONE, "status": "done"}, {"uuid": TWO, "status": "failed"}, {"uuid": THREE})
    assert [entry.uuid for entry in unfinished_entries(worklist.worklist)] == [TWO, THREE]
    assert [entry.uuid for entry in unfinished_entries(worklist.worklist, 2)] == [THREE]
    assert unfinished_entries(worklist.worklist, 9) == ()


def test_a_model_is_a_known_name_a_file_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.pt").write_bytes(b"")
    (tmp_path / "plain").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert checked_model("medium") == "medium"
    assert checked_model("large-v3-turbo") == "large-v3-turbo"
    assert checked_model("own.pt") == checked_model("./own.pt") == str(tmp_path / "own.pt")
    assert checked_model("plain") == str(tmp_path / "plain")
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_bytes(b"")
    assert checked_model("tuned") == str(tmp_path / "tuned")


@pytest.mark.parametrize("model", ["huge", "missing.pt", "/missing/own.pt", ".", ""])
def test_an_unknown_model_name_is_refused(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel, match="neither the path of a model nor a known model"):
        checked_model(model)


def test_jobs_after_the_transcript_need_a_known_recording_and_keep_its_source(engine: Engine, tmp_path: Path) -> None:
    register(engine, [Recording(ONE, "s3://b/one.wav")])
    register_recordings(
        engine,
        ObjectStore(tmp_path.as_uri()),
        batch(tmp_path, {"uuid": ONE, "job": "captions", "source": "moved.wav"}),
        None,
    )
    assert find_recording(engine, ONE) == Recording(ONE, "s3://b/one.wav")
    with pytest.raises(InvalidWorklist, match=f"entry 1: {TWO} is not known, so it has no transcript for the job"):
        register_recordings(
            engine,
            ObjectStore(tmp_path.as_uri()),
            batch(tmp_path, {"uuid": TWO, "job": "reindex", "source": "s3://b/two.wav"}),
            None,
        )


def test_recordings_are_registered_as_the_worklist_describes_them(engine: Engine, tmp_path: Path) -> None:
    described = {"uuid": ONE, "source": "s3://b/one.wav", "title": "One", "language": "en", "vocabulary": ["Ellis"]}
    register_recordings(engine, ObjectStore(tmp_path.as_uri()), batch(tmp_path, described), None)
    assert find_recording(engine, ONE) == Recording(ONE, "s3://b/one.wav", "One", "en", (Term("Ellis"),))
    mixed = {"uuid": TWO, "source": "s3://b/two.wav", "languages": ["de", "en"], "channels": "split"}
    register_recordings(engine, ObjectStore(tmp_path.as_uri()), batch(tmp_path, mixed), None)
    assert find_recording(engine, TWO) == Recording(TWO, "s3://b/two.wav", channels="split", languages=("de", "en"))


def test_a_recording_that_is_known_needs_no_source(engine: Engine, tmp_path: Path) -> None:
    register(engine, [Recording(ONE, "s3://b/one.wav", title="One")])
    register_recordings(engine, ObjectStore(tmp_path.as_uri()), batch(tmp_path, {"uuid": ONE, "language": "de"}), None)
    assert find_recording(engine, ONE) == Recording(ONE, "s3://b/one.wav", "One", "de")


def test_a_recording_in_the_media_library_needs_no_source(engine: Engine, tmp_path: Path) -> None:
    register_recordings(
        engine, ObjectStore(tmp_path.as_uri()), batch(tmp_path, {"uuid": ONE}), "https://ib.example.org/{uuid}/audio"
    )
    recording = find_recording(engine, ONE)
    assert recording is not None
    assert recording.source == f"https://ib.example.org/{ONE}/audio"


def test_recordings_without_a_source_are_all_named_and_none_is_registered(engine: Engine, tmp_path: Path) -> None:
    recordings = batch(tmp_path, {"uuid": ONE}, {"uuid": TWO, "source": "s3://b/two.wav"}, {"uuid": THREE})
    with pytest.raises(InvalidWorklist) as caught:
        register_recordings(engine, ObjectStore(tmp_path.as_uri()), recordings, None)
    path = recordings.worklist.path
    assert str(caught.value).splitlines() == [
        f"{path}: entry 1: has no `source`, and {ONE} is not known",
        f"{path}: entry 3: has no `source`, and {THREE} is not known",
    ]
    assert find_recording(engine, TWO) is None
