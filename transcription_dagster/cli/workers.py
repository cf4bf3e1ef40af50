"""The commands that a supervisor starts; each runs one process of the pool."""

from __future__ import annotations

import logging
import os
import re

import click

from transcription_dagster.cli.connection import prepare_dagster
from transcription_dagster.cli.terminal import printable_lines
from transcription_dagster.errors import DeviceBroken, StackError
from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.refinement.claude import has_credentials
from transcription_dagster.settings import Settings, load_settings, override_settings
from transcription_dagster.shared_settings import worker_settings
from transcription_dagster.stack.programs import STACK_VARIABLE
from transcription_dagster.urls import CleanFormatter
from transcription_dagster.workers.main_thread import block_stop_signals

_DEVICE = re.compile(r"\d{1,3}|cpu:\d{1,3}")

#: Exit code of an executor whose device is unusable; the supervisor starts a new one.
_DEVICE_LOST = 70


@click.command("run-worker")
@click.option(
    "--slot", metavar="NAME", default="1", show_default=True, help="Name of this worker; unique on this machine."
)
def run_worker(slot: str) -> None:
    """Execute Dagster runs from the queue until stopped.

    Runs are executed one at a time.
    """
    block_stop_signals()
    if not re.fullmatch(r"[A-Za-z0-9-]{1,40}", slot):
        raise click.BadParameter("letters, digits and dashes", param_hint="--slot")
    settings = load_settings()
    _log(settings)
    url = settings.require_database_url()
    adopted, stored = worker_settings(
        settings, url, in_stack=STACK_VARIABLE in os.environ, has_credentials=has_credentials
    )
    try:
        prepare_dagster(adopted, url)
    except OSError as error:
        raise StackError(f"the home {settings.home} cannot be used: {error.strerror}") from None
    # Steps in a run worker never load a model: they send requests to the executors.
    settings = adopted.model_copy(update={"inference": "pool"})

    with quick_imports():
        from transcription_dagster.workers.run_worker import RunWorker

    worker = RunWorker(settings, url, slot, stored)
    override_settings(settings.model_copy(update={"scratch": worker.pool.scratch}))
    worker.serve()


@click.command("gpu-worker")
@click.option("--gpu", metavar="DEVICE", required=True, help="Index of the GPU, or cpu:N for an executor on the CPU.")
def gpu_worker(gpu: str) -> None:
    """Transcribe queued recordings on one GPU until stopped.

    The model stays loaded, and many recordings are transcribed together.
    """
    block_stop_signals()
    if not _DEVICE.fullmatch(gpu):
        raise click.BadParameter("an index such as 0, or cpu:0", param_hint="--gpu")
    settings = load_settings()
    _log(settings)
    url = settings.require_database_url()
    settings, stored = worker_settings(settings, url, in_stack=STACK_VARIABLE in os.environ, has_credentials=None)
    device = gpu if gpu.startswith("cpu") else f"cuda:{gpu}"

    with quick_imports():
        from transcription_dagster.workers.gpu_executor import GpuExecutor

    try:
        GpuExecutor(settings, url, device, stored.version).serve()
    except DeviceBroken as error:
        click.echo(f"transcription: {printable_lines(str(error))}", err=True)
        raise SystemExit(_DEVICE_LOST) from None


def _log(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # At this level they log every job and every poll of the queue.
    for chatty in ("procrastinate", "psycopg", "httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
