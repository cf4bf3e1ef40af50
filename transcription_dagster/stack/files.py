"""The files that configure Dagster's processes: its home with `dagster.yaml`, and the workspace."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from transcription_dagster.atomic_files import replacing
from transcription_dagster.settings import Settings
from transcription_dagster.stack.programs import CODE_LOCATION, StackFiles
from transcription_dagster.stack.runtime import runtime_folder


def dagster_home(settings: Settings) -> Path:
    """Return the DAGSTER_HOME of this installation."""
    return settings.home / "dagster"


def write_files(settings: Settings) -> StackFiles:
    """Write Dagster's configuration files, replacing those of an older version."""
    folder = dagster_home(settings)
    code_socket = runtime_folder(settings.home) / "code"
    server = {"grpc_server": {"socket": str(code_socket), "location_name": CODE_LOCATION}}
    _write(folder / "workspace.yaml", yaml.safe_dump({"load_from": [server]}))
    _write(
        folder / "dagster.yaml",
        resources.files("transcription_dagster.stack").joinpath("dagster.yaml").read_text(encoding="utf-8"),
    )
    return StackFiles(folder, folder / "workspace.yaml", code_socket)


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
