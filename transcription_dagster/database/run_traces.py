"""What the queues and Dagster keep of one recording, removed when the recording is forgotten.

The statements work on the tables of Dagster's release that setup.py pins; like the queues' they are in `public`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, text

from transcription_dagster.database.connection import transaction

_RUNS: Final = "SELECT run_id FROM run_tags WHERE key = 'dagster/partition' AND value = :recording"

#: In this order; each is told the recording and its runs.
_STATEMENTS: Final = (
    """
    DELETE FROM procrastinate_jobs WHERE status <> 'doing' AND queueing_lock IN (
        SELECT key FROM transcription_speech WHERE recording = :recording OR run_id = ANY(CAST(:runs AS text[]))
        UNION ALL SELECT unnest(CAST(:runs AS text[])))
    """,
    "DELETE FROM transcription_speech WHERE recording = :recording OR run_id = ANY(CAST(:runs AS text[]))",
    "UPDATE transcription_workers SET last_error = NULL WHERE last_error LIKE '%' || :recording || '%'",
    """
    DELETE FROM asset_event_tags WHERE event_id IN (
        SELECT id FROM event_logs WHERE run_id = ANY(CAST(:runs AS text[]))
           OR (asset_key IN (SELECT asset_key FROM asset_keys) AND partition = :recording))
    """,
    """
    DELETE FROM event_logs WHERE run_id = ANY(CAST(:runs AS text[]))
        OR (asset_key IN (SELECT asset_key FROM asset_keys) AND partition = :recording)
    """,
    "DELETE FROM asset_check_executions WHERE run_id = ANY(CAST(:runs AS text[])) OR partition = :recording",
    # An asset's latest event of any recording is kept a second time, beside its key.
    """
    UPDATE asset_keys SET last_materialization = (
        SELECT event FROM event_logs
         WHERE event_logs.asset_key = asset_keys.asset_key AND dagster_event_type = 'ASSET_MATERIALIZATION'
         ORDER BY id DESC LIMIT 1)
     WHERE last_materialization LIKE '%' || :recording || '%'
    """,
    "DELETE FROM run_tags WHERE run_id = ANY(CAST(:runs AS text[]))",
    "DELETE FROM runs WHERE run_id = ANY(CAST(:runs AS text[]))",
)


def remove_run_traces(engine: Engine, recording: str) -> int:
    """Remove a recording's runs, their events, jobs, requests and answers; return how many runs there were.

    Its runs have to have ended: what still runs goes on to write events.
    """
    with transaction(engine) as connection:
        runs = list(connection.execute(text(_RUNS), {"recording": recording}).scalars())
        for statement in _STATEMENTS:
            connection.execute(text(statement), {"recording": recording, "runs": runs})
    return len(runs)
