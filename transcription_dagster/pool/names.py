"""Names of the queues, tasks, notification channels and run tags."""

from __future__ import annotations

from typing import Final

#: Dagster runs, claimed by run workers.
RUNS_QUEUE: Final = "runs"
#: Requests for any GPU executor.
GPU_QUEUE: Final = "gpu"

#: Tasks that prune the queues and Dagster's history, claimed by run workers.
HOUSEKEEPING_QUEUE: Final = "housekeeping"

#: Execute one Dagster run: `run_id`.
EXECUTE_RUN_TASK: Final = "execute_run"
#: Transcribe one recording: `key` of its row in `inference_requests`.
TRANSCRIBE_TASK: Final = "transcribe"
#: Embed the texts of one recording: `key` of its row in `inference_requests`.
EMBED_TASK: Final = "embed"
#: Diarize one recording: `key` of its row in `inference_requests`.
SPEAKERS_TASK: Final = "speakers"

#: Delete old answers and ended jobs.
PRUNE_QUEUES_TASK: Final = "prune_queues"
#: Remove Dagster's old history, if the settings limit it.
PRUNE_HISTORY_TASK: Final = "prune_history"

#: Notification channel: the key of an inference request whenever its state changes.
INFERENCE_CHANNEL: Final = "inference_requests"

#: On an op: this step needs a GPU. On a run: `any`, or the GPU (such as `1`) that the run is pinned to.
GPU_TAG: Final = "transcription/gpu"
#: On a run: the batch that requested it.
BATCH_TAG: Final = "transcription/batch"
#: On a run: the source whose sensor requested it.
SOURCE_TAG: Final = "transcription/source"
#: On a run: version and digest of the shared settings it was executed with.
SETTINGS_TAG: Final = "transcription/settings"
#: The value of `GPU_TAG` for the first free executor.
ANY_GPU: Final = "any"


def gpu_queue(device: str) -> str:
    """Return the queue for work on `device` (`any`, or a GPU's index)."""
    return GPU_QUEUE if device == ANY_GPU else f"{GPU_QUEUE}:{device}"


def run_job_key(run_id: str) -> str:
    """Return the job's key for a Dagster run, so that a run is never queued twice."""
    return f"run:{run_id}"
