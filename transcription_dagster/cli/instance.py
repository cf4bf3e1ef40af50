"""The commands' access to this installation's Dagster instance without a stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transcription_dagster.settings import Settings
from transcription_dagster.stack.files import dagster_home, write_files
from transcription_dagster.stack.postgres import database_url

if TYPE_CHECKING:
    from dagster import DagsterInstance


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Provide the instance during the block; the database must answer."""
    # Imported late: it takes a second, and most commands do not need it.
    from dagster import DagsterInstance

    write_files(settings)
    # `dagster.yaml` reads the database's URL from there.
    os.environ.setdefault("TRANSCRIPTION_DATABASE_URL", database_url(settings))
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    with DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        yield instance
