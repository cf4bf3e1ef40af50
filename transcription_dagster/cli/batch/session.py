"""Run a batch on the running stack, or on one started for it."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from transcription_dagster import shared_settings
from transcription_dagster.cli.batch.input import BatchInput, checked_model, register_recordings
from transcription_dagster.cli.batch.report import INTERRUPTED, LineDisplay, LiveDisplay, RecordingOutcome
from transcription_dagster.cli.batch.runner import BatchConfig, BatchContext, BatchRun
from transcription_dagster.cli.batch.state import BatchState
from transcription_dagster.cli.terminal import StopSignals, printable
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.database.connection import opened_database
from transcription_dagster.errors import StackError
from transcription_dagster.pool.devices import ANY_GPU
from transcription_dagster.pool.status import read_pool
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.stack.one_stack import JoinedStack, joined_stack
from transcription_dagster.stack.plan import StackPlan, plan_stack
from transcription_dagster.stack.postgres import database_url
from transcription_dagster.stack.stack import RunningStack, running, start
from transcription_dagster.store.object_store import ObjectStore


@contextmanager
def stack_for(
    settings: Settings,
    signals: StopSignals,
    *,
    gpus: str | None = None,
    cpu_executors: int | None = None,
    executors: int | None = None,
) -> Iterator[RunningStack | JoinedStack]:
    """Provide the running stack, on this machine or another, or start one that is stopped after the block.

    `executors` is the number of executors of a stack that is started.

    Raises `StackError` if `gpus` are requested and the running stack uses others, or if no stack can be started, and
    `UnknownModel` if the executors would have no model to load.
    """
    own = running(settings)
    if own is not None and own.url:
        _refuse_other_gpus(own, gpus)
        yield own
        return
    joined = joined_stack(settings)
    if joined is not None:
        if gpus is not None:
            raise StackError(f"the stack running at {joined.url} has its own GPUs: omit --gpus")
        click.echo(f"Using the stack of this database, on {printable(joined.host)}: {printable(joined.url)}")
        yield joined
        return
    checked_model(settings.model)
    # Pick a free port unless one is set explicitly: a batch must not fail because the default port is in use.
    port = settings.port if "port" in settings.model_fields_set else 0
    stack_plan = plan_stack(settings, gpus=gpus, cpu_executors=cpu_executors, executors=executors, port=port)
    stack = _start_stack(stack_plan, settings, signals)
    try:
        yield stack
    finally:
        click.echo("Stopping the stack.")
        stack.stop(abort=lambda: signals.count > 1)


def _start_stack(stack_plan: StackPlan, settings: Settings, signals: StopSignals) -> RunningStack:
    """Start a stack for a batch; exit if a signal arrives meanwhile."""
    for note in stack_plan.notes:
        click.echo(note)
    click.echo(f"Starting a stack for this batch, with executors on {', '.join(stack_plan.executors)}.")
    if settings.database_url is not None:
        # The database may hold the settings of all machines: a batch does not change them, and passes its own as
        # config.
        settings = load_settings()
    writes_settings = settings.database_url is None
    try:
        return start(stack_plan, settings, cancelled=lambda: signals.count > 0, writes_settings=writes_settings)
    except StackError:
        if not signals.count:
            raise
        click.echo("Stopped before anything was started.")
        sys.exit(INTERRUPTED)


def run_batch(
    batch: BatchInput, stack: RunningStack | JoinedStack, settings: Settings, signals: StopSignals
) -> list[RecordingOutcome]:
    """Run a batch on a stack; return the outcome of each recording, in the worklist's order.

    Raises `InvalidWorklist` before anything starts, and the errors of `BatchRun.run`.
    """
    url = database_url(settings)
    with opened_database(url) as engine:
        in_force = with_shared_settings(settings, engine)
        register_recordings(engine, ObjectStore(in_force.store_url), batch, in_force.ib_url_template)
    for entry in batch.entries:
        batch.worklist.record_waiting(entry.uuid)
    batch.worklist.save()
    with ExitStack() as resources:
        console = Console()
        entries = {entry.uuid: entry for entry in batch.entries}
        live = LiveDisplay(console, entries) if console.is_terminal else None
        context = BatchContext(
            client=resources.enter_context(DagsterClient(stack.url, settings.ui_password)),
            read_pool=lambda: read_pool(url, stale_seconds=settings.stale_seconds),
            check_stack=lambda: _check_alive(stack),
            stop_requests=lambda: signals.count,
            pause=lambda seconds: _pause(signals, seconds),
            display=resources.enter_context(live) if live else LineDisplay(console),
        )
        state = BatchState(entries, keep_going=batch.keep_going)
        run = BatchRun(batch.worklist, batch.entries, state, _config(batch, settings), context)
        context.display.note(f"To do: {len(entries)}; the UI is at {stack.url}")
        run.run()
    return [run.outcomes.get(entry.uuid, RecordingOutcome(entry, "waiting")) for entry in batch.entries]


def _config(batch: BatchInput, settings: Settings) -> BatchConfig:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", batch.worklist.path.stem)[:60]
    return BatchConfig(
        batch=f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        run_config={"ops": {"transcript": {"config": _for_every_machine(batch.speech, settings)}}}
        if batch.speech
        else {},
        threads=batch.threads,
        runs_per_gpu=settings.runs_for(ANY_GPU),
        shutdown_seconds=settings.shutdown_seconds,
    )


def _for_every_machine(speech: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the config with a checkpoint identified by its content, because other machines lack it at this path."""
    model = speech.get("model")
    if model is None or not Path(model).is_absolute():
        return dict(speech)
    return {**speech, "model": shared_settings.share_file(Path(model), settings)}


def _refuse_other_gpus(stack: RunningStack, gpus: str | None) -> None:
    if gpus is not None and {part.strip() for part in gpus.split(",")} != set(stack.executors):
        raise StackError(
            f"the stack running at {stack.url} works on {', '.join(stack.executors)}: omit --gpus, or stop it"
        )


def _check_alive(stack: RunningStack | JoinedStack) -> None:
    # A stack joined may be restarting: wait for it as for a web server that does not answer.
    if isinstance(stack, RunningStack) and not stack.alive():
        raise StackError(f"the stack ended; see {stack.home / 'logs'}")


def _pause(signals: StopSignals, seconds: float) -> None:
    # After the first signal, waiting for it would return at once.
    if signals.count:
        time.sleep(seconds)
    else:
        signals.wait(seconds)
