"""Remove old runs' logs, or everything about a recording, from Dagster's tables without losing the state of assets.

The UI derives an asset's state from events: the latest materialization and observation of each partition, and any later
failed attempt. Those events stay, with their runs, the runs' status and the results of checks. Everything else about an
old run is removed, and a run whose results have all been replaced is removed completely.

The statements are written for the tables of the Dagster release pinned in pyproject.toml, in the schema `public`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from transcription_dagster.database.connection import transaction

#: Runs per transaction.
_BATCH_RUNS = 200

#: Events that define the state of an asset; the latest of each type per partition counts.
_STATE: Final = [
    "ASSET_MATERIALIZATION",
    "ASSET_OBSERVATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_FAILED_TO_MATERIALIZE",
]
#: Events that a run keeps while an asset's state depends on it: how it and its steps ended, and its checks.
_KEPT: Final = [
    "ASSET_CHECK_EVALUATION",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELED",
    "STEP_FAILURE",
]

#: Old runs that ended. A backfill counts its runs until all have ended, so runs of an unfinished one are excluded.
_OLD_RUNS: Final = """
SELECT r.id, r.run_id FROM runs r
 WHERE r.id > :after AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
   AND r.update_timestamp < now() AT TIME ZONE 'utc' - make_interval(secs => :seconds)
   AND NOT EXISTS (SELECT 1 FROM bulk_actions b
                    WHERE b.key = r.backfill_id AND b.status IN ('REQUESTED', 'CANCELING', 'FAILING'))
 ORDER BY r.id LIMIT :limit
"""

#: The events of the given runs that define an asset's current state. A planned attempt no longer counts once its
#: partition was materialized after it.
_NEEDED: Final = """
SELECT e.id, e.run_id FROM event_logs e
 WHERE e.run_id = ANY(CAST(:runs AS text[])) AND e.dagster_event_type = ANY(:state)
   AND NOT EXISTS (SELECT 1 FROM event_logs later
                    WHERE later.asset_key = e.asset_key AND later.dagster_event_type = e.dagster_event_type
                      AND later.partition = e.partition AND later.id > e.id)
   AND NOT (e.partition IS NULL AND EXISTS (
           SELECT 1 FROM event_logs later
            WHERE later.asset_key = e.asset_key AND later.dagster_event_type = e.dagster_event_type
              AND later.partition IS NULL AND later.id > e.id))
   AND NOT (e.dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' AND EXISTS (
           SELECT 1 FROM event_logs later
            WHERE later.asset_key = e.asset_key AND later.dagster_event_type = 'ASSET_MATERIALIZATION'
              AND later.partition IS NOT DISTINCT FROM e.partition AND later.id > e.id))
"""

_SUPERFLUOUS: Final = """
SELECT e.id, e.run_id, octet_length(e.event) AS bytes FROM event_logs e
 WHERE e.run_id = ANY(CAST(:runs AS text[]))
   AND NOT EXISTS (SELECT 1 FROM unnest(CAST(:needed AS bigint[])) AS needed WHERE needed = e.id)
   AND (e.run_id = ANY(CAST(:replaced AS text[])) OR e.dagster_event_type IS NULL OR e.dagster_event_type <> ALL(:kept))
"""

#: The latest result of a check stays.
_DELETE_CHECKS: Final = """
DELETE FROM asset_check_executions c
 WHERE c.run_id = ANY(CAST(:replaced AS text[]))
   AND EXISTS (SELECT 1 FROM asset_check_executions later
                WHERE later.asset_key = c.asset_key AND later.check_name = c.check_name AND later.id > c.id)
"""
_DELETE_TAGS: Final = "DELETE FROM asset_event_tags WHERE event_id = ANY(CAST(:events AS bigint[]))"
_DELETE_EVENTS: Final = "DELETE FROM event_logs WHERE id = ANY(CAST(:events AS bigint[]))"
_DELETE_RUNS: Final = "DELETE FROM runs WHERE run_id = ANY(CAST(:replaced AS text[]))"

_RUNS_OF_RECORDING: Final = "SELECT run_id FROM run_tags WHERE key = 'dagster/partition' AND value = :recording"
_UNFINISHED_JOBS: Final = """
SELECT queueing_lock FROM procrastinate_jobs
 WHERE queueing_lock = ANY(CAST(:keys AS text[])) AND status IN ('todo', 'doing')
"""
_DELETE_JOBS: Final = "DELETE FROM procrastinate_jobs WHERE queueing_lock = ANY(CAST(:keys AS text[]))"
#: Events of the recording's runs and partition, and events outside of any run that name it, such as an import's check.
_EVENTS: Final = """
    run_id = ANY(CAST(:runs AS text[]))
    OR (asset_key IN (SELECT asset_key FROM asset_keys) AND partition = :recording)
    OR (run_id = '' AND event LIKE '%' || :recording || '%')
