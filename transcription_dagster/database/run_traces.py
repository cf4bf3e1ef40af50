"""Remove a forgotten recording's traces from the queues and from Dagster's tables.

The statements work on the tables of Dagster's release that setup.py pins; like the queues' they are in `public`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine, text

from transcription_dagster.database.connection import transaction

_RUNS: Final = "SELECT run_id FROM run_tags WHERE key = 'dagster/partition' AND value = :recording"

_UNDER_WAY: Final = """
SELECT queueing_lock FROM procrastinate_jobs
 WHERE queueing_lock = ANY(CAST(:keys AS text[])) AND status IN ('todo', 'doing')
"""
_TAKE_AWAY: Final = "DELETE FROM procrastinate_jobs WHERE queueing_lock = ANY(CAST(:keys AS text[]))"

#: Events of the recording's runs and partition, and events outside of any run that name it, such as an import's check.
_EVENTS: Final = """
    run_id = ANY(CAST(:runs AS text[]))
    OR (asset_key IN (SELECT asset_key FROM asset_keys) AND partition = :recording)
    OR (run_id = '' AND event LIKE '%' || :recording || '%')
"""

#: Executed in this order with the recording and its runs. Jobs and requests are taken from the workers that hold them,
#: whose later reports are refused.
_STATEMENTS: Final = (
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
    "DELETE FROM run_tags WHERE run_id = ANY(CAST(:runs AS text[]))",
    "DELETE FROM runs WHERE run_id = ANY(CAST(:runs AS text[]))",
)


def runs_with_jobs(engine: Engine, keys: Sequence[str]) -> set[str]:
    """Return the keys that have a waiting or running job."""
    with transaction(engine) as connection:
        return set(connection.execute(text(_UNDER_WAY), {"keys": list(keys)}).scalars())


def take_jobs_away(engine: Engine, keys: Sequence[str]) -> None:
    """Remove the jobs with these keys, even while workers hold them."""
    with transaction(engine) as connection:
        connection.execute(text(_TAKE_AWAY), {"keys": list(keys)})


def remove_run_traces(engine: Engine, recording: str) -> int:
    """Remove a recording's runs with their events, jobs, requests and answers; return the number of runs.

    All its runs must have ended: a running one would write new events.
    """
    with transaction(engine) as connection:
        runs = list(connection.execute(text(_RUNS), {"recording": recording}).scalars())
        for statement in _STATEMENTS:
            connection.execute(text(statement), {"recording": recording, "runs": runs})
    return len(runs)
