"""The limits of the run queue for various pools, and runs that are refused on submission."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, SubmitRunContext
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.errors import InvalidGpu
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.connection import worker_connector
from transcription_dagster.pool.devices import GPU_TAG
from transcription_dagster.pool.run_coordinator import queue_limits
from transcription_dagster.pool.status import PoolStatus, WorkerState, WorkerStatus
from transcription_dagster.pool.worker_registry import WorkerRecord


def worker(kind: Literal["gpu", "run"], state: WorkerState = "idle", device: str | None = None) -> WorkerStatus:
    return WorkerStatus(
        name=f"{kind}-{device}", kind=kind, host="here", pid=1, device=device, model=None, state=state, recording=None,
        progress=None, jobs=0, model_loads=0, last_error=None, seconds_since_heartbeat=0.0,
    )  # fmt: skip


def limits(*workers: WorkerStatus, runs_per_gpu: int = 3) -> tuple[int, dict[str | None, int]]:
    """Return the limit of runs in flight, and of GPU-tagged runs by tag value; None for any value."""
    config = queue_limits(PoolStatus(workers, {}), lambda _: runs_per_gpu)
    by_value: dict[str | None, int] = {
        limit.get("value"): limit["limit"] for limit in config.tag_concurrency_limits if limit["key"] == GPU_TAG
    }
    return config.max_concurrent_runs, by_value


def test_without_an_executor_no_gpu_run_leaves_the_queue_and_others_do() -> None:
    runs, gpu = limits(worker("run"), worker("run"))
    assert runs == 2
    assert set(gpu.values()) == {0}


def test_without_a_run_worker_nothing_leaves_the_queue() -> None:
    assert limits(worker("gpu", device="cuda:0"))[0] == 0


def test_every_executor_raises_the_limits_in_total_and_of_its_device() -> None:
    _, gpu = limits(worker("gpu", device="cuda:0"), worker("gpu", "busy", device="cuda:1"))
    assert (gpu[None], gpu["0"], gpu["1"], gpu["2"]) == (6, 3, 3, 0)


def test_executors_of_two_machines_share_the_limit_of_their_index() -> None:
    _, gpu = limits(worker("gpu", device="cuda:0"), worker("gpu", device="cuda:0"))
    assert (gpu[None], gpu["0"]) == (6, 6)


@pytest.mark.parametrize("state", ["starting", "draining", "dead"])
def test_workers_that_take_no_work_do_not_count(state: Any) -> None:
    runs, gpu = limits(worker("run", state), worker("gpu", state, device="cuda:0"))
    assert runs == 0
    assert set(gpu.values()) == {0}


@given(
    st.lists(st.sampled_from(["cuda:0", "cuda:1", "cuda:7", "cpu:0", "cpu:3"]), max_size=12),
    st.integers(min_value=1, max_value=5),
)
def test_the_limits_of_the_devices_add_up_to_that_of_all(devices: list[str], runs_per_gpu: int) -> None:
    _, gpu = limits(*(worker("gpu", device=device) for device in devices), runs_per_gpu=runs_per_gpu)
    assert gpu.pop(None) == sum(gpu.values()) == runs_per_gpu * len(devices)


# --- submitting a run

ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), "job")
CODE = JobPythonOrigin("job", RepositoryPythonOrigin(sys.executable, ModuleCodePointer("module", "repository", None)))


def submit(instance: DagsterInstance, pin: str) -> str:
    """Submit a run pinned to a device, as Dagster's web server and daemon do; return its id."""
    run = DagsterRun("job", tags={GPU_TAG: pin}, remote_job_origin=ORIGIN, job_code_origin=CODE)
    instance.add_run(run)
    # The workspace is only needed for a launch in a code location.
    instance.submit_run(run.run_id, cast(Any, None))
    return run.run_id


def test_a_run_that_is_submitted_by_two_requests_at_once_is_queued_once(
    instance: DagsterInstance, one_gpu: None
) -> None:
    run = DagsterRun("job", tags={GPU_TAG: "0"}, remote_job_origin=ORIGIN, job_code_origin=CODE)
    instance.add_run(run)
    context = SubmitRunContext(run, cast(Any, None))
    with ThreadPoolExecutor(4) as threads:
        submitted = [*threads.map(lambda _: instance.run_coordinator.submit_run(context), range(4))]
    assert {coordinator.status for coordinator in submitted} == {DagsterRunStatus.QUEUED}
    events = instance.all_logs(run.run_id, of_type=DagsterEventType.PIPELINE_ENQUEUED)
    assert len(events) == 1


@pytest.fixture
def one_gpu(database: str) -> None:
    async def publish() -> None:
        connector = worker_connector(database)
        await connector.open_async()
        try:
            state = WorkerRecord("gpu-0@here", "gpu", device="cuda:0", state="idle")
            await worker_registry.publish_record(connector, state)
        finally:
            await connector.close_async()

    asyncio.run(publish())


@pytest.mark.parametrize("pin", ["7", "cuda:12", "tpu", "0; DROP TABLE runs", "-1"])
def test_a_run_pinned_to_an_unserved_gpu_is_refused(instance: DagsterInstance, one_gpu: None, pin: str) -> None:
    with pytest.raises(InvalidGpu, match=r"no executor serves transcription/gpu=.*it can be any, 0$"):
        submit(instance, pin)
    run = instance.get_runs(limit=1)[0]
    assert (run.tags[GPU_TAG], run.status) == (pin, DagsterRunStatus.FAILURE)
    assert run.tags["dagster/max_retries"] == "0"


@pytest.mark.parametrize(("pin", "device"), [("0", "0"), ("cuda:0", "0"), ("GPU 0", "0"), ("any", "any"), ("", "any")])
def test_a_run_pinned_to_a_served_gpu_is_queued(
    instance: DagsterInstance, one_gpu: None, pin: str, device: str
) -> None:
    run = instance.get_run_by_id(submit(instance, pin))
    assert run is not None
    assert (run.tags[GPU_TAG], run.status) == (device, DagsterRunStatus.QUEUED)
