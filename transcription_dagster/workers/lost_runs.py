"""What is said of a run whose worker died: how far it had come decides."""

from __future__ import annotations

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.execution.stats import StepEventStatus

_DONE = (StepEventStatus.SUCCESS, StepEventStatus.SKIPPED)


def close_lost_run(instance: DagsterInstance, run: DagsterRun) -> None:
    """Report a run failed, for Dagster to start it over; or successful, if every step was done and only that not said.

    Started over, such a run would have nothing to do: Dagster refuses that, and the run would stay failed.
    """
    if _is_done(instance, run):
        said = "The worker that executed this run was lost when every step was done."
        event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name, message=said)
        instance.report_dagster_event(event, run_id=run.run_id)
    else:
        instance.report_run_failed(run, "The worker that executed this run was lost.")


def _is_done(instance: DagsterInstance, run: DagsterRun) -> bool:
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    done = {step.step_key for step in instance.get_run_step_stats(run.run_id) if step.status in _DONE}
    return done.issuperset(plan.step_keys_to_execute)
