"""Alembic's entry point; `transcription_dagster.database.migrations` passes it an open connection."""

from __future__ import annotations

from alembic import context

from transcription_dagster.database import claude_tables
from transcription_dagster.database.revisions import VERSION_TABLE
from transcription_dagster.database.tables import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    # This module imports the other tables, so all tables are known.
    target_metadata=claude_tables.Base.metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
context.run_migrations()
