"""What Alembic runs for every command; `transcription_dagster.database.migrations` hands it an open connection."""

from __future__ import annotations

from alembic import context

from transcription_dagster.database import claude_tables
from transcription_dagster.database.migrations import VERSION_TABLE
from transcription_dagster.database.tables import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    # Its module imports the other tables: all are known here.
    target_metadata=claude_tables.Base.metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
context.run_migrations()
