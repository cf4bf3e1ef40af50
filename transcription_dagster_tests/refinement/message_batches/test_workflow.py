"""Refinement with Message Batches, with a process that dies between any two steps."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database.recordings import Recording, forget, register
from transcription_dagster.errors import (
    DatabaseUnavailable,
    RefinementFailed,
    RefinementUnavailable,
    SourceNotFound,
    SpendLimitReached,
)
from transcription_dagster.model import Term
from transcription_dagster.refinement.claude import ClaudeBatches, connect
from transcription_dagster.refinement.message_batches import batch_store, workflow
from transcription_dagster.refinement.message_batches.batch_plans import Plan
from transcription_dagster.refinement.message_batches.workflow import (
    MAX_ATTEMPTS,
    Material,
    collect_ended,
    has_ended,
    queue_request,
    refined_by_batch,
    submit_waiting,
)
from transcription_dagster.refinement.messages import MessageRequest
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, error, shown_words
from transcription_dagster_tests.refinement.spending import committed_dollars, spent_today
from transcription_dagster_tests.sample_transcripts import transcript

pytestmark = pytest.mark.slow

TERMS = (Term("Grafana"),)
HOW = RefinementSettings("claude-sonnet-5-5", window_words=40, overlap_words=10)
A, B = (str(uuid.UUID(int=number)) for number in (1, 2))


def material(recording: str, text: str = "Here is grifana for you. " * 12) -> Material:
    return transcript(text.strip(), recording=recording), TERMS, ()


def use(engine: Engine, of: Material) -> Refined:
    """Return the refinement from an answered batch."""
    refined = refined_by_batch(engine, of, HOW)
    assert refined is not None
    return refined


def corrections(body: Mapping[str, Any]) -> Reply:
    words = shown_words(body)
    misheard = (index for index, word in words.items() if word == "grifana")
    return edits(*((index, index, "grifana", "Grafana", "vocabulary") for index in misheard))


@pytest.fixture
def batches(server: MessagesServer, engine: Engine) -> ClaudeBatches:
    server.answer = corrections
    register(engine, [Recording(recording, f"/{recording}.wav") for recording in (A, B)])
    claude = connect(retries=0)
    assert claude is not None
    return ClaudeBatches(claude)


def ask_all(engine: Engine, settings: RefinementSettings = HOW) -> None:
    for recording in (A, B):
        queue_request(engine, material(recording), settings)


def exchange(engine: Engine, batches: ClaudeBatches, settings: RefinementSettings = HOW) -> None:
    list(collect_ended(engine, batches))
    list(submit_waiting(engine, batches, material, settings))


def answer_all(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    for batch in server.batches:
        server.end_batch(batch)
    exchange(engine, batches)


def waiting(engine: Engine) -> list[str]:
    return [recording for recording, _ in batch_store.waiting(engine)]


def some_time_later(engine: Engine) -> None:
    """Age the announced batches, so that the API would list those that arrived."""
    with engine.begin() as connection:
        older = "UPDATE transcription_data.claude_batches SET submitted_at = submitted_at - interval '3 minutes'"
        connection.execute(text(older))


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


def test_pending_requests_go_as_one_batch_and_come_back_refined(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    ask_all(engine)
    assert waiting(engine) == [A, B]
    assert batch_store.queue(engine).recordings == 2
    exchange(engine, batches)
    assert (len(server.batches), waiting(engine)) == (1, [])
    assert not has_ended(engine, batches)
    answer_all(server, engine, batches)
    for recording in (A, B):
        refined = use(engine, material(recording))
        assert "grifana" not in refined.text
        assert refined.status is RefinementStatus.REFINED
    assert set(batch_store.unused_answers(engine, 10)) == {A, B}


def test_a_batch_is_paid_for_once(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    ask_all(engine)
    exchange(engine, batches)
    assert committed_dollars(engine) > 0
    answer_all(server, engine, batches)
    spent = spent_today(engine)
    refined = use(engine, material(A))
    assert refined.dollars == pytest.approx(spent / 2)
    assert committed_dollars(engine) == 0
    exchange(engine, batches)
    refined_by_batch(engine, material(A), HOW)
    assert spent_today(engine) == spent
    assert len(server.batches) == 1


def test_an_identical_request_is_not_sent_twice(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    ask_all(engine)
    exchange(engine, batches)
    ask_all(engine)
    assert waiting(engine) == []
    answer_all(server, engine, batches)
    before = batch_store.unused_answers(engine, 10)
    batch_store.record_runs(engine, before)
    assert batch_store.unused_answers(engine, 10) == {}
    ask_all(engine)
    assert waiting(engine) == []
    after = batch_store.unused_answers(engine, 10)
    assert set(after) == {A, B}
    assert after[A] > before[A]


def test_another_transcript_is_another_request(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    ask_all(engine)
    exchange(engine, batches)
    other = material(A, "Quite another text.")
    queue_request(engine, other, HOW)
    assert waiting(engine) == [A]
    server.end_batch("msgbatch_1")
    list(collect_ended(engine, batches))
    list(submit_waiting(engine, batches, lambda recording: other if recording == A else material(recording), HOW))
    assert refined_by_batch(engine, other, HOW) is None
    assert set(batch_store.unused_answers(engine, 10)) == {B}


def test_a_batch_of_a_dead_process_is_found_and_not_resubmitted(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    ask_all(engine)
    with pytest.raises(KeyboardInterrupt):
        list(submit_waiting(engine, Dies(connect(retries=0)), material, HOW))  # type: ignore[arg-type]
    answer_all(server, engine, batches)
    assert len(server.batches) == 1
    answer_all(server, engine, batches)
    assert "Grafana" in use(engine, material(A)).text


def test_a_batch_that_never_arrived_is_resubmitted(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    create = server.create_batch
    server.create_batch = lambda requests: Reply(hang_up=True)
    ask_all(engine)
    with pytest.raises(RefinementUnavailable):
        exchange(engine, batches)
    assert (waiting(engine), bool(batch_store.unconfirmed(engine))) == ([], True)
    server.create_batch = create
    exchange(engine, batches)
    assert (len(server.batches), waiting(engine)) == (0, [])
    some_time_later(engine)
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

    ask_all(engine)
    list(submit_waiting(engine, Slow(connect(retries=0)), material, HOW))  # type: ignore[arg-type]
    server.end_batch("msgbatch_1")
    exchange(engine, batches)
    assert spent_today(engine) > 0
    assert len(server.batches) == 1
    assert "Grafana" in use(engine, material(A)).text


def test_a_batch_that_was_refused_waits(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    server.create_batch = lambda requests: error(429, "rate_limit_error", code="enforced_spend_limit_reached")
    ask_all(engine)
    with pytest.raises(SpendLimitReached):
        exchange(engine, batches)
    assert waiting(engine) == [A, B]
    assert batch_store.unconfirmed(engine) == []


def test_answers_that_could_not_be_stored_are_fetched_again(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_all(engine)
    exchange(engine, batches)
    server.end_batch("msgbatch_1")
    with monkeypatch.context() as patch:
        patch.setattr(batch_store, "collect", lambda *_, **__: (_ for _ in ()).throw(DatabaseUnavailable()))
        with pytest.raises(DatabaseUnavailable):
            list(collect_ended(engine, batches))
    assert has_ended(engine, batches)
    list(collect_ended(engine, batches))
    assert "Grafana" in use(engine, material(A)).text


def test_expired_requests_join_the_next_batch_and_finally_fail(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    plan = queue_request(engine, material(A), HOW)
    assert isinstance(plan, Plan)
    server.batch_failures = Expired(plan.requests)
    exchange(engine, batches)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert len(server.batches) == attempt
        answer_all(server, engine, batches)
    assert len(server.batches) == MAX_ATTEMPTS
    with pytest.raises(RefinementFailed, match=r"expired.*request_refinement asks again"):
        refined_by_batch(engine, material(A), HOW)
    queue_request(engine, material(A), HOW)
    assert waiting(engine) == [A]


def test_a_batch_that_the_api_does_not_know_fails_its_recordings(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    ask_all(engine)
    exchange(engine, batches)
    server.batches.clear()
    assert has_ended(engine, batches)
    exchange(engine, batches)
    with pytest.raises(RefinementFailed, match="0 of"):
        refined_by_batch(engine, material(A), HOW)
    assert batch_store.pending(engine) == []


def test_a_batch_waits_while_the_credentials_are_refused(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_all(engine)
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
    assert "Grafana" in use(engine, material(A)).text
    assert len(server.batches) == 1


def test_over_the_daily_budget_pending_recordings_stay_unrefined(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    plan = queue_request(engine, material(A), HOW)
    assert isinstance(plan, Plan)
    assert plan.dollars is not None
    poor = RefinementSettings(HOW.model, window_words=40, overlap_words=10, max_dollars_per_day=plan.dollars * 1.5)
    queue_request(engine, material(B), poor)
    exchange(engine, batches, poor)
    [submitted] = batch_store.pending(engine)
    assert set(submitted["recordings"]) == {A}
    refined = use(engine, material(B))
    assert refined.status is RefinementStatus.OVER_BUDGET
    assert "left for today" in refined.note


def test_requests_in_flight_count_as_spent(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    plan = queue_request(engine, material(A), HOW)
    assert isinstance(plan, Plan)
    assert plan.dollars is not None
    exchange(engine, batches)
    poor = RefinementSettings(HOW.model, window_words=40, overlap_words=10, max_dollars_per_day=plan.dollars * 1.5)
    assert isinstance(queue_request(engine, material(B), poor), Refined)
    assert waiting(engine) == []


def test_a_submitted_request_made_again_over_the_budget_still_gets_its_answer(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_request(engine, material(A), HOW)
    exchange(engine, batches)
    poor = RefinementSettings(HOW.model, window_words=40, overlap_words=10, max_dollars_per_day=0.0)
    queue_request(engine, material(A), poor)
    assert refined_by_batch(engine, material(A), poor) is None
    answer_all(server, engine, batches)
    assert "Grafana" in use(engine, material(A)).text


def test_answers_for_a_transcript_that_was_changed_meanwhile_are_used(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    queue_request(engine, material(A), HOW)
    exchange(engine, batches)
    changed = material(A, "Here is grifana for you. " * 11 + "Here is grifana for us.")
    queue_request(engine, changed, HOW)
    server.end_batch("msgbatch_1")
    list(collect_ended(engine, batches))
    list(submit_waiting(engine, batches, lambda _recording: changed, HOW))
    sent = [len(batch["requests"]) for batch in server.batches.values()]
    assert sent == [2, 1]
    server.end_batch("msgbatch_2")
    list(collect_ended(engine, batches))
    assert use(engine, changed).text.count("Grafana") == 12


def test_a_recording_without_words_needs_no_batch(engine: Engine, batches: ClaudeBatches) -> None:
    queue_request(engine, material(A, ""), HOW)
    assert waiting(engine) == []
    assert set(batch_store.unused_answers(engine, 10)) == {A}
    refined = use(engine, material(A, ""))
    assert (refined.text, refined.note) == ("", "there are no words to refine")


def test_a_recording_without_its_transcript_does_not_block_others(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    ask_all(engine)

    def partly(recording: str) -> Material:
        if recording == A:
            raise SourceNotFound("transcript.json does not exist")
        return material(recording)

    list(submit_waiting(engine, batches, partly, HOW))
    [submitted] = batch_store.pending(engine)
    assert set(submitted["recordings"]) == {B}


def test_a_recording_forgotten_in_the_meantime_is_skipped(
    server: MessagesServer, engine: Engine, batches: ClaudeBatches
) -> None:
    ask_all(engine)
    exchange(engine, batches)
    forget(engine, A)
    answer_all(server, engine, batches)
    assert set(batch_store.unused_answers(engine, 10)) == {B}
    assert spent_today(engine) > 0


def test_only_one_process_submits_at_a_time(engine: Engine) -> None:
    with batch_store.exchange_lock(engine) as first, batch_store.exchange_lock(engine) as second:
        assert (first, second) == (True, False)
    with batch_store.exchange_lock(engine) as later:
        assert later


def test_another_programs_batch_is_ignored(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    ask_all(engine)
    exchange(engine, batches)
    assert not workflow.recover(engine, batches)
    queue_request(engine, material(A, "Another grifana. " * 3), HOW)
    server.create_batch = lambda requests: Reply(hang_up=True)
    with pytest.raises(RefinementUnavailable):
        exchange(engine, batches)
    del server.create_batch
    some_time_later(engine)
    exchange(engine, batches)
    assert len(server.batches) == 2
