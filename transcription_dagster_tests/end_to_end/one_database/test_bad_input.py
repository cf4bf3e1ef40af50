"""Bad recordings, hostile names and planted secrets, in one batch."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from transcription_dagster.dagster_api.values import Run
from transcription_dagster_tests import corpus
from transcription_dagster_tests.end_to_end.one_database.conftest import PASSWORD, SECRETS
from transcription_dagster_tests.faults import unfinished_jobs
from transcription_dagster_tests.processes import below, of_each
from transcription_dagster_tests.system import DEMO_RECORDINGS, System

# `audio/test_decode.py` tests every kind of recording, `one_stack/test_pool.py` one in a run, and
# `test_up_with_s3.py` the secrets of a stack.
pytestmark = [pytest.mark.system, pytest.mark.exhaustive, pytest.mark.xdist_group("one database")]

#: Sources without audio, of each kind that fails at another place: not media, a script that names another file, media
#: with nothing to hear, too long. `audio/test_decode.py` refuses every kind.
UNUSABLE: dict[str, Callable[[Path], Path]] = {
    **{kind: corpus.UNUSABLE[kind] for kind in ("text", "concat script", "video without audio", "header only")},
    # An hour of silence, with a limit of half an hour.
    "an hour in a few kilobytes": lambda folder: corpus.bomb(folder, 1.0),
}

#: Damaged sources that can still be used. `audio/test_decode.py` decodes more kinds and names.
USABLE: dict[str, Callable[[Path], Path]] = {
    "damaged mp3": lambda folder: corpus.damaged(folder, "mp3"),
    "a single sample": corpus.one_sample,
    "silence": lambda folder: corpus.silent(folder, seconds=5),
    "a header that claims a hundred hours": corpus.claims_hours,
    **{repr(name): lambda folder, name=name: corpus.awkward_name(folder, name) for name in corpus.AWKWARD_NAMES[1:3]},
}

ESCAPES = ("../../escaped", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")


@dataclass(frozen=True)
class Batch:
    """The finished batch."""

    system: System
    sources: Path
    #: The runs by their source.
    unusable: dict[str, Run]
    usable: dict[str, Run]
    good: Run
    escapes: dict[str, Run]
    workers_before: set[tuple[str, int]]
    files_before: set[str]


@pytest.fixture(scope="module")
def batch(system: System, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return carry_out(system, tmp_path_factory.mktemp("sources"))


def carry_out(system: System, sources: Path) -> Batch:
    unusable, usable = make(UNUSABLE, sources / "unusable"), make(USABLE, sources / "usable")
    workers, files = workers_of(system), names_in(system.settings.home / "store")
    uuids = system.register([*unusable.values(), *usable.values(), DEMO_RECORDINGS[0]])
    system.dagster.add_partitions(system.job, "recordings", ESCAPES)
    launched = [*uuids, *ESCAPES]
    system.launch(launched)
    runs = {run.partition: run for run in system.finish(launched, 250)}
    named = iter(runs[key] for key in launched)
    return Batch(
        system=system,
        sources=sources,
        unusable={name: next(named) for name in unusable},
        usable={name: next(named) for name in usable},
        good=next(named),
        escapes={name: next(named) for name in ESCAPES},
        workers_before=workers,
        files_before=files,
    )


def workers_of(system: System) -> set[tuple[str, int]]:
    pool = system.pool()
    return {(worker.name, worker.pid) for worker in (*pool.alive("gpu"), *pool.alive("run"))}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def make(makers: dict[str, Callable[[Path], Path]], sources: Path) -> dict[str, Path]:
    files = {}
    for number, (name, maker) in enumerate(makers.items()):
        folder = sources / str(number)
        folder.mkdir(parents=True)
        files[name] = maker(folder)
    return files


def test_files_without_audio_fail_with_the_reason(batch: Batch) -> None:
    assert {name: run.status for name, run in batch.unusable.items()} == dict.fromkeys(batch.unusable, "FAILURE")
    for name, run in batch.unusable.items():
        reason = batch.system.dagster.failure(run.id)
        assert reason.startswith("audio: "), (name, reason)
        assert "Traceback" not in reason


def test_files_with_some_audio_are_transcribed(batch: Batch) -> None:
    failed = {
        name: batch.system.dagster.failure(run.id) for name, run in batch.usable.items() if run.status != "SUCCESS"
    }
    assert failed == {}
    assert batch.good.status == "SUCCESS"


def test_a_partition_key_that_is_no_uuid_is_refused_first(batch: Batch) -> None:
    for name, run in batch.escapes.items():
        assert run.status == "FAILURE"
        assert "canonical lower-case UUID" in " ".join(batch.system.log_of(run.id)), name


def test_a_given_server_is_used_and_none_is_started(batch: Batch) -> None:
    assert "postgres" not in {program.name for program in batch.system.stack.programs()}
    assert not (batch.system.settings.home / "postgres").exists()


def test_bad_input_kills_no_worker_and_leaves_nothing_behind(batch: Batch) -> None:
    assert workers_of(batch.system) == batch.workers_before
    assert unfinished_jobs(batch.system) == []


def test_files_are_written_only_in_the_recordings_folders(batch: Batch) -> None:
    store = batch.system.settings.home / "store"
    keys = {run.partition for runs in (batch.unusable, batch.usable) for run in runs.values()}
    # The store also contains the checkpoint, for other machines.
    assert names_in(store) <= keys | {batch.good.partition} | batch.files_before | {"shared"}
    assert not list(batch.system.settings.scratch_folder.glob("*/*"))
    # Each source has its own folder, except the scripts, which name a second file.
    assert {len(list(folder.iterdir())) for folder in batch.sources.glob("*/*")} == {1, 2}
    assert not list(batch.system.settings.home.parent.rglob("escaped*"))


def test_planted_secrets_appear_nowhere(batch: Batch) -> None:
    names = [(batch.good.partition or "").encode(), batch.good.id.encode()]
    secrets = [secret.encode() for secret in (*SECRETS.values(), PASSWORD)]
    places, leaks = set(), []
    for place, content in everything(batch.system):
        if any(name in content for name in names):
            places.add(place)
        leaks += [place] if any(secret in content for secret in secrets) else []
    # Recordings and runs are not secret, and are found: in the workers' logs, Dagster's events and our tables.
    assert {"event_logs", "transcripts"} <= places
    assert any(place.endswith(".log") for place in places)
    assert leaks == []


def everything(system: System) -> Iterator[tuple[str, bytes]]:
    """Return everything that a run leaves behind or shows, by place: files, rows, command lines."""
    for folder, _, names in os.walk(system.settings.home):
        for path in map(Path(folder).joinpath, names):
            # The stack is running: a file may disappear meanwhile, and sockets are skipped.
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield str(path), path.read_bytes()
    for pid, command in of_each(below(system.stack.pid), lambda process: (process.pid, process.cmdline())):
        yield f"command line of {pid}", " ".join(command).encode()
    with psycopg.connect(system.url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for schema, table in tables:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table)))
            yield table, "\n".join(row[0] for row in rows).encode()
        for (body,) in connection.execute("SELECT snapshot_body FROM snapshots"):
            yield "snapshots", zlib.decompress(body)
