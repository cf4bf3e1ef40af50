"""The interface of Dagster's storages that `pool/storage.py` covers: additions in a release must be reviewed."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

from transcription_dagster.pool import storage

#: The public methods of each storage in the pinned release.
REVIEWED: dict[str, list[str]] = json.loads(Path(__file__).with_name("dagster_storage_interface.json").read_text())

#: A context manager: its block cannot be repeated, and its caller is a patient method.
NOT_PATIENT = {"index_transaction"}

PAIRS = [
    (PostgresRunStorage, storage.PatientRunStorage),
    (PostgresEventLogStorage, storage.PatientEventLogStorage),
    (PostgresScheduleStorage, storage.PatientScheduleStorage),
]


def public_methods(storage_class: type) -> set[str]:
    return {
        name
        for name in dir(storage_class)
        if not name.startswith("_") and inspect.isfunction(inspect.getattr_static(storage_class, name))
    }


@pytest.mark.parametrize("parent", [parent for parent, _ in PAIRS])
def test_dagster_adds_no_method_that_was_not_reviewed(parent: type) -> None:
    assert public_methods(parent) == set(REVIEWED[parent.__name__]), "review pool/storage.py, then update the list"


@pytest.mark.parametrize(("parent", "patient"), PAIRS)
def test_every_public_method_waits_for_the_database(parent: type, patient: type) -> None:
    impatient = {name for name in public_methods(parent) if not hasattr(getattr(patient, name), "retry")}
    assert impatient == NOT_PATIENT & public_methods(parent)


def test_the_config_of_dagster_yaml_reaches_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """`should_autocreate_tables: false` opens no connection: the server of this URL does not exist."""
    monkeypatch.setattr(storage, "get_token_provider_from_config", lambda _config: None)
    config: Any = {"postgres_url": "postgresql://nobody@127.0.0.1:1/none", "should_autocreate_tables": False}
    storage_instance = storage.PatientPostgresStorage.from_config_value(None, config)
    assert not storage_instance.should_autocreate_tables
    assert isinstance(storage_instance.run_storage, storage.PatientRunStorage)
    assert not storage_instance.run_storage.should_autocreate_tables
