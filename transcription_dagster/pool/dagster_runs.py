"""Indexes on Dagster's table of runs: the front of its queue, and launches that can be repeated.

The front of the queue: twice a second Dagster's daemon reads every queued run, sorts the runs by priority, and launches
those that its limits allow. The limits apply to all runs and to each value of the tag `transcription/gpu`, so only the
first runs with each value can be launched: an index finds them.

Idempotent launches: a client cannot know whether the web server creates the requested run: the request may have
arrived, and the server may still be processing it, or waiting for Postgres, long after the client has timed out.
Therefore each request has an id, a unique index admits one run with it, and storage answers a repetition with that run
(`pool/storage.py`). Retries of a run inherit its tags, and are runs of their own.

Both indexes read the tags from the run as Dagster stores it (`runs.run_body`, JSON written by `json.dumps`): Dagster's
separate table of tags is written after the run, and cannot be indexed together with its table of runs.
"""

from __future__ import annotations

from typing import Final

import psycopg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import PRIORITY_TAG

from transcription_dagster.dagster_api.values import LAUNCH_TAG
from transcription_dagster.pool.names import GPU_TAG

#: Maximum number of runs with each value of the tag that one poll launches. More idle run workers are rare, and the
#: next poll serves them.
FRONT_RUNS: Final = 40

#: The daemon's query for queued runs.
WAITING: Final = RunsFilter(statuses=[DagsterRunStatus.QUEUED])

_GPU = f"""coalesce(substring(run_body from '"{GPU_TAG}": "([^"]*)"'), '')"""
#: Priority as Dagster parses it: anything but a number counts as 0.
_PRIORITY = f"""CAST(coalesce(substring(run_body from '"{PRIORITY_TAG}": "([-+]?[0-9]{{1,9}})"'), '0') AS integer)"""

_QUEUE_INDEX: Final = f"""
CREATE INDEX IF NOT EXISTS transcription_run_queue ON runs (({_GPU}), ({_PRIORITY}) DESC, id) WHERE status = 'QUEUED'
"""

#: Loose index scan: finds each value of the tag, then the first runs with it.
FRONT: Final = f"""
WITH RECURSIVE kinds (gpu) AS (
    (SELECT {_GPU} FROM runs WHERE status = 'QUEUED' ORDER BY {_GPU} LIMIT 1)
    UNION ALL
    SELECT (SELECT {_GPU} FROM runs WHERE status = 'QUEUED' AND {_GPU} > kinds.gpu ORDER BY {_GPU} LIMIT 1)
      FROM kinds WHERE kinds.gpu IS NOT NULL
)
SELECT front.run_id FROM kinds CROSS JOIN LATERAL (
    SELECT run_id FROM runs WHERE status = 'QUEUED' AND {_GPU} = kinds.gpu
     ORDER BY {_PRIORITY} DESC, id LIMIT {FRONT_RUNS}
) AS front WHERE kinds.gpu IS NOT NULL
"""  # noqa: S608  constants of this module alone

_LAUNCH = f"""substring(run_body from '"{LAUNCH_TAG.replace(".", "[.]")}": "([^"]*)"')"""
_NO_RETRY = """run_body LIKE '%"parent_run_id": null%'"""

_LAUNCH_INDEX: Final = f"""
CREATE UNIQUE INDEX IF NOT EXISTS transcription_run_launches ON runs (({_LAUNCH}))
 WHERE {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""

#: The run with this id, or of this launch.
EARLIER_RUN: Final = f"""
SELECT run_id FROM runs WHERE run_id = :run_id
 UNION SELECT run_id FROM runs WHERE {_LAUNCH} = :launch AND {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""  # noqa: S608  constants of this module alone


def index_runs(url: str) -> None:
    """Create both indexes. Dagster's tables must exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_QUEUE_INDEX)
        connection.execute(_LAUNCH_INDEX)
