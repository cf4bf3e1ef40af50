"""Reads and writes the assets' values in the store, so that assets are functions of values."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.clients.object_store import ObjectStore, object_key
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster.settings import load_settings

#: Characters of a text file that its preview shows.
_PREVIEW_CHARACTERS = 1200


class StoreIOManager(dg.ConfigurableIOManager):
    """Keeps each asset of a recording as `{store}/{uuid}/{file}`, replaced whole."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        form = STORED_FORMS[context.asset_key.path[-1]]
        key = object_key(context.partition_key, form.file)
        with reported_failures():
            store = _store()
            data = form.encode(obj)
            store.put_bytes(key, data)
        context.add_output_metadata({"uri": dg.MetadataValue.url(store.uri(key)), "bytes": len(data)})
        if isinstance(obj, str):
            context.add_output_metadata({"preview": dg.MetadataValue.md(_preview(obj))})

    def load_input(self, context: dg.InputContext) -> object:
        form = STORED_FORMS[context.asset_key.path[-1]]
        with reported_failures():
            return form.decode(_store().get_bytes(object_key(context.partition_key, form.file)))


def _store() -> ObjectStore:
    return ObjectStore(load_settings().store_url)


def _preview(text: str) -> str:
    shown = text if len(text) <= _PREVIEW_CHARACTERS else text[:_PREVIEW_CHARACTERS] + "\n…"
    # A longer fence than any in the text, so that what was said cannot end the preview.
    fence = "`" * 8
    return f"{fence}text\n{shown}\n{fence}"
