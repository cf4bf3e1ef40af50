"""Dagster's own commands in a fresh checkout: without settings, a database or a stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transcription_dagster.defs.partitions import recordings
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS, wait_until

ROOT = Path(__file__).parents[2]
RECORDING = "6f74d231-6a86-56f5-a780-096bdcd03833"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("development")]

#: Sources of the recording: usable, missing, and with a secret.
GOOD, MISSING, SIGNED = str(DEMO_RECORDINGS[0]), "/no/such/file.wav", "https://media.example.org/a.wav?signature=abc"

#: Materializes assets of one recording from each source, on the instance that `dagster dev` opens in this folder, and
#: prints the errors by source.
MATERIALIZE = f"""
import json
import sys
from dagster import AssetKey, DagsterInstance
from dagster._core.instance import InstanceRef
from transcription_dagster.definitions import defs

def errors(instance, source):
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        partition_key="{RECORDING}",
        asset_selection=[AssetKey("audio"), AssetKey("transcript"), AssetKey("conversation"), AssetKey("captions_srt")],
        run_config={{"ops": {{"audio": {{"config": {{"source": source}}}}}}}},
        raise_on_error=False,
    )
    failures = [event.step_failure_data.error for event in result.all_node_events if event.is_step_failure]
    assert result.success == (not failures)
    return [str(error.cause or error) for error in failures]

with DagsterInstance.from_ref(InstanceRef.from_dir(sys.argv[1], config_dir=".")) as instance:
    instance.add_dynamic_partitions("recordings", ["{RECORDING}"])
    print(json.dumps({{source: errors(instance, source) for source in sys.argv[2:]}}))
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


# Both check the same; `dg` also reads the project's metadata.
@pytest.mark.parametrize(
    "command", [pytest.param("dagster definitions validate", marks=pytest.mark.exhaustive), "dg check defs"]
)
def test_the_definitions_are_valid_with_nothing_set(command: str, checkout: Path) -> None:
    result = run(checkout, *command.split())
    assert result.returncode == 0, result.stdout + result.stderr
    _await_end_of_server(checkout)


def test_the_definitions_are_listed_with_nothing_set(checkout: Path) -> None:
    result = run(checkout, "dg", "list", "defs", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    names = json.loads(result.stdout)
    assert {"audio", "transcript", "publication"} <= {asset["asset_key"] for asset in names["assets"]}


@pytest.fixture(scope="module")
def errors(checkout: Path) -> dict[str, list[str]]:
    """Materialize the recording from each source, the first task in the UI of `dagster dev`; return the errors."""
    sources = (GOOD, MISSING, SIGNED)
    result = run(
        checkout, sys.executable, "-c", MATERIALIZE, str(checkout), *sources, TRANSCRIPTION_MODEL=str(CHECKPOINT)
    )
    assert result.returncode == 0, result.stderr[-4000:]
    _await_end_of_server(checkout)
    return json.loads(result.stdout.splitlines()[-1])


def test_one_recording_is_materialized_with_its_source_in_the_config(
    checkout: Path, errors: dict[str, list[str]]
) -> None:
    assert errors[GOOD] == []
    folder = checkout.parent / ".transcription" / "store" / RECORDING
    assert {path.name for path in folder.iterdir()} >= {"audio.flac", "transcript.json", "captions.srt"}


def test_a_source_that_does_not_exist_is_named(errors: dict[str, list[str]]) -> None:
    [error] = errors[MISSING]
    assert f"'{MISSING}' does not exist" in error


def test_a_signed_source_stays_out_of_the_config(errors: dict[str, list[str]]) -> None:
    [error] = errors[SIGNED]
    assert "name it in a worklist instead" in error


def test_the_documented_code_location_continues_from_the_conversation() -> None:
    page = (ROOT / "docs" / "development.md").read_text("utf-8")
    [example] = [block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "questions" in block]
    values: dict[str, Any] = {}
    exec(example, values)
    definitions: dg.Definitions = values["defs"]
    dg.Definitions.validate_loadable(definitions)
    questions = definitions.resolve_asset_graph().get(dg.AssetKey("questions"))
    assert questions.parent_keys == {dg.AssetKey("conversation")}
    assert questions.partitions_def == recordings
