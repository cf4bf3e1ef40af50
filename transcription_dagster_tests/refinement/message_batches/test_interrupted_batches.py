"""Batches whose process dies between two steps, and batches that fail, expire or are refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import Engine

from transcription_dagster.errors import (
    DatabaseUnavailable,
    RefinementFailed,
    RefinementUnavailable,
    SpendLimitReached,
)
from transcription_dagster.refinement.claude import ClaudeBatches, connect
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.batch_plans import Plan
from transcription_dagster.refinement.message_batches.workflow import (
    MAX_ATTEMPTS,
    collect_ended,
    has_ended,
    queue_request,
    refined_by_batch,
    submit_waiting,
)
from transcription_dagster.refinement.messages import MessageRequest
from transcription_dagster_tests.messages_server import MessagesServer, Reply, error
from transcription_dagster_tests.refinement.message_batches.exchanges import (
    SETTINGS,
    A,
    B,
    age_announced_batches,
    answer_all,
    exchange,
    input_of,
    queue_all,
    refined_from_batch,
    waiting,
)
from transcription_dagster_tests.refinement.spending import spent_today

pytestmark = pytest.mark.slow


class Expired(dict[str, str]):
    """Returns failures for all requests of a plan, in whichever batch they are."""

    def __init__(self, requests: Mapping[str, MessageRequest]) -> None:
        self._requests = tuple(requests)

    def get(self, custom_id: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return "expired" if custom_id.startswith(self._requests) else default

    def __contains__(self, custom_id: object) -> bool:
        return self.get(str(custom_id)) is not None


class Dies(ClaudeBatches):
    """Submits a batch, and dies before it can record it."""

    def submit(self, requests: Mapping[str, MessageRequest]) -> str:
        super().submit(requests)
        raise KeyboardInterrupt


def test_a_batch_of_a_dead_process_is_found_and_not_resubmitted(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_all(engine)
    with pytest.raises(KeyboardInterrupt):
        list(submit_waiting(engine, Dies(connect(retries=0)), input_of, SETTINGS))  # type: ignore[arg-type]
    answer_all(server, engine, batches)
    assert len(server.batches) == 1
    answer_all(server, engine, batches)
    assert "Grafana" in refined_from_batch(engine, input_of(A)).text


def test_a_batch_that_never_arrived_is_resubmitted(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    create = server.create_batch
    server.create_batch = lambda requests: Reply(hang_up=True)
    queue_all(engine)
    with pytest.raises(RefinementUnavailable):
        exchange(engine, batches)
    assert (waiting(engine), bool(batch_store.unconfirmed(engine))) == ([], True)
    server.create_batch = create
    exchange(engine, batches)
    assert (len(server.batches), waiting(engine)) == (0, [])
    age_announced_batches(engine)
    exchange(engine, batches)
    assert (len(server.batches), waiting(engine)) == (1, [])


def test_a_batch_that_arrives_after_its_intent_was_discarded_is_collected(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    """The process lost its lock while it submitted, and another one looked for the batch too early."""

    class Slow(ClaudeBatches):
        def submit(self, requests: Mapping[str, MessageRequest]) -> str:
            [intended] = batch_store.unconfirmed(engine)
            batch_store.discard_intent(engine, intended.id)
            return super().submit(requests)

    queue_all(engine)
    list(submit_waiting(engine, Slow(connect(retries=0)), input_of, SETTINGS))  # type: ignore[arg-type]
    server.end_batch("msgbatch_1")
    exchange(engine, batches)
    assert spent_today(engine) > 0
    assert len(server.batches) == 1
    assert "Grafana" in refined_from_batch(engine, input_of(A)).text


def test_a_batch_that_was_refused_waits(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    server.create_batch = lambda requests: error(429, "rate_limit_error", code="enforced_spend_limit_reached")
    queue_all(engine)
    with pytest.raises(SpendLimitReached):
        exchange(engine, batches)
    assert waiting(engine) == [A, B]
    assert batch_store.unconfirmed(engine) == []


def test_answers_that_could_not_be_stored_are_fetched_again(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_all(engine)
    exchange(engine, batches)
    server.end_batch("msgbatch_1")
    with monkeypatch.context() as patch:
        patch.setattr(batch_store, "collect", lambda *_, **__: (_ for _ in ()).throw(DatabaseUnavailable()))
        with pytest.raises(DatabaseUnavailable):
            list(collect_ended(engine, batches))
    assert has_ended(engine, batches)
    list(collect_ended(engine, batches))
    assert "Grafana" in refined_from_batch(engine, input_of(A)).text


def test_expired_requests_join_the_next_batch_and_finally_fail(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    plan = queue_request(engine, input_of(A), SETTINGS)
    assert isinstance(plan, Plan)
    server.batch_failures = Expired(plan.requests)
    exchange(engine, batches)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert len(server.batches) == attempt
        answer_all(server, engine, batches)
    assert len(server.batches) == MAX_ATTEMPTS
    with pytest.raises(RefinementFailed, match=r"expired.*request_refinement asks again"):
        refined_by_batch(engine, input_of(A), SETTINGS)
    queue_request(engine, input_of(A), SETTINGS)
    assert waiting(engine) == [A]


def test_a_batch_that_the_api_does_not_know_fails_its_recordings(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_all(engine)
    exchange(engine, batches)
    server.batches.clear()
    assert has_ended(engine, batches)
    exchange(engine, batches)
    with pytest.raises(RefinementFailed, match="0 of"):
        refined_by_batch(engine, input_of(A), SETTINGS)
    assert batch_store.pending(engine) == []


def test_a_batch_waits_while_the_credentials_are_refused(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_all(engine)
    exchange(engine, batches)
    server.end_batch("msgbatch_1")
    with monkeypatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", "revoked")
        revoked = connect(retries=0)
    assert revoked is not None
    assert has_ended(engine, ClaudeBatches(revoked))
    with pytest.raises(RefinementFailed, match="credentials: 401"):
        exchange(engine, ClaudeBatches(revoked))
    exchange(engine, batches)
    assert "Grafana" in refined_from_batch(engine, input_of(A)).text
    assert len(server.batches) == 1
