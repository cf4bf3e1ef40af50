"""`transcription tokens`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from transcription_dagster.cli.main import transcription
from transcription_dagster.database import tokens
from transcription_dagster.database.tokens import TokenScope


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", database_url)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(transcription, ["tokens", *arguments])


def test_a_token_is_shown_once_and_kept_as_a_digest(engine: Engine) -> None:
    token = run("create", "newsroom", "--scope", "read", "--scope", "submit").stdout.strip()
    record = tokens.find(engine, token)
    assert record is not None
    assert (record.name, record.scopes) == ("newsroom", {TokenScope.READ, TokenScope.SUBMIT})
    assert token not in run("list").stdout
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM transcription_data.api_tokens").all()
    assert token not in str(rows)


def test_an_empty_list_says_how_to_create_a_token() -> None:
    assert "transcription tokens create" in run("list").stderr


def test_a_revoked_token_is_refused_and_stays_listed(engine: Engine) -> None:
    token = run("create", "newsroom", "--scope", "read").stdout.strip()
    assert run("revoke", "newsroom").exit_code == 0
    assert tokens.find(engine, token) is None
    assert "revoked" in run("list").stdout
    assert run("revoke", "newsroom").exit_code == 1


def test_a_name_is_used_once_and_a_scope_is_needed() -> None:
    assert run("create", "newsroom").exit_code == 2
    run("create", "newsroom", "--scope", "read")
    repeated = run("create", "newsroom", "--scope", "read")
    assert repeated.exit_code == 1
    assert run("create", "newsroom", "--scope", "admin").exit_code == 2