"""
#: Executed in this order with the recording and its runs. Jobs and requests are taken from the workers that hold them,
#: whose later reports are refused.
_REMOVE_TRACES: Final = (
    """
    DELETE FROM procrastinate_jobs
     WHERE queueing_lock IN (SELECT 'run:' || run FROM unnest(CAST(:runs AS text[])) AS run)
    """,
    "DELETE FROM inference_requests WHERE recording = :recording OR run_id = ANY(CAST(:runs AS text[]))",
    "UPDATE transcription_workers SET last_error = NULL WHERE last_error LIKE '%' || :recording || '%'",
    f"DELETE FROM asset_event_tags WHERE event_id IN (SELECT id FROM event_logs WHERE {_EVENTS})",  # noqa: S608
    f"DELETE FROM event_logs WHERE {_EVENTS}",  # noqa: S608  constants
    """
    DELETE FROM asset_check_executions WHERE run_id = ANY(CAST(:runs AS text[])) OR partition = :recording
        OR (run_id = '' AND evaluation_event LIKE '%' || :recording || '%')
    """,
    # Dagster stores an asset's latest event a second time, beside its key.
    """
    UPDATE asset_keys SET (last_materialization, last_run_id) = (
        SELECT event, run_id FROM event_logs
         WHERE event_logs.asset_key = asset_keys.asset_key AND dagster_event_type = 'ASSET_MATERIALIZATION'
         ORDER BY id DESC LIMIT 1)
     WHERE last_materialization LIKE '%' || :recording || '%' OR last_run_id = ANY(CAST(:runs AS text[]))
    """,
    # Dagster's cache of the partitions' states names them; Dagster computes it again from the remaining events.
    "UPDATE asset_keys SET cached_status_data = NULL WHERE cached_status_data LIKE '%' || :recording || '%'",
    "DELETE FROM run_tags WHERE run_id = ANY(CAST(:runs AS text[]))",
    "DELETE FROM runs WHERE run_id = ANY(CAST(:runs AS text[]))",
)


@dataclass(frozen=True, slots=True)
class History:
    """The history that can be, or was, removed."""

    #: Runs removed entirely, because later ones replaced all their results.
    replaced_runs: int = 0
    #: Runs that stay without the details of their steps.
    shortened_runs: int = 0
    events: int = 0
    #: Bytes of these events' text.
    bytes: int = 0

    def __add__(self, other: History) -> History:
        return History(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch of old runs, and what can be removed of them."""

    replaced: list[str]
    events: list[int]
    history: History


def old_history(engine: Engine, *, days: float) -> History:
    """Return what `remove_old_history` would remove of runs that ended more than `days` ago."""
    return sum((batch.history for batch in _batches(engine, days)), start=History())


def remove_old_history(engine: Engine, *, days: float, should_stop: Callable[[], bool] = lambda: False) -> History:
    """Remove history that no asset's state depends on, from runs that ended more than `days` ago.

    Each batch of runs is one transaction; `should_stop` is checked between batches.
    """
    removed = History()
    for batch in _batches(engine, days):
        with transaction(engine) as connection:
            values = {"replaced": batch.replaced, "events": batch.events}
            for statement in (_DELETE_CHECKS, _DELETE_TAGS, _DELETE_EVENTS, _DELETE_RUNS):
                connection.execute(text(statement), values)
        removed += batch.history
        if should_stop():
            break
    return removed


def _batches(engine: Engine, days: float) -> Iterator[_Batch]:
    after = 0
    while True:
        with transaction(engine) as connection:
            parameters = {"after": after, "seconds": days * 86_400, "limit": _BATCH_RUNS}
            runs = connection.execute(text(_OLD_RUNS), parameters).all()
            if not runs:
                return
            batch = _assess(connection, [run.run_id for run in runs])
        yield batch
        after = runs[-1].id


def _assess(connection: Connection, runs: Sequence[str]) -> _Batch:
    needed_events = connection.execute(text(_NEEDED), {"runs": runs, "state": _STATE}).all()
    replaced = set(runs) - {event.run_id for event in needed_events}
    values = {"runs": runs, "needed": [event.id for event in needed_events], "replaced": list(replaced), "kept": _KEPT}
    events = connection.execute(text(_SUPERFLUOUS), values).all()
    shortened = {event.run_id for event in events} - replaced
    history = History(len(replaced), len(shortened), len(events), sum(event.bytes for event in events))
    return _Batch(sorted(replaced), [event.id for event in events], history)


def runs_with_jobs(engine: Engine, keys: Sequence[str]) -> set[str]:
    """Return the keys that have a waiting or running job."""
    with transaction(engine) as connection:
        return set(connection.execute(text(_UNFINISHED_JOBS), {"keys": list(keys)}).scalars())


def remove_jobs(engine: Engine, keys: Sequence[str]) -> None:
    """Remove the jobs with these keys, even while workers hold them."""
    with transaction(engine) as connection:
        connection.execute(text(_DELETE_JOBS), {"keys": list(keys)})


def remove_run_traces(engine: Engine, recording: str) -> int:
    """Remove a recording's runs with their events, jobs, requests and answers; return the number of runs.

    All its runs must have ended: a running one would write new events.
    """
    with transaction(engine) as connection:
        runs = list(connection.execute(text(_RUNS_OF_RECORDING), {"recording": recording}).scalars())
        for statement in _REMOVE_TRACES:
            connection.execute(text(statement), {"recording": recording, "runs": runs})
    return len(runs)
