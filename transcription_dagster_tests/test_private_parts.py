"""Every private part of Dagster, Whisper and procrastinate that the code depends on, and the releases it was tested on.

When this test fails after an upgrade, check each part below against the new release before changing the pin.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import transcription_dagster

PACKAGE = Path(transcription_dagster.__file__).parent

PINNED = {
    "dagster": "1.13.27",
    "dagster-postgres": "0.29.27",
    "dagster-webserver": "1.13.27",
    "openai-whisper": "20250625",
    "procrastinate": "3.10.0",
}

#: Private names that are imported or read from a module: those with an underscore somewhere in their path.
PARTS = {
    "dagster._cli.api._execute_run_command_body",
    "dagster._config.config_schema.UserConfigSchema",
    "dagster._core.errors.DagsterRunAlreadyExists",
    "dagster._core.events.EngineEventData",
    "dagster._core.execution.stats.StepEventStatus",
    "dagster._core.launcher.base.CheckRunHealthResult",
    "dagster._core.launcher.base.LaunchRunContext",
    "dagster._core.launcher.base.RunLauncher",
    "dagster._core.launcher.base.WorkerStatus",
    "dagster._core.run_coordinator.queued_run_coordinator.RunQueueConfig",
    "dagster._core.storage.config.PostgresStorageConfig",
    "dagster._core.storage.dagster_run.JobBucket",
    "dagster._core.storage.dagster_run.NOT_FINISHED_STATUSES",
    "dagster._core.storage.dagster_run.TagBucket",
    "dagster._core.storage.runs.schema.RunTagsTable",
    "dagster._core.storage.tags.MAX_RETRIES_TAG",
    "dagster._core.storage.tags.PRIORITY_TAG",
    "dagster._core.storage.tags.ROOT_RUN_ID_TAG",
    "dagster._core.workspace.context.WorkspaceProcessContext",
    "dagster._core.workspace.context.WorkspaceRequestContext",
    "dagster._core.workspace.load_target.WorkspaceFileTarget",
    "dagster._serdes.ConfigurableClass",
    "dagster._serdes.ConfigurableClassData",
    "dagster._utils.interrupts.capture_interrupts",
    "dagster._utils.interrupts.setup_interrupt_handlers",
    "dagster._utils.log.configure_loggers",
    "whisper._ALIGNMENT_HEADS",
    "whisper._MODELS",
    "whisper._download",
}

#: Private methods that are overridden or called on an inherited object.
INHERITED = {
    ("dagster_postgres.event_log", "PostgresEventLogStorage", "_has_asset_key_col_on_connection"),
    ("dagster_postgres.event_log", "PostgresEventLogStorage", "_instance"),
    ("dagster", "QueuedRunCoordinator", "_instance"),
    ("dagster._core.launcher.base", "RunLauncher", "_instance"),
}


def test_the_installed_releases_are_the_pinned_ones() -> None:
    assert {name: version(name) for name in PINNED} == PINNED


def test_every_private_name_is_listed() -> None:
    used = {part for path in PACKAGE.rglob("*.py") for part in private_names(path)}
    assert not used - PARTS


@pytest.mark.parametrize(("module", "owner", "attribute"), sorted(INHERITED))
def test_inherited_private_members_exist(module: str, owner: str, attribute: str) -> None:
    inheritor = getattr(__import__(module, fromlist=[owner]), owner)
    assert inspect.getattr_static(inheritor, attribute) is not None


def test_the_body_of_dagsters_execute_run_command_takes_these_arguments() -> None:
    from dagster._cli.api import _execute_run_command_body

    parameters = list(inspect.signature(_execute_run_command_body).parameters)
    assert parameters == ["run_id", "instance", "write_stream_fn", "set_exit_code_on_failure"]


def private_names(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    libraries = ("dagster", "whisper", "procrastinate")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in libraries:
            names = [f"{node.module}.{name.name}" for name in node.names]
            yield from (name for name in names if "._" in name)
        elif (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and isinstance(node.value, ast.Name)
            and node.value.id in libraries
        ):
            yield f"{node.value.id}.{node.attr}"
