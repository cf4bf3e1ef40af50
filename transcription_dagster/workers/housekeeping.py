"""Periodic deletion of old data, done by one run worker at a time between two runs.

Both tasks are periodic tasks of procrastinate, which queues each once per due time, regardless of the number of
workers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from procrastinate.manager import JobManager

from transcription_dagster.database.connection import opened_database
from transcription_dagster.database.run_history import remove_old_history
from transcription_dagster.pool import request_queue
from transcription_dagster.pool.connection import PatientConnector
from transcription_dagster.pool.run_queue import HOUSEKEEPING_QUEUE, JobClaim, RunQueue
from transcription_dagster.pool.work_queue import HeldWork
from transcription_dagster.refinement.answer_store import remove_old_answers
from transcription_dagster.settings import Settings
from transcription_dagster.workers.pool_worker import PoolWorker

logger = logging.getLogger(__name__)

#: Names of the tasks: delete old answers and ended jobs; remove Dagster's old history, if the settings limit it.
PRUNE_QUEUES_TASK: Final = "prune_queues"
PRUNE_HISTORY_TASK: Final = "prune_history"

#: Arbitrary minutes that avoid the full hour, when many other jobs start.
_HOURLY = "7 * * * *"
_DAILY = "37 3 * * *"

#: Hours for which an ended job is kept for inspection. No code reads it: Dagster's tables and `inference_requests`
#: contain the outcome of runs and requests.
_JOB_HOURS = 24


def register_housekeeping(pool: PoolWorker[JobClaim], queue: RunQueue, settings: Settings, url: str) -> None:
    """Register both tasks: the queues every hour, Dagster's history every night if a setting limits it."""

    async def queues(_held: HeldWork[JobClaim]) -> None:
        await prune_queues(queue.connector)
        await asyncio.to_thread(_prune_answers, url)

    async def history(_held: HeldWork[JobClaim]) -> None:
        days = settings.run_history_days
        if days is not None:
            await asyncio.to_thread(_prune_history, url, days, pool.draining.is_set)

    for name, cron, function in ((PRUNE_QUEUES_TASK, _HOURLY, queues), (PRUNE_HISTORY_TASK, _DAILY, history)):
        pool.work.task(name, function)
        queue.every(cron, name, queue=HOUSEKEEPING_QUEUE)


async def prune_queues(connector: PatientConnector) -> None:
    """Delete old answers and ended jobs."""
    await connector.execute_query_async(request_queue.PRUNE, days=request_queue.ANSWER_DAYS)
    jobs = JobManager(connector)
    await jobs.delete_old_jobs(_JOB_HOURS, include_failed=True, include_cancelled=True, include_aborted=True)


def _prune_answers(url: str) -> None:
    with opened_database(url) as engine:
        remove_old_answers(engine)


def _prune_history(url: str, days: float, should_stop: Callable[[], bool]) -> None:
    with opened_database(url) as engine:
        removed = remove_old_history(engine, days=days, should_stop=should_stop)
    logger.info("removed %s of runs that ended more than %g days ago", removed, days, extra={"action": "prune"})
