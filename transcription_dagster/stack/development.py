"""The instance behind `dagster dev` in a checkout: the embedded Postgres, and Dagster's own run queue.

The `dagster.yaml` at the root of the repository names these classes. `transcription up` uses others, which need the
pool; here each run transcribes in its own process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from dagster import QueuedRunCoordinator
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData

from transcription_dagster.database.connection import upgrade_database
from transcription_dagster.errors import StackError
from transcription_dagster.pool.connection import database_errors
from transcription_dagster.pool.storage import PatientPostgresStorage
from transcription_dagster.settings import Settings, load_settings, override_settings
from transcription_dagster.stack.one_stack import find_daemon
from transcription_dagster.stack.postgres import wait_until_ready
from transcription_dagster.stack.shared_postgres import use_shared_postgres

_DATABASE_SECONDS = 5.0
#: An arbitrary advisory lock: without it, all processes of `dagster dev` would create the tables at once.
_LOCK = 0x7472_616E_7363_6465


class DevelopmentStorage(PatientPostgresStorage):
    """Dagster's storage in the configured database, or else in the embedded server, which is started if necessary.

    It takes no config. Opening it upgrades the program's tables and tells this process's definitions the database.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        settings = load_settings()
        url = _database(settings)
        with database_errors(), psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            upgrade_database(url)
            super().__init__(url, inst_data=inst_data)
        if settings.database_url is None:
            override_settings(load_settings(database_url=url))

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return an empty schema."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DevelopmentStorage:
        """Open the storage. Raises `StackError`, `InvalidSetting` or `DatabaseUnavailable`."""
        return cls(inst_data)


class DevelopmentRunCoordinator(QueuedRunCoordinator):
    """Dagster's own run queue, which refuses to run while a stack uses the same database."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stack = find_daemon(load_settings().require_database_url())
        if stack is not None:
            raise StackError(
                f"a stack is up on this database, on {stack.host} with the UI at {stack.url}: use its UI, stop it, or "
                "set TRANSCRIPTION_HOME to another folder"
            )


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        return use_shared_postgres(settings)
    url = settings.database_url.get_secret_value()
    wait_until_ready(url, _DATABASE_SECONDS)
    return url
