"""What the queues and Dagster keep of one recording, removed when the recording is forgotten.

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

#: The events of the recording's runs, of its partition, and those outside of any run that name it: an import's check.
_EVENTS: Final = """
    run_id = ANY(CAST(:runs AS text[]))
    OR (asset_key IN (SELECT asset_key FROM asset_keys) AND partition = :recording)
    OR (run_id = '' AND event LIKE '%' || :recording || '%')
"""

#: In this order; each is told the recording and its runs. A job is taken from the worker that has it: what the worker
#: reports of it afterwards is refused.
_STATEMENTS: Final = (
    """
    DELETE FROM procrastinate_jobs WHERE queueing_lock IN (
        SELECT 'speech:' || key FROM transcription_speech
         WHERE recording = :recording OR run_id = ANY(CAST(:runs AS text[]))
        UNION ALL SELECT 'run:' || run FROM unnest(CAST(:runs AS text[])) AS run)
    """,
    "DELETE FROM transcription_speech WHERE recording = :recording OR run_id = ANY(CAST(:runs AS text[]))",
    "UPDATE transcription_workers SET last_error = NULL WHERE last_error LIKE '%' || :recording || '%'",
    f"DELETE FROM asset_event_tags WHERE event_id IN (SELECT id FROM event_logs WHERE {_EVENTS})",  # noqa: S608
    f"DELETE FROM event_logs WHERE {_EVENTS}",  # noqa: S608  constants
    """
    DELETE FROM asset_check_executions WHERE run_id = ANY(CAST(:runs AS text[])) OR partition = :recording
        OR (run_id = '' AND evaluation_event LIKE '%' || :recording || '%')
    """,
    # An asset's latest event of any recording is kept a second time, beside its key.
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
    """Return those of the queue's keys under which a job waits or is under way."""
    with transaction(engine) as connection:
        return set(connection.execute(text(_UNDER_WAY), {"keys": list(keys)}).scalars())


def take_jobs_away(engine: Engine, keys: Sequence[str]) -> None:
    """Remove the jobs under these keys, also from workers that have them."""
    with transaction(engine) as connection:
        connection.execute(text(_TAKE_AWAY), {"keys": list(keys)})


def remove_run_traces(engine: Engine, recording: str) -> int:
    """Remove a recording's runs, their events, jobs, requests and answers; return how many runs there were.

    Its runs have to have ended: what still runs goes on to write events.
    """
    with transaction(engine) as connection:
        runs = list(connection.execute(text(_RUNS), {"recording": recording}).scalars())
        for statement in _STATEMENTS:
            connection.execute(text(statement), {"recording": recording, "runs": runs})
    return len(runs)
