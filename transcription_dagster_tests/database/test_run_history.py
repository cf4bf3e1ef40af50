"""Removing Dagster's old runs without changing the state of assets."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner
from dagster import AssetKey, DagsterEventType, DagsterInstance
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from sqlalchemy import Engine

from transcription_dagster.cli.main import transcription
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.run_history import History, old_history, remove_old_history
from transcription_dagster_tests.postgres import cloned_database

pytestmark = pytest.mark.slow

RECORDINGS = dg.StaticPartitionsDefinition(["a", "b"])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Provide a separate database, because old data would affect other tests."""
    with cloned_database() as url:
        yield url


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def nothing_yet(instance: DagsterInstance) -> None:
    instance.run_storage.wipe()
    instance.event_log_storage.wipe()


class Flaky(dg.Config):
    fails: bool = False


@dg.asset(partitions_def=RECORDINGS, code_version="1")
def first(context: dg.AssetExecutionContext):
    context.log.info("some detail")
    return dg.MaterializeResult(metadata={"words": 7})


@dg.asset(partitions_def=RECORDINGS, deps=[first])
def second(config: Flaky):
    if config.fails:
        raise dg.Failure("the service is away", allow_retries=False)
    return dg.MaterializeResult()


@dg.asset_check(asset=first)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"findings": 0})


def run(instance: DagsterInstance, partition: str, *, fails: bool = False, **options: Any) -> str:
    result = dg.materialize(
        [first, second, sound],
        partition_key=partition,
        instance=instance,
        run_config={"ops": {"second": {"config": {"fails": fails}}}},
        raise_on_error=False,
        **options,
    )
    assert result.success is not fails
    return result.run_id


def grow_old(url: str, *run_ids: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE runs SET update_timestamp = update_timestamp - interval '40 days' WHERE run_id = ANY(%s)",
            (list(run_ids),),
        )


def state(instance: DagsterInstance) -> dict[str, Any]:
    """Return the state of the assets as the UI and the automation see it."""
    rows: dict[str, Any] = {}
    for key in (AssetKey("first"), AssetKey("second")):
        rows[key.to_user_string()] = (
            instance.get_materialized_partitions(key),
            {
                name: status.value if status else None
                for name, status in (instance.get_status_by_partition(key, ["a", "b"], RECORDINGS) or {}).items()
            },
            instance.get_latest_materialization_event(key),
            instance.event_log_storage.get_latest_tags_by_partition(
                key, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
            ),
            {
                partition: instance.fetch_materializations(
                    dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
                ).records
                for partition in ("a", "b")
            },
        )
    check = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(AssetKey("first"), "sound")]
    )
    return {**rows, "check": check}


def test_pruning_keeps_the_state_of_assets_and_removes_details_of_old_runs(
    instance: DagsterInstance, engine: Engine, database: str
) -> None:
    old = run(instance, "a")
    failed = run(instance, "b", fails=True)
    young = run(instance, "a", fails=True)
    grow_old(database, old, failed)
    before = state(instance)
    remaining = [len(instance.all_logs(run_id)) for run_id in (old, failed, young)]
    planned = old_history(engine, days=30)
    assert state(instance) == before
    assert planned == remove_old_history(engine, days=30)
    assert planned.events == sum(remaining) - sum(len(instance.all_logs(run_id)) for run_id in (old, failed, young))
    assert planned.replaced_runs == 0
    assert planned.shortened_runs == 2
    assert planned.bytes > 10_000
    assert state(instance) == before
    # The recent run is unchanged; of an old run, the status remains.
    assert len(instance.all_logs(young)) == remaining[2]
    types = [entry.dagster_event_type for entry in instance.all_logs(failed)]
    assert DagsterEventType.STEP_FAILURE in types
    assert DagsterEventType.RUN_FAILURE in types
    assert DagsterEventType.STEP_START not in types
    assert None not in types
    assert "the service is away" in str(instance.all_logs(failed))
    assert old_history(engine, days=30) == History()


def test_a_superseded_run_is_removed_completely(instance: DagsterInstance, engine: Engine, database: str) -> None:
    replaced, newer = run(instance, "a"), run(instance, "a")
    grow_old(database, replaced, newer)
    before = state(instance)
    report = remove_old_history(engine, days=30)
    assert (report.replaced_runs, report.shortened_runs) == (1, 1)
    assert instance.get_run_by_id(replaced) is None
    assert instance.all_logs(replaced) == []
    assert instance.get_run_by_id(newer) is not None
    assert state(instance) == before
    with psycopg.connect(database) as connection:
        remaining_runs = (
            "SELECT 1 FROM asset_event_tags t WHERE NOT EXISTS (SELECT 1 FROM event_logs e WHERE e.id = t.event_id)"
        )
        assert connection.execute(remaining_runs).fetchall() == []
        assert (
            connection.execute("SELECT 1 FROM asset_check_executions WHERE run_id = %s", (replaced,)).fetchall() == []
        )


def test_a_failure_without_later_success_is_kept_and_others_are_removed(
    instance: DagsterInstance, engine: Engine, database: str
) -> None:
    failed, succeeded, still_failed = run(instance, "a", fails=True), run(instance, "a"), run(instance, "b", fails=True)
    grow_old(database, failed, succeeded, still_failed)
    before = state(instance)
    assert before["second"][1] == {"a": "MATERIALIZED", "b": "FAILED"}
    remove_old_history(engine, days=30)
    assert instance.get_run_by_id(failed) is None
    assert instance.get_run_by_id(still_failed) is not None
    assert state(instance) == before


@pytest.mark.parametrize(("status", "stays"), [("REQUESTED", True), ("COMPLETED_SUCCESS", False)])
def test_runs_of_a_backfill_in_progress_are_kept(
    instance: DagsterInstance, engine: Engine, database: str, status: str, stays: bool
) -> None:
    instance.add_backfill(
        PartitionBackfill("backfill", BulkActionStatus(status), False, {}, 0.0, partition_names=["a"])
    )
    old = run(instance, "a", tags={"dagster/backfill": "backfill"})
    grow_old(database, old)
    assert (old_history(engine, days=30) == History()) is stays


def test_pruning_stops_between_two_batches_on_request(
    instance: DagsterInstance, engine: Engine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcription_dagster.database.run_history._BATCH_RUNS", 1)
    grow_old(database, run(instance, "a"), run(instance, "b"))
    assert remove_old_history(engine, days=30, should_stop=lambda: True).shortened_runs == 1
    assert remove_old_history(engine, days=30).shortened_runs == 1


def test_the_command_reports_what_it_would_remove_and_removes_it_with_yes(
    instance: DagsterInstance, database: str
) -> None:
    old = run(instance, "a")
    grow_old(database, old)
    events = len(instance.all_logs(old))

    def prune(*arguments: str) -> str:
        result = CliRunner().invoke(transcription, ["prune", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    output = prune("--older-than", "30")
    assert "Would remove" in output
    assert "the details of 1 others" in output
    assert "Nothing was removed: add --yes" in output
    assert len(instance.all_logs(old)) == events
    assert prune("--older-than", "30", "--yes").startswith("Removed")
    assert len(instance.all_logs(old)) < events
    assert "nothing to remove from runs that ended more than 30 days ago" in prune("--older-than", "30")


def test_without_an_age_the_command_asks_for_one() -> None:
    result = CliRunner().invoke(transcription, ["prune"])
    assert result.exit_code == 2
    assert "--older-than DAYS, or set TRANSCRIPTION_RUN_HISTORY_DAYS" in result.output
