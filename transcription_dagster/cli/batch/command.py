"""`transcription batch`: process a worklist through Dagster, on executors that keep the model loaded."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from transcription_dagster.cli.batch.input import BatchInput, checked_model, unfinished_entries
from transcription_dagster.cli.batch.lock import worklist_lock
from transcription_dagster.cli.batch.report import RecordingOutcome, outcome_table, summary
from transcription_dagster.cli.batch.results import DurableResults
from transcription_dagster.cli.batch.session import run_batch, stack_for
from transcription_dagster.cli.terminal import StopSignals, open_console, printable
from transcription_dagster.errors import InvalidSetting, InvalidWorklist, UnknownModel, WorklistNotSaved
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.worklists import load

#: Exit codes if nothing was started, and if results could not be written into the worklist.
_WRONG_INPUT, _NOT_SAVED = 2, 3
#: The default worklist, written by `transcription worklist --without-embeddings`.
_DEFAULT_WORKLIST = Path("assets_without_embeddings.json")


@click.command()
@click.argument("worklist", type=click.Path(path_type=Path), default=_DEFAULT_WORKLIST)
@click.option(
    "-t",
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of executors to use, each on its own GPU.  [default: all]",
)
@click.option("-m", "--model", metavar="MODEL", help="Name of a Whisper model, or path of a checkpoint.")
@click.option("-y", "--yes", is_flag=True, help="Continue after failures.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Skip the first N entries.")
@click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1, or none, when the batch starts its own stack.")
def batch(worklist: Path, threads: int | None, model: str | None, yes: bool, skip: int, gpus: str | None) -> None:
    """Process a worklist and write each result into it.

    WORKLIST is assets_without_embeddings.json unless you name another. An entry is transcribed unless it names another
    job; an imported transcript is replaced only if its entry says `"job": "transcribe"`.

    Finished entries are skipped, so the same command resumes an interrupted batch. It uses the running stack, or starts
    one and stops it at the end. Without --yes it starts nothing more after the first failure. You may edit the file
    while the batch runs: your edits are kept, and new entries wait for the next call.

    The first Ctrl+C lets running recordings finish; a second one stops them too. Exit codes: 0 all entries are done,
    1 some are not, 2 the worklist or an option is invalid and nothing was started, 3 the worklist could not be written,
    130 stopped by Ctrl+C.
    """
    with wrong_input():
        if worklist == _DEFAULT_WORKLIST and not worklist.exists():
            raise InvalidWorklist(
                f"{worklist}: cannot be read: No such file or directory; "
                "`transcription worklist --without-embeddings` writes it"
            )
        code = _process(worklist, threads, model, yes, skip, gpus)
    sys.exit(code)


def _process(worklist: Path, threads: int | None, model: str | None, yes: bool, skip: int, gpus: str | None) -> int:
    """Process the batch while no other one works on the worklist; return the exit code."""
    with worklist_lock(worklist.resolve()):
        settings = load_settings()
        results = DurableResults(load(worklist), settings.home, note=lambda text: click.echo(text, err=True))
        entries = unfinished_entries(results, skip)
        speech = {"model": checked_model(model)} if model else {}
        if not entries:
            if results.unsaved:
                results.save()
            click.echo(f"{worklist}: nothing to do")
            return 0
        settings = load_settings(**speech)
        batch_input = BatchInput(results, entries, speech, threads, keep_going=yes)
        signals = StopSignals()
        try:
            with stack_for(settings, signals, gpus=gpus, executors=threads) as stack:
                outcomes = run_batch(batch_input, stack, settings, signals)
        finally:
            unsaved = results.finish()
            if unsaved:
                click.echo(f"transcription: {unsaved}", err=True)
        code = report(outcomes, signals, shlex.join(["transcription", *sys.argv[1:]]))
        if results.added:
            click.echo(
                f"{results.added} entries were added during the batch; run the same command again to process them."
            )
        return _NOT_SAVED if unsaved else code


def report(outcomes: Sequence[RecordingOutcome], signals: StopSignals, command: str) -> int:
    """Print the results of a batch and how to continue; return the exit code."""
    open_console().print(outcome_table(outcomes))
    lines, code = summary(outcomes, stopped=signals.count > 0, command=command)
    for line in lines:
        click.echo(line)
    return code


@contextmanager
def wrong_input() -> Iterator[None]:
    """Exit with code 2 and a line per problem for invalid input, or with 3 if the worklist cannot be written."""
    try:
        yield
    except WorklistNotSaved as error:
        click.echo(f"transcription: {error}", err=True)
        sys.exit(_NOT_SAVED)
    except (InvalidWorklist, InvalidSetting, UnknownModel) as error:
        for line in str(error).splitlines():
            click.echo(f"transcription: {printable(line)}", err=True)
        sys.exit(_WRONG_INPUT)
