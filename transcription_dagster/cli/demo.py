"""`transcription demo`: the whole program at work on the recordings that it ships."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import click

from transcription_dagster.cli.batch.command import report
from transcription_dagster.cli.batch.input import BatchInput, unfinished_entries
from transcription_dagster.cli.batch.lock import worklist_lock
from transcription_dagster.cli.batch.report import RecordingOutcome
from transcription_dagster.cli.batch.session import run_batch, stack_for
from transcription_dagster.cli.search import show_hits
from transcription_dagster.cli.terminal import StopSignals
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.sources.worklist_entries import Entry
from transcription_dagster.sources.worklists import Worklist, load, write
from transcription_dagster.store.object_store import ObjectStore, object_key

_EXECUTORS = 2
#: For three recordings, a second executor would take longer to load its models than it saves.
_QUICK_EXECUTORS = 1
_RECORDINGS: Final = Path(str(resources.files("transcription_dagster"))) / "demo" / "recordings"
_SPEECH: Final = {"model": "base"}

#: The recordings of `--quick`: the shortest ones, which still answer the question.
_QUICK = 3
_QUESTION = "when does the first boat leave"
#: Characters of each transcript to show.
_LINES, _WIDTH = 6, 100


@click.command()
@click.option("--quick", is_flag=True, help="Transcribe the three shortest recordings only, on one executor.")
@click.option("--keep-up", is_flag=True, help="Leave the UI running at the end, until Ctrl+C.")
def demo(quick: bool, keep_up: bool) -> None:
    """Transcribe nine short recordings and show the results.

    It uses Whisper's `base` on two CPU executors. The results are stored below TRANSCRIPTION_HOME like those of any
    other batch.
    """
    settings = load_settings(**_SPEECH)
    worklist = _worklist(settings.home, quick)
    executors = _QUICK_EXECUTORS if quick else _EXECUTORS
    signals = StopSignals()
    batch = BatchInput(worklist, unfinished_entries(worklist), _SPEECH, keep_going=True)
    with worklist_lock(worklist.path), stack_for(settings, signals, cpu_executors=executors) as stack:
        outcomes = run_batch(batch, stack, settings, signals)
        code = report(outcomes, signals, "transcription demo")
        if not signals.count:
            _show_results(outcomes, settings, worklist)
        if keep_up and not signals.count:
            click.echo(f"\nThe UI is at {stack.url} until Ctrl+C.")
            while stack.alive() and not signals.wait(1.0):
                pass
    if not keep_up and not signals.count:
        click.echo("\nTo read, play and correct them in a browser: transcription up, or make up")
    sys.exit(code)


def _worklist(home: Path, quick: bool) -> Worklist:
    """Write a fresh worklist of the recordings, so that the demonstration can be repeated."""
    path = home / "demo" / "worklist.json"
    references = json.loads((_RECORDINGS / "references.json").read_text(encoding="utf-8"))
    if quick:
        references = sorted(references, key=lambda reference: reference["seconds"])[:_QUICK]
    write(path, [_entry(reference) for reference in references])
    return load(path)


def _entry(reference: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "uuid": reference["uuid"],
        "source": str(_RECORDINGS / reference["file"]),
        "title": reference["title"],
        "vocabulary": reference.get("vocabulary"),
    }
    return {key: value for key, value in entry.items() if value}


def _show_results(outcomes: Sequence[RecordingOutcome], settings: Settings, worklist: Worklist) -> None:
    click.echo(f"Results: {settings.store_url}/\nWorklist: {worklist.path}")
    done = {outcome.entry.uuid for outcome in outcomes if outcome.results}
    entries = [entry for entry in worklist.entries if entry.uuid in done]
    if not entries:
        return
    store = ObjectStore(settings.store_url)
    first = entries[0]
    click.echo(f"\n{first.title}:\n")
    for line in wrap(_text(store, first, "transcript.txt"), _WIDTH)[:_LINES]:
        click.echo(f"  {line}")
    for entry in sorted(entries, key=lambda entry: len(entry.vocabulary))[-1:]:
        terms = _term_counts(entry, _text(store, entry, "refined.txt"))
        click.echo(f"\nTerms of its vocabulary in {entry.title!r}: {', '.join(terms) or 'none'}")
    click.echo(f'\ntranscription search "{_QUESTION}"\n')
    show_hits(settings, _QUESTION, limit=2)


def _text(store: ObjectStore, entry: Entry, file: str) -> str:
    return store.get_bytes(object_key(entry.uuid, file)).decode()


def _term_counts(entry: Entry, text: str) -> list[str]:
    counts = {term.text: text.count(term.text) for term in entry.vocabulary}
    return [f"{term} ({count})" for term, count in counts.items() if count]
