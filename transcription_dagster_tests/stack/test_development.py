"""Dagster's own commands in a fresh checkout: without settings, a database or a stack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS, wait_until

ROOT = Path(__file__).parents[2]
RECORDING = "6f74d231-6a86-56f5-a780-096bdcd03833"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("development")]

#: Materializes assets of one recording on the instance that `dagster dev` opens in this folder.
MATERIALIZE = f"""
import sys
from dagster import AssetKey, DagsterInstance
from dagster._core.instance import InstanceRef
from transcription_dagster.definitions import defs

with DagsterInstance.from_ref(InstanceRef.from_dir(sys.argv[1], config_dir=".")) as instance:
    instance.add_dynamic_partitions("recordings", ["{RECORDING}"])
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        partition_key="{RECORDING}",
        asset_selection=[AssetKey("audio"), AssetKey("transcript"), AssetKey("conversation"), AssetKey("captions_srt")],
        run_config={{"ops": {{"audio": {{"config": {{"source": sys.argv[2]}}}}}}}},
        raise_on_error=False,
    )
    for event in result.all_node_events:
        if event.event_type_value == "STEP_FAILURE":
            print(event.step_failure_data.error.cause or event.step_failure_data.error, file=sys.stderr)
sys.exit(not result.success)
"""


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """Provide a folder with the files of a checkout that Dagster's commands read, without `.env`, and its own home
    directory.
    """
    home = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    folder = home / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "transcription_dagster").symlink_to(ROOT / "transcription_dagster")
    yield folder
    _await_end_of_server(folder)
    shutil.rmtree(home)


def run(checkout: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment with only a path and a home directory set."""
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(checkout.parent),
        # numba's compiled code is shared by all tests.
        **{name: value for name, value in os.environ.items() if name == "NUMBA_CACHE_DIR"},
        **settings,
    }
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def _await_end_of_server(checkout: Path) -> None:
    running = checkout.parent / ".transcription" / "postgres" / "postmaster.pid"
    wait_until(lambda: not running.exists(), 120, "the embedded Postgres has stopped with its last user")


@pytest.mark.parametrize("command", ["dagster definitions validate", "dg check defs"])
def test_the_definitions_are_valid_with_nothing_set(command: str, checkout: Path) -> None:
    result = run(checkout, *command.split())
    assert result.returncode == 0, result.stdout + result.stderr
    _await_end_of_server(checkout)


def test_the_definitions_are_listed_with_nothing_set(checkout: Path) -> None:
    result = run(checkout, "dg", "list", "defs", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)
    assert {"audio", "transcript", "publication"} <= {asset["asset_key"] for asset in found["assets"]}


def test_one_recording_is_materialized_with_its_source_in_the_config(checkout: Path) -> None:
    """The first task in the UI of `dagster dev`: add a partition and materialize it."""
    source = str(DEMO_RECORDINGS[0])
    result = run(
        checkout, sys.executable, "-c", MATERIALIZE, str(checkout), source, TRANSCRIPTION_MODEL=str(CHECKPOINT)
    )
    assert result.returncode == 0, result.stderr[-4000:]
    folder = checkout.parent / ".transcription" / "store" / RECORDING
    assert {path.name for path in folder.iterdir()} >= {"audio.flac", "transcript.json", "captions.srt"}
    _await_end_of_server(checkout)


def test_a_source_that_does_not_exist_is_named(checkout: Path) -> None:
    result = run(checkout, sys.executable, "-c", MATERIALIZE, str(checkout), "/no/such/file.wav")
    assert result.returncode == 1
    assert "'/no/such/file.wav' does not exist" in result.stderr


def test_a_signed_source_stays_out_of_the_config(checkout: Path) -> None:
    signed = "https://media.example.org/a.wav?signature=abc"
    result = run(checkout, sys.executable, "-c", MATERIALIZE, str(checkout), signed)
    assert result.returncode == 1
    assert "name it in a worklist instead" in result.stderr
