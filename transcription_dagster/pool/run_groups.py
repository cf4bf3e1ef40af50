"""A run and those that started over from it: they share what they asked of the executors."""

from __future__ import annotations

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import ROOT_RUN_ID_TAG

from transcription_dagster.pool.inference_client import cancel_requests_of_run

#: Of runs that will go on, or are going on, as far as anybody has said.
_GOING_ON = [status for status in NOT_FINISHED_STATUSES if status is not DagsterRunStatus.CANCELING]


def cancel_requests(instance: DagsterInstance, url: str, run: DagsterRun) -> None:
    """Withdraw what a run that is being canceled asked for, unless another run of its group goes on and may need it."""
    root = run.root_run_id or run.run_id
    going_on = [
        *instance.get_runs(RunsFilter(tags={ROOT_RUN_ID_TAG: root}, statuses=_GOING_ON)),
        *instance.get_runs(RunsFilter(run_ids=[root], statuses=_GOING_ON)),
    ]
    if all(other.run_id == run.run_id for other in going_on):
        cancel_requests_of_run(url, root)
