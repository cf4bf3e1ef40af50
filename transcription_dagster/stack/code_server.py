"""Dagster's code server, configured by the settings in the database.

`python -m transcription_dagster.stack.code_server ARGUMENT...` is `dagster ARGUMENT...` with definitions built from
the shared settings, like those of every worker.
"""

from __future__ import annotations

import importlib
import runpy
import sys

from transcription_dagster.errors import TranscriptionError
from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.settings import hand_down, load_settings
from transcription_dagster.shared_settings import worker_settings


def adopt_settings() -> None:
    """Put the database's settings in force for this process, or exit if that is impossible."""
    settings = load_settings()
    try:
        url = settings.require_database_url()
        adopted, _ = worker_settings(settings, url, in_stack=True, has_credentials=None)
    except TranscriptionError as error:
        sys.exit(f"transcription: {error}")
    hand_down(adopted)


if __name__ == "__main__":
    adopt_settings()
    # Dagster finds them imported already.
    with quick_imports():
        importlib.import_module("transcription_dagster.definitions")
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
