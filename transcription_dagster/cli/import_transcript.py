"""`transcription import`: import a transcript by another program."""

from __future__ import annotations

import click

from transcription_dagster.cli.arguments import RECORDING
from transcription_dagster.cli.connection import open_cli_database, open_instance
from transcription_dagster.cli.files import INPUT, read_transcript_file, shown_name
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.model import Transcript
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.addresses import keep_whole_url
from transcription_dagster.store.object_store import ObjectStore, object_key


@click.command("import")
@click.argument("file", type=INPUT)
@click.option("--uuid", type=RECORDING, required=True, help="UUID of the recording.")
@click.option("--source", help="URI of its audio, if it still exists.")
def import_transcript(file: str, uuid: str, source: str | None) -> None:
    """Import a recording's transcript by Amazon Transcribe.

    All downstream assets are made from FILE, and the recording is not transcribed again.
    """
    transcript = read_transcript_file(file, recording=uuid)
    settings = load_settings()
    with open_cli_database(settings) as engine, open_instance(settings) as instance:
        from transcription_dagster.defs.partitions import report_transcript

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
