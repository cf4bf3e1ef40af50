from __future__ import annotations

from pathlib import Path

import dagster
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget

from transcription_dagster.settings import load_settings
from transcription_dagster.stack.files import dagster_home, write_files

TOP = Path(__file__).parents[2]


def test_dagster_accepts_the_written_files(home: Path):
    files = write_files(load_settings(home=home))
    assert files.dagster_home == dagster_home(load_settings(home=home)) == home / "dagster"
    config, custom = dagster_instance_config(str(files.dagster_home))
    assert custom is None
    assert config["run_coordinator"]["class"] == "GpuRunCoordinator"
    assert config["run_launcher"]["class"] == "WorkerPoolRunLauncher"
    (origin,) = WorkspaceFileTarget([str(files.workspace)]).create_origins()
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert (origin.location_name, origin.socket) == ("transcription_dagster", str(files.code_socket))


def test_files_of_an_older_version_are_replaced(home: Path):
    files = write_files(load_settings(home=home))
    (files.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    write_files(load_settings(home=home))
    shipped = TOP / "transcription_dagster" / "stack" / "dagster.yaml"
    assert (files.dagster_home / "dagster.yaml").read_text() == shipped.read_text()


def test_the_project_and_the_stack_serve_the_same_module_under_the_same_name():
    (entry,) = yaml.safe_load((TOP / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {
        "module_name": "transcription_dagster.definitions",
        "location_name": "transcription_dagster",
    }


def test_the_instance_needs_the_database_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSCRIPTION_DATABASE_URL", raising=False)
    files = write_files(load_settings(home=home))
    with pytest.raises(Exception, match="TRANSCRIPTION_DATABASE_URL"):
        _ = dagster.DagsterInstance.from_config(str(files.dagster_home)).run_storage
