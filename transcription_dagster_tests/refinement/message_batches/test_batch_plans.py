"""Refinement in Message Batches: planning, submitting, surviving a restart, and collecting."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from transcription_dagster.errors import (
    InvalidRecordingId,
    RefinementFailed,
    RefinementUnavailable,
    SpendLimitReached,
)
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.claude import Claude, ClaudeBatches
from transcription_dagster.refinement.direct import refine_directly
from transcription_dagster.refinement.message_batches import batch_plans
from transcription_dagster.refinement.message_batches.batch_plans import (
    PendingBatch,
    Plan,
    collect_answers,
    plan,
    results_by_recording,
    submit,
)
from transcription_dagster.refinement.messages import Price
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, error, message, shown_words
from transcription_dagster_tests.sample_transcripts import transcript

TERMS = (Term("Kubernetes", ("cooper netties",)), Term("Grafana"))
SETTINGS = RefinementSettings("claude-test", window_words=40, overlap_words=10)
PRICE = Price(input=2.0, output=10.0, cache_read=0.2)
RECORDINGS = [str(uuid.UUID(int=number)) for number in range(3)]


def talk(recording: str) -> Transcript:
    sentences = (f"Here is grifana of cooper netties, number {number}." for number in range(12))
    return transcript(" ".join(sentences), recording=recording)


def corrections(body: dict[str, Any]) -> Reply:
    words = shown_words(body)
    misheard = (index for index, word in words.items() if word == "grifana")
    return edits(*((index, index, "grifana", "Grafana", "vocabulary") for index in misheard))


def planned(recording: str, settings: RefinementSettings = SETTINGS) -> Plan:
    result = plan(talk(recording), TERMS, settings, price=PRICE)
    assert isinstance(result, Plan)
    return result


@pytest.fixture
def batches(claude: Claude) -> ClaudeBatches:
    return ClaudeBatches(claude)


@pytest.fixture
def pending(server: MessagesServer, batches: ClaudeBatches) -> PendingBatch:
    server.answer = corrections
    [(_, submitted)] = submit([planned(recording) for recording in RECORDINGS], batches)
    return submitted


def collected(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch, recording: str = RECORDINGS[0]
) -> Refined:
    server.end_batch(pending.id)
    results = results_by_recording(batches.results(pending.id)).get(recording, [])
    return collect_answers(talk(recording), TERMS, results, pending, SETTINGS, price=PRICE)


def test_many_recordings_make_one_batch(server: MessagesServer, pending: PendingBatch) -> None:
    [submitted] = server.batches.values()
    requests = submitted["requests"]
    assert len(requests) > len(RECORDINGS)
    assert set(pending.recordings) == set(RECORDINGS)
    assert {request["params"]["system"][-1]["cache_control"]["ttl"] for request in requests} == {"1h"}


def test_a_batch_is_polled_until_it_ends(server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch) -> None:
    before = batches.poll(pending.id)
    server.end_batch(pending.id)
    after = batches.poll(pending.id)
    assert (before.ended, before.succeeded) == (False, 0)
    assert (after.ended, after.processing) == (True, 0)
    assert after.succeeded == before.processing > 0


def test_results_are_not_available_before_the_end(batches: ClaudeBatches, pending: PendingBatch) -> None:
    with pytest.raises(RefinementUnavailable, match="has not ended"):
        list(batches.results(pending.id))


def test_deleted_results_fail_the_batch(server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch) -> None:
    server.end_batch(pending.id)
    described = server.described_batch(pending.id).body | {"results_url": None}
    server.described_batch = lambda batch_id: Reply(body=described)
    with pytest.raises(RefinementFailed, match="no longer kept"):
        list(batches.results(pending.id))


def test_an_unknown_batch_fails(batches: ClaudeBatches, server: MessagesServer) -> None:
    with pytest.raises(RefinementFailed, match="404"):
        batches.poll("msgbatch_unknown")


def test_a_pending_batch_survives_as_json(pending: PendingBatch) -> None:
    assert PendingBatch.from_json(pending.to_json()) == pending


def test_a_batch_makes_what_direct_refinement_makes_at_half_the_price(
    server: MessagesServer, claude: Claude, batches: ClaudeBatches, pending: PendingBatch
) -> None:
    direct = refine_directly(talk(RECORDINGS[1]), TERMS, claude, SETTINGS, price=PRICE)
    result = collected(server, batches, PendingBatch.from_json(pending.to_json()), RECORDINGS[1])
    assert (result.text, result.words, result.edits) == (direct.text, direct.words, direct.edits)
    assert (result.paragraphs, result.usage, result.windows) == (direct.paragraphs, direct.usage, direct.windows)
    assert direct.dollars is not None
    assert result.dollars == pytest.approx(direct.dollars / 2)
    assert "grifana" not in result.text


@pytest.mark.parametrize("failure", ["expired", "canceled", "overloaded_error", "invalid_request_error"])
def test_a_request_without_an_answer_leaves_its_words_unrefined(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch, failure: str
) -> None:
    first = f"{RECORDINGS[0]}_0_"
    unanswered = next(name for name in _names(server) if name.startswith(first))
    server.batch_failures[unanswered] = failure
    result = collected(server, batches, pending)
    assert result.status is RefinementStatus.REFINED
    assert result.unrefined_words > 0
    assert failure in result.note
    assert "Grafana" in result.text
    assert "grifana" in result.text
    assert "cooper" not in result.text


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        ("expired", RefinementUnavailable),
        ("canceled", RefinementUnavailable),
        ("api_error", RefinementUnavailable),
        ("invalid_request_error", RefinementFailed),
    ],
)
def test_a_recording_without_any_answer_fails_alone(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch, failure: str, raised: type[Exception]
) -> None:
    server.batch_failures |= {name: failure for name in _names(server) if name.startswith(RECORDINGS[0])}
    with pytest.raises(raised, match=failure):
        collected(server, batches, pending)
    assert "Grafana" in collected(server, batches, pending, RECORDINGS[1]).text


@pytest.mark.parametrize(
    "broken",
    [message('{"edits": ['), message("no", stop_reason="refusal"), message("{", stop_reason="max_tokens")],
    ids=["half", "refused", "cut off"],
)
def test_unusable_answers_fail(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch, broken: Reply
) -> None:
    server.answer_in_turn(broken)
    with pytest.raises(RefinementFailed):
        collected(server, batches, pending)


def test_results_of_another_transcript_are_not_used(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch
) -> None:
    server.end_batch(pending.id)
    results = results_by_recording(batches.results(pending.id))[RECORDINGS[0]]
    retranscribed = transcript("Transcribed again with another model.", recording=RECORDINGS[0])
    with pytest.raises(RefinementFailed, match="has changed"):
        collect_answers(retranscribed, TERMS, results, pending, SETTINGS)


def test_a_recording_that_was_not_submitted_is_not_collected(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch
) -> None:
    with pytest.raises(RefinementFailed):
        collected(server, batches, pending, str(uuid.UUID(int=99)))


def test_missing_results_can_be_retried(pending: PendingBatch) -> None:
    with pytest.raises(RefinementUnavailable, match="0 of"):
        collect_answers(talk(RECORDINGS[0]), TERMS, [], pending, SETTINGS)


def test_windows_are_those_that_were_submitted(
    server: MessagesServer, batches: ClaudeBatches, pending: PendingBatch
) -> None:
    server.end_batch(pending.id)
    results = results_by_recording(batches.results(pending.id))[RECORDINGS[0]]
    changed = RefinementSettings("claude-other", window_words=20, overlap_words=2)
    result = collect_answers(talk(RECORDINGS[0]), TERMS, results, pending, changed)
    assert result.windows == len(results)
    assert result.model == "claude-test"
    assert "grifana" not in result.text


def test_over_budget_a_recording_is_not_submitted() -> None:
    result = plan(talk(RECORDINGS[0]), TERMS, SETTINGS, price=PRICE, reserve=lambda costs: "nothing is left")
    assert isinstance(result, Refined)
    assert result.status is RefinementStatus.OVER_BUDGET
    assert "Kubernetes" in result.text


def test_a_recording_without_words_is_not_submitted() -> None:
    result = plan(transcript(""), TERMS, SETTINGS, price=PRICE)
    assert isinstance(result, Refined)
    assert result.text == ""


def test_only_a_canonical_recording_becomes_a_custom_id() -> None:
    with pytest.raises(InvalidRecordingId):
        plan(transcript("one two", recording="../1"), TERMS, SETTINGS)


def test_more_requests_than_a_batch_allows_become_several_batches(
    server: MessagesServer, batches: ClaudeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_plans, "MAX_REQUESTS", len(planned(RECORDINGS[0]).requests) * 2)
    submitted = [batch for _, batch in submit([planned(recording) for recording in RECORDINGS], batches)]
    assert [len(part.recordings) for part in submitted] == [2, 1]
    assert len({part.id for part in submitted}) == 2


def test_a_spend_limit_stops_the_submission(batches: ClaudeBatches, server: MessagesServer) -> None:
    server.create_batch = lambda requests: error(429, "rate_limit_error", code="enforced_spend_limit_reached")
    with pytest.raises(SpendLimitReached):
        list(submit([planned(RECORDINGS[0])], batches))


def _names(server: MessagesServer) -> list[str]:
    return [request["custom_id"] for submitted in server.batches.values() for request in submitted["requests"]]
