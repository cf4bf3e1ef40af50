"""`transcription database`, on a given Postgres and on the embedded one."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import Engine, update

from transcription_dagster.cli import connection
from transcription_dagster.cli.connection import open_cli_database, reachable_database
from transcription_dagster.database.recordings import Recording, find_recording, record_failure, register
from transcription_dagster.database.tables import RecordingRow
from transcription_dagster.errors import DatabaseUnavailable, InvalidSetting, TranscriptionError, WrongDatabaseVersion
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.sources.addresses import whole_url
from transcription_dagster.stack.postgres import answers, database_url
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests.postgres import empty_database

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {
            f"{schema}.{name}" for schema, name in connection.execute("SELECT schemaname, tablename FROM pg_tables")
        }


def test_upgrade_creates_the_tables_of_the_program_the_queues_and_dagster(
    on_database: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set first, so that it is unset again after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("DAGSTER_HOME")
    with empty_database() as url:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        result = on_database("database", "upgrade")
        assert result.exit_code == 0, result.output
        assert "The database is at revision" in result.output
        assert {"transcription_data.recordings", "public.procrastinate_jobs", "public.runs"} <= tables(url)


def test_upgrade_moves_the_secrets_of_urls_to_the_store_in_force(
    on_database: Command, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    in_force = (tmp_path / "in force").as_uri()
    push(load_settings(store=in_force), engine, has_credentials=False)
    source = "https://host/a.wav?token=s3cr3t"
    register(engine, [Recording(A, "https://host/a.wav")])
    with engine.begin() as connection:
        connection.execute(update(RecordingRow).values(source=source))
    result = on_database("database", "upgrade")
    assert result.exit_code == 0, result.output
    recording = find_recording(engine, A)
    assert recording is not None
    assert recording.source == "https://host/a.wav"
    assert whole_url(ObjectStore(in_force), A, recording.source) == source


def test_status_shows_revision_and_contents(on_database: Command, engine: Engine) -> None:
    register(engine, [Recording(A, "file:///a.wav"), Recording(B, "file:///b.wav")])
    record_failure(engine, B, "no audio stream")
    replace_chunks(engine, A, EmbeddingModel("tiny", 2), [EmbeddedChunk("a", 0.0, 1.0, [1.0, 0.0])])
    result = on_database("database", "status")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "recordings 2, 0 published, 1 failed" in lines
    assert "search 1 chunks of 1 recordings" in lines
    assert "embedded with tiny, 2 dimensions: 1 recordings" in lines


@pytest.mark.parametrize("command", [["database", "status"], ["search", "--words-only", "x"], ["worklist", "--failed"]])
def test_every_command_refuses_a_database_that_is_ahead(
    on_database: Command, database_url: str, command: list[str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE transcription_data.transcription_alembic_version SET version_num = '9999'")
    result = on_database(*command)
    assert result.exit_code == 1
    assert isinstance(result.exception, WrongDatabaseVersion)
    assert "upgrade the program" in str(result.exception)


@pytest.mark.parametrize("command", ["status", "upgrade"])
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://user:s3cret@127.0.0.1:1/none", DatabaseUnavailable),
        ("mysql://user:s3cret@127.0.0.1:1/none", InvalidSetting),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_without_the_password(
    on_database: Command,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    url: str,
    error: type[TranscriptionError],
) -> None:
    monkeypatch.setattr(connection, "_SECONDS", 0.0)
    monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
    result = on_database("database", command)
    assert isinstance(result.exception, error)
    assert "s3cret" not in f"{result.output}{result.exception}"


def test_the_embedded_database_is_started_for_the_command_and_stopped_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRANSCRIPTION_DATABASE_URL", raising=False)
    settings = Settings(home=tmp_path / "home")
    with reachable_database(settings):
        pass
    with pytest.raises(WrongDatabaseVersion, match="transcription database upgrade"), open_cli_database(settings):
        pytest.fail("a database without tables was opened")
    assert (settings.home / "postgres" / "PG_VERSION").exists()
    assert not answers(database_url(settings))


@pytest.mark.parametrize("command", [["search", "ferry"], ["database", "status"], ["forget", "-y", A]])
def test_a_home_without_a_database_is_reported_and_stays_empty(
    on_database: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.delenv("TRANSCRIPTION_DATABASE_URL")
    result = on_database(*command)
    assert (result.exit_code, not (tmp_path / "home").exists()) == (1, True)
    assert f"there is no database in {tmp_path / 'home'}" in str(result.exception)
