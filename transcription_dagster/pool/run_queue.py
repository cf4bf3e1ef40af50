"""The front of Dagster's run queue: the runs that a poll could launch, found without reading the others.

Twice a second Dagster's daemon reads every queued run, sorts the runs by priority, and launches those that its limits
allow. The limits apply to all runs and to each value of the tag `transcription/gpu`, so only the first runs with each
value can be launched: an index finds them.

The index reads the tags from the run as Dagster stores it (`runs.run_body`, JSON written by `json.dumps`), because
Dagster's separate table of tags cannot be indexed together with its table of runs.
"""

from __future__ import annotations

from typing import Final

import psycopg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import PRIORITY_TAG

from transcription_dagster.pool.names import GPU_TAG

#: Maximum number of runs with each value of the tag that one poll launches. More idle run workers are rare, and the
#: next poll serves them.
FRONT_RUNS: Final = 40

#: The daemon's query for queued runs.
WAITING: Final = RunsFilter(statuses=[DagsterRunStatus.QUEUED])

_GPU = f"""coalesce(substring(run_body from '"{GPU_TAG}": "([^"]*)"'), '')"""
#: Priority as Dagster parses it: anything but a number counts as 0.
_PRIORITY = f"""CAST(coalesce(substring(run_body from '"{PRIORITY_TAG}": "([-+]?[0-9]{{1,9}})"'), '0') AS integer)"""

_INDEX: Final = f"""
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


def index_run_queue(url: str) -> None:
    """Create the index. Dagster's tables must exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_INDEX)
