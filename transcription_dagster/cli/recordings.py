"""`transcription import` and `transcription forget`: add a transcript made elsewhere, and retract a recording."""

from __future__ import annotations

import re
import sys

import click

from transcription_dagster.cli.arguments import INPUT, RECORDING, read_transcript_file, shown_name
from transcription_dagster.cli.connection import open_cli_database, open_instance
from transcription_dagster.database import recordings
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.database.run_history import remove_run_traces
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.errors import InvalidTranscript, SourceNotFound
from transcription_dagster.model import Transcript
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.sources.addresses import keep_whole_url
from transcription_dagster.stack.home import remove_log_records
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster.transcripts.plain_text import join_words

#: Seconds that a canceled run may take to end: longer than the interrupt of a step.
_PATIENCE_SECONDS = 45.0
#: Shorter titles and sentences (in characters) also occur in the logs of other recordings.
_SHORTEST_TELLING = 12
_SENTENCE_END = re.compile(r"[.!?。！？]+\s*")


@click.command("import")
@click.argument("file", type=INPUT)
@click.option("--uuid", type=RECORDING, required=True, help="UUID of the recording.")
@click.option("--source", metavar="URI", help="URI of its audio, if it still exists.")
def import_transcript(file: str, uuid: str, source: str | None) -> None:
    """Import a recording's transcript by Amazon Transcribe.

    All downstream assets are made from FILE, and the recording is not transcribed again.
    """
    transcript = read_transcript_file(file, recording=uuid)
    settings = load_settings()
    with open_cli_database(settings) as engine, open_instance(settings) as instance:
        from transcription_dagster.defs.partitions import report_transcript

        settings = with_shared_settings(settings, engine)
        uri = store_imported(engine, ObjectStore(settings.store_url), transcript, source)
        report_transcript(instance, transcript, uri, imported_from=shown_name(file))
    click.echo(f"{uri}: {len(transcript.words):,} words")


def store_imported(engine: Engine, store: ObjectStore, transcript: Transcript, source: str | None) -> str:
    """Store the transcript, register its recording, and return the transcript's URI.

    Known facts about the recording are kept. A new recording without audio gets the transcript as its source.
    """
    form = STORED_FORMS["transcript"]
    key = object_key(transcript.recording, form.file)
    store.put_bytes(key, form.encode(transcript))
    if source is not None or find_recording(engine, transcript.recording) is None:
        if source is not None:
            keep_whole_url(store, transcript.recording, source)
        register(engine, [Recording(transcript.recording, source or store.uri(key), language=transcript.language)])
    return store.uri(key)


@click.command()
@click.argument("uuid", type=RECORDING)
@click.option("-y", "--yes", is_flag=True, help="Skip the confirmation.")
def forget(uuid: str, yes: bool) -> None:
    """Delete everything about a recording.

    This removes its publication, files, runs and search index, and the records in this machine's log files that name it
    or quote its text. Unfinished runs are canceled. Only the fact that it was forgotten and what it cost are kept.

    Its source stays where it is. Sensors do not register it again, but a worklist or `import` that names it does. Exit
    codes: 0 something was deleted, 1 there was nothing to delete.
    """
    if not yes:
        click.confirm(f"Remove the transcript, captions and all other results of {uuid}?", abort=True)
    settings = load_settings()
    with open_cli_database(settings) as engine, open_instance(settings) as instance:
        from transcription_dagster.defs.partitions import remove_partition
        from transcription_dagster.defs.runs import end_runs

        settings = with_shared_settings(settings, engine)
        store = ObjectStore(settings.store_url)
        texts = _identifying_texts(engine, store, uuid)
        # From here on nothing can be written about it: its runs end without results.
        was_registered = recordings.forget(engine, uuid)
        end_runs(instance, engine, uuid, patience=_PATIENCE_SECONDS, fence_seconds=settings.stale_seconds)
        files = store.forget(uuid)
        runs = remove_run_traces(engine, uuid)
        # Last, so that the partition of a partly removed recording stays visible and can be forgotten again.
        partition = remove_partition(instance, uuid)
    records = remove_log_records(settings.home / "logs", texts)
    if not was_registered and not files and not runs and not partition and not records:
        click.echo(f"Nothing is stored about {uuid}.", err=True)
        sys.exit(1)
    rows = "its rows" if was_registered else "no rows"
    click.echo(
        f"Removed {uuid}: {rows}, {files} files, {runs} runs and {'its partition' if partition else 'no partition'}."
    )
    if records:
        click.echo(f"Removed {records} log records about it.")


def _identifying_texts(engine: Engine, store: ObjectStore, uuid: str) -> set[str]:
    """Return the texts that identify a recording in a log: its id, source, title and sentences."""
    recording = recordings.find_recording(engine, uuid)
    texts = [recording.source, recording.title or ""] if recording else []
    texts += _sentences(store, uuid)
    return {uuid, *(text for text in texts if len(text) >= _SHORTEST_TELLING)}


def _sentences(store: ObjectStore, uuid: str) -> list[str]:
    """Return the segments and sentences of a recording's transcript; none without a readable one."""
    try:
        transcript = read_transcript(store.get_bytes(object_key(uuid, "transcript.json")))
    except SourceNotFound:
        return []
    except InvalidTranscript as error:
        click.echo(f"Its transcript is unreadable, so quotations of it stay in log files: {error}", err=True)
        return []
    segments = [join_words(transcript.words[segment.first : segment.stop]) for segment in transcript.segments]
    return segments + _SENTENCE_END.split(join_words(transcript.words))
