"""The commands' connection to the database, the configured or the embedded one, and to Dagster's instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transcription_dagster.database.connection import Engine, check_version, opened_database
from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import open_home, write_dagster_files
from transcription_dagster.stack.postgres import (
    database_url,
    embedded_postgres,
    has_embedded_database,
    wait_until_ready,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance

#: Seconds that a configured database may take to answer.
_SECONDS = 5.0


@contextmanager
def reachable_database(settings: Settings) -> Iterator[str]:
    """Provide the URL of a running database during the block.

    Raises `InvalidSetting` or `DatabaseUnavailable` if the configured one is not Postgres or does not answer.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        wait_until_ready(url, _SECONDS)
        yield url
        return
    open_home(settings.home)
    with embedded_postgres(settings) as url:
        yield url


@contextmanager
def open_cli_database(settings: Settings) -> Iterator[Engine]:
    """Provide a connection pool during the block.

    Raises `StackError` if the home has no database, `WrongDatabaseVersion` unless the tables match this version, and
    what `reachable_database` raises.
    """
    if settings.database_url is None and not has_embedded_database(settings):
        # Creating one would hide that the home is the wrong one: a search would find nothing, and nothing be forgotten.
        raise StackError(
            f"there is no database in {settings.home}: `transcription up` creates it; TRANSCRIPTION_HOME and "
            "TRANSCRIPTION_DATABASE_URL select another one"
        )
    with reachable_database(settings) as url, opened_database(url) as engine:
        check_version(engine)
        yield engine


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Provide the instance during the block; the database must answer."""
    # Imported late: it takes a second, and most commands do not need it.
    from dagster import DagsterInstance

    home = prepare_dagster(settings, database_url(settings))
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


def prepare_dagster(settings: Settings, url: str) -> Path:
    """Write Dagster's configuration files, and return its home.

    Dagster finds its home only through the environment, and `dagster.yaml` takes the database's URL from there.
    """
    home = write_dagster_files(settings).dagster_home
    os.environ["TRANSCRIPTION_DATABASE_URL"] = url
    os.environ["DAGSTER_HOME"] = str(home)
    return home
