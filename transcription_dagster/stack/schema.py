"""Upgrade the database to this version: the program's tables, the queues' and Dagster's.

`python -m transcription_dagster.stack.schema` does so for the database and DAGSTER_HOME in the environment. The
stack runs it before any other program, because Dagster's processes would otherwise all create their tables at once.
"""

from __future__ import annotations

import logging
import sys

import psycopg
from dagster import DagsterInstance

from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.pool.dagster_runs import index_runs
from transcription_dagster.pool.queue import database_errors
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.addresses import move_secrets
from transcription_dagster.store.object_store import ObjectStore

#: An arbitrary advisory lock: two machines may upgrade the same database at once.
_LOCK = 0x7472_616E_7363_7267


def upgrade_tables(url: str) -> None:
    """Create or upgrade all tables; do nothing if they are current."""
    with database_errors(), psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        upgrade_database(url)
        engine = open_database(url)
        try:
            move_secrets(engine, ObjectStore(load_settings().store_url))
        finally:
            engine.dispose()
        with DagsterInstance.get() as instance:
            instance.upgrade()
        index_runs(url)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    try:
        upgrade_tables(load_settings().require_database_url())
    except TranscriptionError as error:
        sys.exit(str(error))
