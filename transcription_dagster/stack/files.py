"""The files that Dagster's processes are told about: its home with `dagster.yaml`, and the workspace."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from transcription_dagster.clients.atomic_files import write_atomically
from transcription_dagster.settings import Settings
from transcription_dagster.stack.programs import StackFiles
from transcription_dagster.stack.runtime import runtime_folder

#: Name of the code location, as the UI shows it and requests for runs have to say it.
CODE_LOCATION = "transcription_dagster"
