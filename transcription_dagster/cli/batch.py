"""`transcription batch`: everything that a worklist asks for, through Dagster, on executors that keep the model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from transcription_dagster.cli.batch_input import Batch, alone_on, checked_model, left_to_do
from transcription_dagster.cli.batch_report import Outcome, summary, table
from transcription_dagster.cli.batch_session import run_batch, stack_for
from transcription_dagster.cli.stop_signals import StopSignals
from transcription_dagster.cli.terminal import open_console, printable
from transcription_dagster.errors import InvalidSetting, InvalidWorklist, UnknownModel
from transcription_dagster.settings import load_settings
from transcription_dagster.worklists import load

_WRONG_INPUT = 2


@click.command()
@click.argument("worklist", type=click.Path(path_type=Path))
@click.option(
    "-t",
    "--threads",
    type=click.IntRange(min=1),
    help="Recordings in flight at once.  [default: what keeps the executors busy]",
)
@click.option("-m", "--model", help="Whisper model by name, or the path of a checkpoint.")
@click.option("-y", "--yes", is_flag=True, help="Go on when a recording fails.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave the first N entries out.")
@click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1, or none, if no stack is up.")
def batch(worklist: Path, threads: int | None, model: str | None, yes: bool, skip: int, gpus: str | None) -> None:
    """Transcribe the recordings of WORKLIST and write what became of each into it.

    Entries that are done already are left alone, so that the same command goes on where it ended. It uses the stack
    that is up, or starts one and stops it at the end. Without --yes it starts nothing more after the first failure.

    Ctrl+C starts nothing more and lets finish what runs; a second one ends that too. Exit codes: 0 all are done,
    1 some are not, 2 the worklist or an option is wrong and nothing was started, 130 stopped by Ctrl+C.
    """
    with wrong_input():
        work = load(worklist)
        speech = {"model": checked_model(model)} if model else {}
        settings = load_settings(**speech)
        entries = left_to_do(work, skip)
        if not entries:
            click.echo(f"{worklist}: nothing is left to do")
            return
        job = Batch(work, entries, speech, threads, keep_going=yes)
        signals = StopSignals()
        with alone_on(work.path, settings.home), stack_for(settings, signals, gpus=gpus) as stack:
            outcomes = run_batch(job, stack, settings, signals)
    sys.exit(report(outcomes, signals, shlex.join(["transcription", *sys.argv[1:]])))


def report(outcomes: Sequence[Outcome], signals: StopSignals, command: str) -> int:
    """Show what became of a batch, and how to go on; returns the exit code."""
    open_console().print(table(outcomes))
    lines, code = summary(outcomes, stopped=signals.count > 0, command=command)
    for line in lines:
        click.echo(line)
    return code


@contextmanager
def wrong_input() -> Iterator[None]:
    """End with exit code 2 when the block finds that what it was given cannot be used: a line for each problem."""
    try:
        yield
    except (InvalidWorklist, InvalidSetting, UnknownModel) as error:
        for line in str(error).splitlines():
            click.echo(f"transcription: {printable(line)}", err=True)
        sys.exit(_WRONG_INPUT)
