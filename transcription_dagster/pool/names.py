"""The queues, tasks, channels and run tags of the program, each with its meaning."""

from __future__ import annotations

from typing import Final

#: Whole Dagster runs, taken by run workers.
RUNS_QUEUE: Final = "runs"
#: Work for any GPU executor.
GPU_QUEUE: Final = "gpu"

#: What keeps the queues and Dagster's history from growing, taken by run workers.
HOUSEKEEPING_QUEUE: Final = "housekeeping"

#: Execute one Dagster run: `run_id`.
EXECUTE_RUN_TASK: Final = "execute_run"
#: Transcribe one recording: `key` of its row in `transcription_speech`.
TRANSCRIBE_TASK: Final = "transcribe"
#: Encode the texts of one recording: `key` of its row in `transcription_speech`.
EMBED_TASK: Final = "embed"

#: Delete what the queues have kept long enough.
PRUNE_QUEUES_TASK: Final = "prune_queues"
#: Remove Dagster's old history, where a setting says so.
PRUNE_HISTORY_TASK: Final = "prune_history"

#: Told the key of a speech request whenever its row changes.
INFERENCE_CHANNEL: Final = "transcription_speech"

#: On an op: this step needs a GPU. On a run: `any`, or the GPU (such as `1`) that the run is pinned to.
GPU_TAG: Final = "transcription/gpu"
#: On a run: the batch that asked for it.
BATCH_TAG: Final = "transcription/batch"
#: On a run: the source whose sensor asked for it.
SOURCE_TAG: Final = "transcription/source"
#: On a run: the version and digest of the shared settings that it was executed by.
SETTINGS_TAG: Final = "transcription/settings"
#: The value of `GPU_TAG` that leaves the choice to whichever executor is free first.
ANY_GPU: Final = "any"


def gpu_queue(device: str) -> str:
    """Name of the queue for work that must go to `device` (`any`, or a GPU's index)."""
    return GPU_QUEUE if device == ANY_GPU else f"{GPU_QUEUE}:{device}"


def run_job_key(run_id: str) -> str:
    """The queue's key of a Dagster run: the same run is never queued twice."""
    return f"run:{run_id}"


def inference_job_key(key: str) -> str:
    """The queue's key of a speech request."""
    return f"speech:{key}"
