"""The part of a source's URL that nobody may see: what signs it, or a password.

Rows, events, errors and `recording.json` hold a URL up to its query. The whole of it lies in the store, where every
machine that fetches finds it, beside the results of its recording, and goes when the recording is forgotten.
"""

from __future__ import annotations

from functools import partial

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import clean_sources
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.urls import shown_url

_FILE = "source.secret"


def keep_whole_url(store: ObjectStore, recording: str, source: str) -> str:
    """Keep what `source` has beyond `shown_url`; return that. Without anything secret nothing is written."""
    shown = shown_url(source)
    if shown != source:
        store.put_bytes(object_key(recording, _FILE), source.encode())
    return shown


def move_secrets(engine: Engine, store: ObjectStore) -> None:
    """Move what is secret in the sources of registered recordings, as earlier versions wrote them, to the store."""
    clean_sources(engine, partial(keep_whole_url, store))


def whole_url(store: ObjectStore, recording: str, source: str) -> str:
    """Return the URL to fetch for what is shown of it: the one that was kept, if it is of that source."""
    try:
        kept = store.get_bytes(object_key(recording, _FILE)).decode()
    except SourceNotFound:
        return source
    return kept if shown_url(kept) == source else source
