"""The resources of assets and sensors.

They get the settings as a resource, not as config, because Dagster shows config and settings hold secrets.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import dagster as dg

from transcription_dagster.database import vocabulary
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.database.recordings import Recording, find_recording
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.forgetting import writing
from transcription_dagster.defs.inference import InferenceResource
from transcription_dagster.defs.metadata import text_preview
from transcription_dagster.defs.stored_values import REDACTED_FILES, STORED_FORMS, stored_value
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import Term
from transcription_dagster.settings import Settings
from transcription_dagster.sources.ib import ib_uri
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.vocabulary.files import read_vocabulary


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """The store for results, as named by the settings."""

    settings: dg.ResourceDependency[Settings]

    def open(self) -> ObjectStore:
        """Open the store. Does no I/O."""
        return ObjectStore(self.settings.store_url)


class CatalogueResource(dg.ConfigurableResource["CatalogueResource"]):
    """The database of recordings."""

    settings: dg.ResourceDependency[Settings]

    @property
    def engine(self) -> Engine:
        """Return the connection pool that all steps of this process share."""
        return _engine(self.settings.require_database_url())

    def recording(self, uuid: str) -> Recording:
        """Return a registered recording. Raises `UnknownRecording`."""
        recording = find_recording(self.engine, uuid)
        if recording is not None:
            return recording
        template = self.settings.ib_url_template
        if template is not None:
            return Recording(uuid, source=ib_uri(template, uuid))
        raise UnknownRecording(
            f"recording {uuid} is not registered: name its source in a worklist or in the config of `audio`, or "
            "configure a source that lists it"
        )

    def terms(self, uuid: str) -> tuple[Sequence[Term], Sequence[Term]]:
        """Return the shared vocabulary, from the settings' file and the database, and the recording's own terms."""
        path = self.settings.vocabulary
        from_file = read_vocabulary(path) if path else []
        return [*from_file, *vocabulary.terms(self.engine)], self.recording(uuid).vocabulary


class StoreIOManager(dg.ConfigurableIOManager):
    """Keeps each asset of a recording as `{store}/{uuid}/{file}`, replaced atomically."""

    store: StoreResource
    catalogue: CatalogueResource

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        form = STORED_FORMS[context.asset_key.path[-1]]
        key = object_key(context.partition_key, form.file)
        with reported_failures():
            store = self.store.open()
            data = form.encode(obj)
            with writing(self.catalogue.engine, store, context.partition_key, key):
                store.put_bytes(key, data)
        context.add_output_metadata({"uri": dg.MetadataValue.url(store.uri(key)), "bytes": len(data)})
        # Redacted texts quote nothing that redaction takes out.
        shows_text = self.store.settings.publish == "all" or form.file in REDACTED_FILES
        if isinstance(obj, str) and shows_text:
            context.add_output_metadata({"preview": dg.MetadataValue.md(text_preview(obj))})

    def load_input(self, context: dg.InputContext) -> object:
        with reported_failures():
            return stored_value(self.store.open(), context.asset_key.path[-1], context.partition_key)


def all_resources(settings: Settings | dg.ResourceDefinition) -> dict[str, Any]:
    """Return the resources for `settings`, or for the settings that a resource reads."""
    store, catalogue = StoreResource(settings=settings), CatalogueResource(settings=settings)
    return {
        "settings": settings,
        "store": store,
        "catalogue": catalogue,
        "io_manager": StoreIOManager(store=store, catalogue=catalogue),
        "inference": InferenceResource(settings=settings),
    }


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    return open_database(url)
