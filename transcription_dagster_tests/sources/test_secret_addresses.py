"""The secret part of a source's URL: where it is stored, and how it gets there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.database.tables import RecordingRow
from transcription_dagster.sources.addresses import keep_whole_url, move_secrets, whole_url
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests import traces
from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine"]

A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path.as_uri())


def test_the_whole_url_is_private_unlisted_and_forgotten_with_its_recording(store: ObjectStore, tmp_path: Path) -> None:
    shown = keep_whole_url(store, A, "https://host/a.wav?sig=s3cr3t")
    store.put_bytes(f"{A}/audio.json", b"{}")
    assert shown == "https://host/a.wav"
    assert whole_url(store, A, shown) == "https://host/a.wav?sig=s3cr3t"
    assert stat.S_IMODE((tmp_path / A / "source.secret").stat().st_mode) == 0o600
    assert [stored.key for stored in store.list(A)] == [stored.key for stored in store.list()] == [f"{A}/audio.json"]
    assert store.forget(A) == 2
    assert traces.in_files(tmp_path, "s3cr3t") == []


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://user:s3cr3t@host/a.wav", "https://host/a.wav"),
        ("https://host/a.wav?id=7&token=s3cr3t", "https://host/a.wav"),
        ("http://host/a.wav#s3cr3t", "http://host/a.wav"),
    ],
)
def test_secrets_in_rows_are_moved_to_the_store(
    source: str, shown: str, engine: Engine, database_url: str, store: ObjectStore
) -> None:
    register(engine, [Recording(A, shown), Recording(B, "s3://bucket/what?#1@home.wav")])
    with engine.begin() as connection:
        row = {"source": source, "error": f"could not read {source}: 403"}
        connection.execute(update(RecordingRow).where(RecordingRow.uuid == A).values(row))
    for _ in range(2):
        move_secrets(engine, store)
    assert traces.in_database(database_url, "s3cr3t") == []
    found, other = find_recording(engine, A), find_recording(engine, B)
    assert found is not None
    assert other is not None
    assert (found.source, other.source) == (shown, "s3://bucket/what?#1@home.wav")
    assert whole_url(store, A, found.source) == source
