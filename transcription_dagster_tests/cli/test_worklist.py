"""`transcription worklist` writes lists that `batch` reads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from dagster import AssetMaterialization
from sqlalchemy import Engine

from transcription_dagster.cli.connection import open_instance
from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import Recording, record_failure, register
from transcription_dagster.defs.all_assets import code_versions
from transcription_dagster.model import Term
from transcription_dagster.search.index import EmbeddingModel, replace_chunks
from transcription_dagster.settings import load_settings
from transcription_dagster.sources import worklists

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
TERMS = (Term("ferry"), Term("Ålesund", ("Olsen",), "place", 2.0))
FULL = Recording(A, "s3://bucket/a.wav", "Harbour news", "en", TERMS, etag="e1")


def test_batch_can_read_the_default_worklist(on_database: Command, engine: Engine, tmp_path: Path) -> None:
    register(engine, [FULL, Recording(B, "https://host/b.wav", languages=("de", "en"))])
    result = on_database("worklist", "--without-embeddings")
    assert result.exit_code == 0
    assert "assets_without_embeddings.json: 2 recordings" in result.output
    first, second = worklists.load(tmp_path / "assets_without_embeddings.json").entries
    assert (first.uuid, first.source, first.title, first.language, first.vocabulary, first.status) == (
        A, FULL.source, "Harbour news", "en", TERMS, "waiting",
    )  # fmt: skip
    assert (second.uuid, second.source, second.title, second.vocabulary) == (B, "https://host/b.wav", None, ())
    assert (second.language, second.languages) == (None, ("de", "en"))


def test_unknown_facts_of_a_recording_are_left_out(on_database: Command, engine: Engine, tmp_path: Path) -> None:
    register(engine, [Recording(A, "s3://bucket/a.wav")])
    on_database("worklist", "--missing", "-o", "list.json")
    assert json.loads((tmp_path / "list.json").read_text()) == [{"uuid": A, "source": "s3://bucket/a.wav"}]


@pytest.mark.parametrize(
    ("kind", "expected"), [("--failed", [A]), ("--missing", []), ("--without-embeddings", [A]), ("--stale", [B])]
)
def test_each_kind_lists_its_recordings(
    on_database: Command, engine: Engine, tmp_path: Path, kind: str, expected: list[str]
) -> None:
    register(engine, [FULL, Recording(B, "https://host/b.wav")])
    record_failure(engine, A, "no audio stream")
    replace_chunks(engine, B, EmbeddingModel("tiny", 2), [])
    publish(engine, Publication(B, "a", "A.", "en", "medium", 1, 1.0, {"transcript": "of an older model"}))
    assert on_database("worklist", kind).exit_code == 0
    path = tmp_path / f"assets_{kind.strip('-').replace('-', '_')}.json"
    assert [entry["uuid"] for entry in json.loads(path.read_text())] == expected


def test_stale_captions_are_cut_again_and_nothing_is_transcribed(
    on_database: Command, engine: Engine, tmp_path: Path
) -> None:
    register(engine, [FULL])
    versions = code_versions(load_settings())
    with open_instance(load_settings()) as instance:
        instance.add_dynamic_partitions("recordings", [A])
        for asset in versions:
            instance.report_runless_asset_event(AssetMaterialization(asset, partition=A))
    publish(engine, Publication(A, "a", "A.", "en", "medium", 1, 1.0, {**versions, "captions_srt": "old"}))
    result = on_database("worklist", "--stale", "-o", "list.json")
    assert result.exit_code == 0
    assert "list.json: 1 recordings (1 captions)" in result.output
    (entry,) = worklists.load(tmp_path / "list.json").entries
    assert entry.job == "captions"


def test_an_imported_transcript_is_never_stale(on_database: Command, engine: Engine, tmp_path: Path) -> None:
    register(engine, [FULL])
    versions = {**code_versions(load_settings()), "audio": "imported", "transcript": "imported"}
    publish(engine, Publication(A, "a", "A.", "en", "", 1, 1.0, versions))
    assert on_database("worklist", "--stale", "-o", "list.json").exit_code == 0
    assert worklists.load(tmp_path / "list.json").entries == ()


def test_an_empty_worklist_is_valid(on_database: Command, tmp_path: Path) -> None:
    assert on_database("worklist", "--failed").exit_code == 0
    assert worklists.load(tmp_path / "assets_failed.json").entries == ()


def test_the_kind_is_required(on_database: Command) -> None:
    assert on_database("worklist").exit_code == 2


def test_only_one_kind_may_be_given(on_database: Command, tmp_path: Path) -> None:
    result = on_database("worklist", "--failed", "--stale")
    assert (result.exit_code, list(tmp_path.glob("*.json"))) == (2, [])
    assert "Give one of" in result.output


def test_a_dash_writes_the_worklist_to_standard_output(on_database: Command, engine: Engine) -> None:
    register(engine, [Recording(A, "s3://bucket/a.wav")])
    result = on_database("worklist", "--missing", "-o", "-")
    assert json.loads(result.stdout) == [{"uuid": A, "source": "s3://bucket/a.wav"}]
    assert result.stderr == "standard output: 1 recordings (1 transcribe)\n"
