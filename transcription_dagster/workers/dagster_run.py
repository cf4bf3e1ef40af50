"""Execute a queued Dagster run in this process, through the one private part of Dagster without a public equivalent.

Dagster 1.13 offers `dagster api execute_run`, a process per run that imports the definitions again (seconds for each
recording), and `execute_job`, which creates a new run. `_execute_run_command_body` is the body of that command;
Dagster's launchers for Docker and Kubernetes reach it through the command line. The code is written for 1.13.27, the
version pinned in `pyproject.toml`; `test_private_parts.py` fails when a release changes the signature.
"""

from __future__ import annotations

from dagster import DagsterInstance
from dagster._cli.api import _execute_run_command_body
from dagster._utils.interrupts import capture_interrupts

__all__ = ["deferred_interrupts", "execute_run"]

#: Context manager: an interrupt that arrives before Dagster listens is kept, and raised as soon as it does.
deferred_interrupts = capture_interrupts


def execute_run(run_id: str, instance: DagsterInstance) -> None:
    """Execute the run and report its events to `instance`. A failed run is reported, not raised."""
    _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=False)
