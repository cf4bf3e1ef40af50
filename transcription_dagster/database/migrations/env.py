"""What Alembic runs for every command; `transcription_dagster.database.migrations` hands it an open connection."""

from __future__ import annotations

from alembic import context

from transcription_dagster.database.migrations import VERSION_TABLE
from transcription_dagster.database.tables import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
context.run_migrations()
