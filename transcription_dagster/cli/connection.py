"""How commands reach the database: the one that was given, or the embedded one, started if no stack runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transcription_dagster.database import settings_documents
from transcription_dagster.database.connection import Engine, check_version, open_database
from transcription_dagster.settings import Settings
from transcription_dagster.shared_settings import adopt
from transcription_dagster.stack.postgres import embedded_postgres, wait_until_ready

#: How long a database that was given may take to answer.
_SECONDS = 5.0


@contextmanager
def reachable_database(settings: Settings) -> Iterator[str]:
    """Give the URL of a database that answers, for the length of the block.

    Raises `InvalidSetting` or `DatabaseUnavailable` when one was given that is no Postgres or does not answer.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        wait_until_ready(url, _SECONDS)
        yield url
        return
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with embedded_postgres(settings) as url:
        yield url


def shared(settings: Settings, engine: Engine) -> Settings:
    """Return the settings with those in force for all that machines share; as they are before the first `up`.

    For commands that look at results: what a machine sets itself does not change how they were made.
    """
    stored = settings_documents.current(engine)
    return settings if stored is None else adopt(settings, stored)


@contextmanager
def open_cli_database(settings: Settings) -> Iterator[Engine]:
    """Give a pool of connections for the length of the block.

    Raises `WrongDatabaseVersion` unless the tables are this program's, and what `reachable_database` raises.
    """
    with reachable_database(settings) as url:
        engine = open_database(url)
        try:
            check_version(engine)
            yield engine
        finally:
            engine.dispose()
