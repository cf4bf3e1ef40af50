"""Idempotent launches: a launch repeated because its answer was late or lost gives the same run.

A client cannot know whether the web server creates the requested run: the request may have arrived, and the
server may still be processing it, or waiting for Postgres, long after the client has timed out. Therefore each
request has an id, a unique index admits one run with it, and storage answers a repetition with that run
(`pool/storage.py`). Retries of a run inherit its tags, and are runs of their own.

The index reads the tag from the run as Dagster stores it, like that of the queue (`pool/run_queue.py`): Dagster's table
of tags is written after the run.
"""

from __future__ import annotations

from typing import Final

import psycopg

from transcription_dagster.dagster_api.values import LAUNCH_TAG

_LAUNCH = f"""substring(run_body from '"{LAUNCH_TAG.replace(".", "[.]")}": "([^"]*)"')"""
_NO_RETRY = """run_body LIKE '%"parent_run_id": null%'"""

_INDEX: Final = f"""
CREATE UNIQUE INDEX IF NOT EXISTS transcription_run_launches ON runs (({_LAUNCH}))
 WHERE {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""

#: The run with this id, or of this launch.
EARLIER_RUN: Final = f"""
SELECT run_id FROM runs WHERE run_id = :run_id
 UNION SELECT run_id FROM runs WHERE {_LAUNCH} = :launch AND {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""  # noqa: S608  constants of this module alone


def index_run_launches(url: str) -> None:
    """Create the index. Dagster's tables must exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_INDEX)
