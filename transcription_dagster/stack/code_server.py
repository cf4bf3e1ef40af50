"""Dagster's code server, for the settings that the database holds.

`python -m transcription_dagster.stack.code_server ARGUMENT...` is `dagster ARGUMENT...` in a process whose definitions
are made by those settings, as every worker's are.
"""

from __future__ import annotations

import runpy
import sys

from transcription_dagster.errors import TranscriptionError
from transcription_dagster.settings import hand_down, load_settings
from transcription_dagster.shared_settings import worker_settings


def adopt_settings() -> None:
    """Hand the database's settings down to whatever this process imports; ends it where that cannot be done."""
    settings = load_settings()
    try:
        url = settings.require_database_url()
        adopted, _ = worker_settings(settings, url, in_stack=True, has_credentials=None)
    except TranscriptionError as error:
        sys.exit(f"transcription: {error}")
    hand_down(adopted)


if __name__ == "__main__":
    adopt_settings()
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
