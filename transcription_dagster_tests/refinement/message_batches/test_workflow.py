"""Refinement with Message Batches: what is submitted, collected and paid for."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import forget
from transcription_dagster.errors import (
    RefinementUnavailable,
    SourceNotFound,
)
from transcription_dagster.refinement.claude import ClaudeBatches
from transcription_dagster.refinement.message_batches import batch_store, workflow
from transcription_dagster.refinement.message_batches.batch_plans import Plan
from transcription_dagster.refinement.message_batches.workflow import (
    RefinementInput,
    collect_ended,
    has_ended,
    queue_request,
    refined_by_batch,
    submit_waiting,
)
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster_tests.messages_server import MessagesServer, Reply
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
from transcription_dagster_tests.refinement.spending import committed_dollars, spent_today

pytestmark = pytest.mark.slow


def test_pending_requests_go_as_one_batch_and_come_back_refined(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_all(engine)
    assert waiting(engine) == [A, B]
    assert batch_store.queue(engine).recordings == 2
    exchange(engine, batches)
    assert (len(server.batches), waiting(engine)) == (1, [])
    assert not has_ended(engine, batches)
    answer_all(server, engine, batches)
    for recording in (A, B):
        refined = refined_from_batch(engine, input_of(recording))
        assert "grifana" not in refined.text
        assert refined.status is RefinementStatus.REFINED
    assert set(batch_store.unused_answers(engine, 10)) == {A, B}


def test_a_batch_is_paid_for_once(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    queue_all(engine)
    exchange(engine, batches)
    assert committed_dollars(engine) > 0
    answer_all(server, engine, batches)
    spent = spent_today(engine)
    refined = refined_from_batch(engine, input_of(A))
    assert refined.dollars == pytest.approx(spent / 2)
    assert committed_dollars(engine) == 0
    exchange(engine, batches)
    refined_by_batch(engine, input_of(A), SETTINGS)
    assert spent_today(engine) == spent
    assert len(server.batches) == 1


def test_an_identical_request_is_not_sent_twice(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    queue_all(engine)
    exchange(engine, batches)
    queue_all(engine)
    assert waiting(engine) == []
    answer_all(server, engine, batches)
    before = batch_store.unused_answers(engine, 10)
    batch_store.record_runs(engine, before)
    assert batch_store.unused_answers(engine, 10) == {}
    queue_all(engine)
    assert waiting(engine) == []
    after = batch_store.unused_answers(engine, 10)
    assert set(after) == {A, B}
    assert after[A] > before[A]


def test_another_transcript_is_another_request(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    queue_all(engine)
    exchange(engine, batches)
    changed = input_of(A, "Quite another text.")
    queue_request(engine, changed, SETTINGS)
    assert waiting(engine) == [A]
    server.end_batch("msgbatch_1")
    list(collect_ended(engine, batches))
    list(
        submit_waiting(engine, batches, lambda recording: changed if recording == A else input_of(recording), SETTINGS)
    )
    assert refined_by_batch(engine, changed, SETTINGS) is None
    assert set(batch_store.unused_answers(engine, 10)) == {B}


def test_over_the_daily_budget_pending_recordings_stay_unrefined(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    plan = queue_request(engine, input_of(A), SETTINGS)
    assert isinstance(plan, Plan)
    assert plan.dollars is not None
    poor = RefinementSettings(SETTINGS.model, window_words=40, overlap_words=10, max_dollars_per_day=plan.dollars * 1.5)
    queue_request(engine, input_of(B), poor)
    exchange(engine, batches, poor)
    [submitted] = batch_store.pending(engine)
    assert set(submitted["recordings"]) == {A}
    refined = refined_from_batch(engine, input_of(B))
    assert refined.status is RefinementStatus.OVER_BUDGET
    assert "left for today" in refined.note


def test_requests_in_flight_count_as_spent(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    plan = queue_request(engine, input_of(A), SETTINGS)
    assert isinstance(plan, Plan)
    assert plan.dollars is not None
    exchange(engine, batches)
    poor = RefinementSettings(SETTINGS.model, window_words=40, overlap_words=10, max_dollars_per_day=plan.dollars * 1.5)
    assert isinstance(queue_request(engine, input_of(B), poor), Refined)
    assert waiting(engine) == []


def test_a_submitted_request_made_again_over_the_budget_still_gets_its_answer(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_request(engine, input_of(A), SETTINGS)
    exchange(engine, batches)
    poor = RefinementSettings(SETTINGS.model, window_words=40, overlap_words=10, max_dollars_per_day=0.0)
    queue_request(engine, input_of(A), poor)
    assert refined_by_batch(engine, input_of(A), poor) is None
    answer_all(server, engine, batches)
    assert "Grafana" in refined_from_batch(engine, input_of(A)).text


def test_answers_for_a_transcript_that_was_changed_meanwhile_are_used(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_request(engine, input_of(A), SETTINGS)
    exchange(engine, batches)
    changed = input_of(A, "Here is grifana for you. " * 11 + "Here is grifana for us.")
    queue_request(engine, changed, SETTINGS)
    server.end_batch("msgbatch_1")
    list(collect_ended(engine, batches))
    list(submit_waiting(engine, batches, lambda _recording: changed, SETTINGS))
    sizes = [len(batch["requests"]) for batch in server.batches.values()]
    assert sizes == [2, 1]
    server.end_batch("msgbatch_2")
    list(collect_ended(engine, batches))
    assert refined_from_batch(engine, changed).text.count("Grafana") == 12


def test_a_recording_without_words_needs_no_batch(engine: Engine, batches: ClaudeBatches) -> None:
    queue_request(engine, input_of(A, ""), SETTINGS)
    assert waiting(engine) == []
    assert set(batch_store.unused_answers(engine, 10)) == {A}
    refined = refined_from_batch(engine, input_of(A, ""))
    assert (refined.text, refined.note) == ("", "there are no words to refine")


def test_a_recording_without_its_transcript_does_not_block_others(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_all(engine)

    def partly(recording: str) -> RefinementInput:
        if recording == A:
            raise SourceNotFound("transcript.json does not exist")
        return input_of(recording)

    list(submit_waiting(engine, batches, partly, SETTINGS))
    [submitted] = batch_store.pending(engine)
    assert set(submitted["recordings"]) == {B}


def test_a_recording_forgotten_in_the_meantime_is_skipped(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_all(engine)
    exchange(engine, batches)
    forget(engine, A)
    answer_all(server, engine, batches)
    assert set(batch_store.unused_answers(engine, 10)) == {B}
    assert spent_today(engine) > 0


def test_only_one_process_submits_at_a_time(engine: Engine) -> None:
    with batch_store.exchange_lock(engine) as first, batch_store.exchange_lock(engine) as second:
        assert (first, second) == (True, False)
    with batch_store.exchange_lock(engine) as acquired:
        assert acquired


def test_another_programs_batch_is_ignored(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    queue_all(engine)
    exchange(engine, batches)
    assert not workflow.recover(engine, batches)
    queue_request(engine, input_of(A, "Another grifana. " * 3), SETTINGS)
    server.create_batch = lambda requests: Reply(hang_up=True)
    with pytest.raises(RefinementUnavailable):
        exchange(engine, batches)
    del server.create_batch
    age_announced_batches(engine)
    exchange(engine, batches)
    assert len(server.batches) == 2
