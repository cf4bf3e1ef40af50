"""Send a request from a run worker's step to the GPU executors, and wait for the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from transcription_dagster import errors
from transcription_dagster.database.recordings import refuse_forgotten_by_driver
from transcription_dagster.errors import DatabaseUnavailable, TranscriptionError, TransientError
from transcription_dagster.pool import request_queue
from transcription_dagster.pool.connection import database_errors, open_connection, patiently
from transcription_dagster.pool.inference_requests import InferenceRequest

#: Seconds between polls without a notification: a lost connection delivers no notifications.
_LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class InferenceAnswer:
    """An executor's answer and its cost."""

    result: Mapping[str, Any]
    #: Seconds from the request to the start of the last attempt.
    waited_seconds: float
    #: Seconds that the last attempt took.
    gpu_seconds: float
    #: The attempts in order: executor, start time, outcome.
    attempts: tuple[Mapping[str, Any], ...]


class InferenceClient:
    """Queues requests for the GPU executors and waits for answers; holds no connection between calls."""

    def __init__(self, url: str) -> None:
        self._url = url

    @patiently
    def ask(self, request: InferenceRequest) -> None:
        """Queue `request`, unless the same request is queued, running or done.

        Raises `RecordingForgotten` if the recording was forgotten.
        """
        with database_errors(), open_connection(self._url) as connection:
            parameters = {
                "key": request.key,
                "task": request.task,
                "recording": request.recording,
                "run_id": request.run_id,
                "queue": request.queue,
                "request": Jsonb(dict(request.request)),
            }
            with connection.transaction():
                refuse_forgotten_by_driver(connection, request.recording)
                connection.execute(request_queue.ASK, parameters)

    def wait(self, request: InferenceRequest, *, on_event: Callable[[str], None]) -> InferenceAnswer:
        """Wait for the answer; `on_event` receives a line for the run's log when an attempt starts or is cut short.

        Raises the error that the executor reported. Waits through outages of the database.
        """
        reported = 0
        while True:
            try:
                with database_errors(), open_connection(self._url) as connection:
                    connection.execute(f"LISTEN {request_queue.INFERENCE_CHANNEL}")
                    while True:
                        row = connection.execute(request_queue.FIND, {"key": request.key}).fetchone()
                        if row is None:
                            raise TransientError("the request was deleted from the database; run the step again")
                        lines = _history(row["attempts"])
                        for line in lines[reported:]:
                            on_event(line)
                        reported = len(lines)
                        if row["state"] == "done":
                            return _answer(row)
                        if row["state"] == "failed":
                            raise _error(row)
                        _wait_for_change(connection, request.key)
            except DatabaseUnavailable:
                on_event("The database does not answer; waiting for it.")
                self._wait_for_database()

    @patiently
    def _wait_for_database(self) -> None:
        open_connection(self._url).close()


def cancel_requests_of_run(url: str, run_id: str) -> int:
    """Cancel all requests of a run and its retries; returns their number."""
    with database_errors(), open_connection(url) as connection:
        return connection.execute(request_queue.CANCEL, {"run_id": run_id}).rowcount


@patiently
def release_answers(url: str, run_id: str) -> None:
    """Delete executors' answers to a successful run; the same request would be computed again."""
    with database_errors(), open_connection(url) as connection:
        connection.execute(request_queue.RELEASE, {"run_id": run_id})


def _wait_for_change(connection: psycopg.Connection[Any], key: str) -> None:
    """Wait for a notification about `key`, or for `_LOOK_SECONDS`."""
    with closing(connection.notifies(timeout=_LOOK_SECONDS)) as notices:
        any(notice.payload == key for notice in notices)


def _history(attempts: list[dict[str, Any]]) -> list[str]:
    """Return the lines for the run's log. Later calls return the same lines and append to them."""
    lines = []
    for number, attempt in enumerate(attempts, start=1):
        lines.append(f"Attempt {number} begins on {attempt['executor']}.")
        outcome = attempt["ended"]
        # The step itself reports the success or failure of the last attempt.
        if outcome and outcome != "done" and not outcome.startswith("failed: "):
            lines.append(f"Attempt {number} on {attempt['executor']}: {outcome}.")
    return lines


def _answer(row: Mapping[str, Any]) -> InferenceAnswer:
    if row["result"] is None:
        raise TransientError("the answer was released when another run with it succeeded; run the step again")
    return InferenceAnswer(row["result"], row["waited_seconds"], row["gpu_seconds"] or 0.0, tuple(row["attempts"]))


def _error(row: Mapping[str, Any]) -> TranscriptionError:
    error_class = getattr(errors, row["error_class"] or "", TransientError)
    return error_class(row["error"])
