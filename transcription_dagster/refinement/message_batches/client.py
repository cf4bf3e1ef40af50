"""The Message Batches API: many requests at half the price, answered within a day and kept for a month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from transcription_dagster.errors import RefinementFailed, RefinementUnavailable
from transcription_dagster.refinement.claude import Claude, message_params, own_errors, reply_of
from transcription_dagster.refinement.messages import BatchProgress, BatchResult, MessageRequest, SubmittedBatch

if TYPE_CHECKING:
    from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

#: Errors of single requests that are not the request's fault.
_RETRYABLE = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})


class ClaudeBatches:
    """Sends Message Batches. Every method raises as `Claude.send` does."""

    def __init__(self, claude: Claude) -> None:
        self._claude = claude
        self._batches = claude.sdk.messages.batches

    def submit(self, requests: Mapping[str, MessageRequest]) -> str:
        """Submit requests by custom id (1 to 64 letters, digits, `_` and `-`); return the batch's id."""
        listed = [{"custom_id": name, "params": message_params(request)} for name, request in requests.items()]
        return own_errors(lambda: self._batches.create(requests=listed).id, self._claude.secrets)  # type: ignore[arg-type]

    def poll(self, batch_id: str) -> BatchProgress:
        """Return a batch's progress. Raises `RefinementFailed` if the id is unknown."""
        batch = self._retrieve(batch_id)
        counts = batch.request_counts
        return BatchProgress(
            ended=batch.processing_status == "ended",
            processing=counts.processing,
            succeeded=counts.succeeded,
            errored=counts.errored,
            canceled=counts.canceled,
            expired=counts.expired,
        )

    def results(self, batch_id: str) -> Iterator[BatchResult]:
        """Yield the results of an ended batch, in arbitrary order.

        Raises `RefinementUnavailable` before it ends, and `RefinementFailed` after a month, when the results are gone.
        """
        batch = self._retrieve(batch_id)
        if batch.processing_status != "ended":
            raise RefinementUnavailable(f"the batch {batch_id} has not ended")
        if batch.results_url is None:
            raise RefinementFailed(f"the results of the batch {batch_id} are no longer kept")
        lines = own_errors(lambda: self._batches.results(batch_id), self._claude.secrets)
        while (line := own_errors(lambda: next(lines, None), self._claude.secrets)) is not None:
            yield _result(line)

    def recent(self, since: datetime) -> Iterator[SubmittedBatch]:
        """Yield all batches submitted since a moment in the account's workspace, newest first."""
        batches = own_errors(lambda: iter(self._batches.list(limit=100)), self._claude.secrets)
        while (batch := own_errors(lambda: next(batches, None), self._claude.secrets)) is not None:
            if batch.created_at < since:
                return
            counts = batch.request_counts
            requests = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            yield SubmittedBatch(batch.id, requests, batch.processing_status == "ended")

    def _retrieve(self, batch_id: str) -> MessageBatch:
        return own_errors(lambda: self._batches.retrieve(batch_id), self._claude.secrets)


def _result(line: MessageBatchIndividualResponse) -> BatchResult:
    result = line.result
    if result.type == "succeeded":
        return BatchResult(line.custom_id, reply_of(result.message))
    if result.type == "errored":
        kind = result.error.error.type
        return BatchResult(line.custom_id, None, f"Claude answered {kind}", retryable=kind in _RETRYABLE)
    return BatchResult(line.custom_id, None, f"the request {result.type} before it was answered", retryable=True)
