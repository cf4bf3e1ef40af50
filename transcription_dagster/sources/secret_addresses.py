"""Keep the secret part of a source URL, its signature or password, out of everything that users see.

Rows, events, errors and `recording.json` contain a URL without its query. The whole URL is in the store beside the
recording's results, where every machine that fetches it finds it; `forget` deletes it.
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
    """Store the whole URL if it has a secret part; return the part that may be shown."""
    shown = shown_url(source)
    if shown != source:
        store.put_bytes(object_key(recording, _FILE), source.encode())
    return shown


def move_secrets(engine: Engine, store: ObjectStore) -> None:
    """Move the secrets in source URLs that earlier versions registered into the store."""
    clean_sources(engine, partial(keep_whole_url, store))


def whole_url(store: ObjectStore, recording: str, source: str) -> str:
    """Return the URL to fetch for a shown URL: the stored one, if it belongs to this source."""
    try:
        kept = store.get_bytes(object_key(recording, _FILE)).decode()
    except SourceNotFound:
        return source
    return kept if shown_url(kept) == source else source
