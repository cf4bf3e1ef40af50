"""Run groups: a run and its retries, which share inference requests."""

from __future__ import annotations

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import ROOT_RUN_ID_TAG

from transcription_dagster.pool.inference_client import cancel_requests_of_run

#: Statuses of unfinished runs that have not been canceled.
_GOING_ON = [status for status in NOT_FINISHED_STATUSES if status is not DagsterRunStatus.CANCELING]


def cancel_requests(instance: DagsterInstance, url: str, run: DagsterRun) -> None:
    """Cancel the inference requests of a canceled run, unless another run of its group may need them."""
    root = run.root_run_id or run.run_id
    going_on = [
        *instance.get_runs(RunsFilter(tags={ROOT_RUN_ID_TAG: root}, statuses=_GOING_ON)),
        *instance.get_runs(RunsFilter(run_ids=[root], statuses=_GOING_ON)),
    ]
    if all(other.run_id == run.run_id for other in going_on):
        cancel_requests_of_run(url, root)
