"""`transcription demo`: the whole program at work on the recordings and the checkpoint that it ships."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import click

from transcription_dagster.cli.batch import report
from transcription_dagster.cli.batch_input import Batch, left_to_do
from transcription_dagster.cli.batch_lock import alone_on
from transcription_dagster.cli.batch_report import Outcome
from transcription_dagster.cli.batch_session import run_batch, stack_for
from transcription_dagster.cli.stop_signals import StopSignals
from transcription_dagster.clients.object_store import ObjectStore, object_key
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.worklists import Worklist, load, write

_EXECUTORS = 2
_FOLDER: Final = Path(str(resources.files("transcription_dagster"))) / "demo"
#: Greedy, each window by itself: what the checkpoint was measured with.
_SPEECH: Final = {
    "model": str(_FOLDER / "bulletin.pt"),
    "language": "en",
    "temperatures": [0.0],
    "condition_on_previous_text": False,
}


@click.command()
@click.option("--keep-up", is_flag=True, help="Leave the UI running at the end, until Ctrl+C.")
def demo(keep_up: bool) -> None:
    """Transcribe eight small recordings on two executors of the CPU, and say where the results are.

    They end up below TRANSCRIPTION_HOME like anything else that is transcribed.
    """
    settings = load_settings(**_SPEECH)
    worklist = _worklist(settings.home)
    signals = StopSignals()
    batch = Batch(worklist, left_to_do(worklist), _SPEECH, keep_going=True)
    with alone_on(worklist.path), stack_for(settings, signals, cpu_executors=_EXECUTORS) as stack:
        outcomes = run_batch(batch, stack, settings, signals)
        code = report(outcomes, signals, "transcription demo")
        _show_results(outcomes, settings, worklist)
        if keep_up and not signals.count:
            click.echo(f"\nThe UI is at {stack.url} until Ctrl+C.")
            while stack.alive() and not signals.wait(1.0):
                pass
    sys.exit(code)


def _worklist(home: Path) -> Worklist:
    """Write the worklist of the recordings anew, so that the demonstration can be repeated."""
    path = home / "demo" / "worklist.json"
    recordings = sorted(file for file in (_FOLDER / "recordings").iterdir() if file.suffix != ".json")
    write(path, [{"uuid": file.stem, "source": str(file)} for file in recordings])
    return load(path)


def _show_results(outcomes: Sequence[Outcome], settings: Settings, worklist: Worklist) -> None:
    click.echo(f"Results: {settings.store_url}/\nWorklist: {worklist.path}")
    first = next((outcome for outcome in outcomes if outcome.results), None)
    if first is None or first.results is None:
        return
    uri = first.results.files["transcript_txt"]
    folder, uuid, file = uri.rsplit("/", 2)
    text = ObjectStore(folder).get_bytes(object_key(uuid, file)).decode()
    click.echo(f"\n{uri}\n{text}")
