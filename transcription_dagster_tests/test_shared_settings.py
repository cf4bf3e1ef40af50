"""The shared settings: the contents of the document, and when a machine must not use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from transcription_dagster.database import settings_documents
from transcription_dagster.errors import InvalidSetting, InvalidVocabulary, ModelUnavailable, UnknownModel
from transcription_dagster.settings import Settings
from transcription_dagster.shared_settings import (
    CREDENTIALS,
    SHARED,
    adopt,
    changed_values,
    display_value,
    document_digest,
    document_of,
    push,
    worker_settings,
)
from transcription_dagster.store import shared_files
from transcription_dagster.store.shared_files import SharedFile, identify, local_copy, local_path
from transcription_dagster.vocabulary.files import read_vocabulary
from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine"]

SECRET = "planted-secret"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRANSCRIPTION_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def machine(folder: Path, **values: object) -> Settings:
    """Return the settings of a machine with its own home."""
    return Settings(home=folder, **values)  # type: ignore[arg-type]


def as_worker(settings: Settings, url: str, *, in_stack: bool = False, has_credentials: bool | None = None) -> Settings:
    ask = None if has_credentials is None else lambda: has_credentials
    return worker_settings(settings, url, in_stack=in_stack, has_credentials=ask)[0]


def test_a_document_holds_only_shared_settings(tmp_path: Path) -> None:
    main = machine(tmp_path, database_url=SecretStr(f"postgresql://u:{SECRET}@h/d"), port=4000)
    document = document_of(main, has_credentials=True)
    assert set(document) == {*SHARED, CREDENTIALS}
    assert SECRET not in json.dumps(document)


def test_the_same_settings_have_the_same_digest_on_every_machine(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, name in ((first, "here.pt"), (second, "here.pt")):
        folder.mkdir()
        (folder / name).write_bytes(b"weights")
        # Some editors begin a file with a byte order mark.
        (folder / "terms.yaml").write_text("- Grafana\n", encoding="utf-8-sig" if folder == second else "utf-8")
    store = "s3://bucket/results"
    documents = [
        document_of(
            machine(folder, model=str(folder / "here.pt"), vocabulary=folder / "terms.yaml", store=store),
            has_credentials=False,
        )
        for folder in (first, second)
    ]
    assert document_digest(documents[0]) == document_digest(dict(reversed(documents[1].items())))
    (second / "here.pt").write_bytes(b"other weights")
    changed = document_of(machine(second, model=str(second / "here.pt"), store=store), has_credentials=False)
    assert {change.variable for change in changed_values(changed, documents[0])} == {
        "TRANSCRIPTION_MODEL",
        "TRANSCRIPTION_VOCABULARY",
    }


@pytest.mark.parametrize("model", ["own.pt", "./own.pt", "~/own.pt"])
def test_a_checkpoint_is_shared_by_its_content_wherever_its_path_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    (tmp_path / "own.pt").write_bytes(b"weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    reference = str(identify(tmp_path / "own.pt"))
    for name in (model, reference):
        assert document_of(machine(tmp_path, model=name), has_credentials=False)["model"] == reference


def test_an_invalid_vocabulary_is_refused_before_it_is_shared(tmp_path: Path) -> None:
    (tmp_path / "terms.yaml").write_text("- {weight: 1}\n")
    with pytest.raises(InvalidVocabulary):
        document_of(machine(tmp_path, vocabulary=tmp_path / "terms.yaml"), has_credentials=False)


def test_a_machine_without_settings_uses_the_document(engine: Engine, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "own.pt").write_bytes(b"weights")
    (tmp_path / "terms.csv").write_text("term\nGrafana\n")
    main = machine(
        tmp_path / "main",
        database_url=SecretStr(database_url),
        model=str(tmp_path / "own.pt"),
        vocabulary=tmp_path / "terms.csv",
        store=(tmp_path / "store").as_uri(),
        temperatures=(0.0,),
        source_hosts=("media.example.org",),
        insights="comprehend",
        cpu_executors=7,
    )
    assert push(main, engine, has_credentials=False) is None
    worker = as_worker(machine(tmp_path / "other", database_url=SecretStr(database_url)), database_url)
    for name in set(SHARED) - {"model", "vocabulary"}:
        assert getattr(worker, name) == getattr(main, name), name
    assert worker.cpu_executors == 1
    assert worker.home == tmp_path / "other"
    assert worker.vocabulary is not None
    assert read_vocabulary(worker.vocabulary) == read_vocabulary(tmp_path / "terms.csv")
    fetched = local_path(worker.model, worker.home, worker.store_url)
    assert Path(fetched).is_relative_to(worker.home)
    assert Path(fetched).name == "own.pt"
    assert Path(fetched).read_bytes() == b"weights"


def test_a_contradiction_is_refused_with_all_differences_and_no_secret(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    push(machine(tmp_path / "main", model="large-v3", language="de"), engine, has_credentials=False)
    template = f"https://user:{SECRET}@ib.example.org/{{uuid}}?token={SECRET}"
    worker = machine(
        tmp_path / "other",
        database_url=SecretStr(database_url),
        model="medium",
        language="de",
        ib_url_template=template,
    )
    with pytest.raises(InvalidSetting) as caught:
        as_worker(worker, database_url)
    message = str(caught.value)
    assert "TRANSCRIPTION_MODEL: medium here, large-v3 in the database" in message
    assert "TRANSCRIPTION_IB_URL_TEMPLATE: https://ib.example.org/{uuid} here, not set in the database" in message
    assert "LANGUAGE" not in message
    assert SECRET not in message
    assert "version 1 (" in message


def test_processes_of_a_stack_follow_the_document_over_their_environment(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    push(machine(tmp_path, model="large-v3"), engine, has_credentials=False)
    assert as_worker(machine(tmp_path, model="medium"), database_url, in_stack=True).model == "large-v3"


@pytest.mark.parametrize("has_credentials", [True, False])
@pytest.mark.parametrize("in_stack", [True, False])
def test_a_refining_worker_needs_claudes_credentials_exactly_if_the_document_says_so(
    engine: Engine, database_url: str, tmp_path: Path, has_credentials: bool, in_stack: bool
) -> None:
    push(machine(tmp_path, refinement="direct"), engine, has_credentials=has_credentials)
    worker = machine(tmp_path / "other")
    as_worker(worker, database_url, in_stack=in_stack, has_credentials=has_credentials)
    with pytest.raises(InvalidSetting, match=r"ANTHROPIC_API_KEY: (not set|set) here, (set|not set) in the database"):
        as_worker(worker, database_url, in_stack=in_stack, has_credentials=not has_credentials)


def test_credentials_do_not_matter_to_executors(engine: Engine, database_url: str, tmp_path: Path) -> None:
    push(machine(tmp_path, refinement="direct"), engine, has_credentials=True)
    assert as_worker(machine(tmp_path), database_url, has_credentials=None).refinement == "direct"
    push(machine(tmp_path, refinement="off"), engine, has_credentials=True)
    assert as_worker(machine(tmp_path), database_url, has_credentials=False).refinement == "off"


def test_without_a_document_workers_refuse_to_start(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="has no settings yet"):
        as_worker(machine(tmp_path), database_url)


def test_a_push_makes_a_version_only_if_something_changed(engine: Engine, tmp_path: Path) -> None:
    push(machine(tmp_path), engine, has_credentials=False)
    unchanged = push(machine(tmp_path), engine, has_credentials=False)
    before = push(machine(tmp_path, language="de"), engine, has_credentials=False)
    current = settings_documents.current(engine)
    assert unchanged is not None
    assert before is not None
    assert current is not None
    assert (unchanged.version, before.version) == (1, 1)
    assert current.version == settings_documents.current_version(engine) == before.version + 1
    assert current.document["language"] == "de"
    assert current.host
    assert current.pushed_by


def test_a_newer_programs_document_is_read_and_an_invalid_one_refused(engine: Engine, tmp_path: Path) -> None:
    document = document_of(machine(tmp_path, language="de"), has_credentials=False)
    settings_documents.push(engine, document | {"later": 1}, digest="a", program="9", pushed_by="u", host="h")
    stored = settings_documents.current(engine)
    assert stored is not None
    assert adopt(machine(tmp_path), stored).language == "de"
    settings_documents.push(engine, document | {"beam_size": "many"}, digest="b", program="9", pushed_by="u", host="h")
    stored = settings_documents.current(engine)
    assert stored is not None
    with pytest.raises(InvalidSetting, match="install the same version on every machine"):
        adopt(machine(tmp_path), stored)


def test_a_document_replaces_a_machines_vocabulary_but_no_setting_that_it_does_not_know(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "terms.yaml").write_text("- Grafana\n")
    document = document_of(machine(tmp_path), has_credentials=False)
    del document["beam_size"]
    settings_documents.push(engine, document, digest="a", program="0", pushed_by="u", host="h")
    stored = settings_documents.current(engine)
    assert stored is not None
    adopted = adopt(machine(tmp_path, vocabulary=tmp_path / "terms.yaml", beam_size=3), stored)
    assert adopted.vocabulary is None
    assert adopted.beam_size == 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a" * 1000, f"{'a' * 70}… (1,000 characters)"),
        ("a" * 70, "a" * 70),
        (None, "not set"),
        ("", "not set"),
        ([], "not set"),
        (0, "0"),
        (f"https://user:{SECRET}@host/x", "https://***@host/x"),
        (f"s3://bucket/x?key={SECRET}", "s3://bucket/x?***"),
    ],
)
def test_a_value_is_shown_in_a_short_line_without_secrets(value: object, shown: str) -> None:
    assert display_value("initial_prompt", value) == shown


def test_a_folder_is_shared_completely(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "parts" / "weights").write_bytes(b"w" * 1000)
    file = identify(folder)
    store = (tmp_path / "store").as_uri()
    shared_files.publish(file, folder, store)
    copy = local_copy(file, tmp_path / "other", store)
    assert identify(copy) == file
    assert (copy / "parts" / "weights").read_bytes() == b"w" * 1000
    assert not [path for path in copy.parent.iterdir() if path.name not in ("model", ".lock")]


def test_a_file_changed_since_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    path.write_bytes(b"weights")
    file = identify(path)
    shared_files.keep(file, path, tmp_path / "home")
    path.write_bytes(b"other")
    with pytest.raises(UnknownModel, match=r"own\.pt is not the own\.pt that the settings name"):
        local_copy(file, tmp_path / "home", (tmp_path / "store").as_uri())


def test_missing_content_is_reported(tmp_path: Path) -> None:
    file = SharedFile("0" * 64, "own.pt")
    with pytest.raises(ModelUnavailable, match=r"own\.pt is neither on this machine nor in the store"):
        local_copy(file, tmp_path / "home", (tmp_path / "store").as_uri())


@pytest.mark.parametrize("value", ["medium", "sha256:12/own.pt", f"sha256:{'0' * 64}/../x", f"sha256:{'0' * 64}/a/b"])
def test_only_a_valid_reference_is_accepted(value: str) -> None:
    assert shared_files.parse_reference(value) is None
