"""End a run whose worker died, depending on its progress."""

from __future__ import annotations

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.execution.stats import StepEventStatus

_DONE = (StepEventStatus.SUCCESS, StepEventStatus.SKIPPED)


def close_lost_run(instance: DagsterInstance, run: DagsterRun) -> None:
    """Report the run as failed, so that Dagster retries it, or as successful if all its steps had ended.

    A retry of a run with all steps done has nothing to execute: Dagster refuses it, and the run would stay failed.
    """
    if _is_done(instance, run):
        said = "The worker that executed this run was lost after all steps were done."
        event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name, message=said)
        instance.report_dagster_event(event, run_id=run.run_id)
    else:
        instance.report_run_failed(run, "The worker that executed this run was lost.")


def _is_done(instance: DagsterInstance, run: DagsterRun) -> bool:
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    done = {step.step_key for step in instance.get_run_step_stats(run.run_id) if step.status in _DONE}
    return done.issuperset(plan.step_keys_to_execute)
