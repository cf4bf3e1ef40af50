"""What Dagster has logged of runs that ended long ago, removed without losing the state of any asset.

The UI shows an asset's state from events: the latest materialization and observation of each partition, and an attempt
at it that came to nothing. Those stay, with the runs they belong to and how those ended; so do the outcomes of checks.
Everything else of an old run goes, and a run that later ones have replaced goes altogether.

The statements work on the tables of Dagster's release that setup.py pins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from transcription_dagster.database.connection import transaction

#: Runs that are looked at in one transaction.
_BATCH_RUNS = 200

#: Events that make up the state of an asset; of each, the latest for a partition counts.
_STATE: Final = [
    "ASSET_MATERIALIZATION",
    "ASSET_OBSERVATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_FAILED_TO_MATERIALIZE",
]
#: Events that an old run keeps while the state of an asset depends on it: how it and its steps ended, and its checks.
_KEPT: Final = [
    "ASSET_CHECK_EVALUATION",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELED",
    "STEP_FAILURE",
]

#: Old runs that ended. A backfill counts its runs until all of them have ended, so its runs wait for it.
_OLD_RUNS: Final = """
SELECT r.id, r.run_id FROM runs r
 WHERE r.id > :after AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
   AND r.update_timestamp < now() AT TIME ZONE 'utc' - make_interval(secs => :seconds)
   AND NOT EXISTS (SELECT 1 FROM bulk_actions b
                    WHERE b.key = r.backfill_id AND b.status IN ('REQUESTED', 'CANCELING', 'FAILING'))
 ORDER BY r.id LIMIT :limit
"""

#: The events of some runs that make up the present state of an asset. An attempt that was planned no longer counts
#: when its partition was materialized after it.
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

#: The outcome of a check stays as long as it is the latest of that check.
_DELETE_CHECKS: Final = """
DELETE FROM asset_check_executions c
 WHERE c.run_id = ANY(CAST(:replaced AS text[]))
   AND EXISTS (SELECT 1 FROM asset_check_executions later
                WHERE later.asset_key = c.asset_key AND later.check_name = c.check_name AND later.id > c.id)
"""
_DELETE_TAGS: Final = "DELETE FROM asset_event_tags WHERE event_id = ANY(CAST(:events AS bigint[]))"
_DELETE_EVENTS: Final = "DELETE FROM event_logs WHERE id = ANY(CAST(:events AS bigint[]))"
_DELETE_RUNS: Final = "DELETE FROM runs WHERE run_id = ANY(CAST(:replaced AS text[]))"


@dataclass(frozen=True, slots=True)
class History:
    """What can be removed, or was."""

    #: Runs that go altogether, because later ones did all that they did.
    replaced_runs: int = 0
    #: Runs that stay, without the details of their steps.
    shortened_runs: int = 0
    events: int = 0
    #: Size of these events' text.
    bytes: int = 0

    def __add__(self, other: History) -> History:
        return History(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some of the old runs, and what can go of them."""

    replaced: list[str]
    events: list[int]
    history: History


def old_history(engine: Engine, *, days: float) -> History:
    """What `remove_old_history` would remove of the runs that ended more than `days` ago."""
    return sum((batch.history for batch in _batches(engine, days)), start=History())


def remove_old_history(engine: Engine, *, days: float, should_stop: Callable[[], bool] = lambda: False) -> History:
    """Remove what the state of no asset depends on from the runs that ended more than `days` ago.

    Each batch of runs is a transaction of its own; `should_stop` is asked between two of them.
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
            batch = _judged(connection, [run.run_id for run in runs])
        yield batch
        after = runs[-1].id


def _judged(connection: Connection, runs: Sequence[str]) -> _Batch:
    needed = connection.execute(text(_NEEDED), {"runs": runs, "state": _STATE}).all()
    replaced = set(runs) - {event.run_id for event in needed}
    values = {"runs": runs, "needed": [event.id for event in needed], "replaced": list(replaced), "kept": _KEPT}
    events = connection.execute(text(_SUPERFLUOUS), values).all()
    shortened = {event.run_id for event in events} - replaced
    history = History(len(replaced), len(shortened), len(events), sum(event.bytes for event in events))
    return _Batch(sorted(replaced), [event.id for event in events], history)
