"""Stores and loads the values of assets, so that assets are functions of values."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.forgetting import writing
from transcription_dagster.defs.previews import text_preview
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.defs.stored_values import STORED_FORMS, stored_value
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore, object_key


class StoreIOManager(dg.ConfigurableIOManager):
    """Keeps each asset of a recording as `{store}/{uuid}/{file}`, replaced atomically."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        form = STORED_FORMS[context.asset_key.path[-1]]
        key = object_key(context.partition_key, form.file)
        with reported_failures():
            store = _store()
            data = form.encode(obj)
            with writing(CatalogueResource().engine, store, context.partition_key, key):
                store.put_bytes(key, data)
        context.add_output_metadata({"uri": dg.MetadataValue.url(store.uri(key)), "bytes": len(data)})
        if isinstance(obj, str):
            context.add_output_metadata({"preview": dg.MetadataValue.md(text_preview(obj))})

    def load_input(self, context: dg.InputContext) -> object:
        with reported_failures():
            return stored_value(_store(), context.asset_key.path[-1], context.partition_key)


def _store() -> ObjectStore:
    return ObjectStore(load_settings().store_url)
