"""Spending on Claude in a real database: recorded per reply, never paid twice, reserved before it is spent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database.recordings import forget
from transcription_dagster.errors import AnswerLost, RecordingForgotten, RefinementFailed, RefinementUnavailable
from transcription_dagster.refinement.account_store import open_account
from transcription_dagster.refinement.accounts import Budgets
from transcription_dagster.refinement.claude import connect
from transcription_dagster.refinement.direct import refine_directly
from transcription_dagster.refinement.messages import Price
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, error, message, shown_words
from transcription_dagster_tests.refinement.spending import spent_today
from transcription_dagster_tests.sample_transcripts import transcript

pytestmark = pytest.mark.slow

RECORDING, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2))
TALK = " ".join(f"This is grifana number {number}." for number in range(40))
HOW = RefinementSettings("claude-test", window_words=40, overlap_words=10, parallel_windows=2)
PRICE = Price(input=2.0, output=10.0, cache_read=0.2)
#: What the server bills for a reply.
A_REPLY = PRICE.input * 1000 / 1e6 + PRICE.output * 100 / 1e6

DIES = """
import sys
from transcription_dagster.database.connection import open_database
from transcription_dagster_tests.refinement.test_account_store import RECORDING, refined
refined(open_database(sys.argv[1]), RECORDING)
"""


def refined(engine: Engine, recording: str = RECORDING, settings: RefinementSettings = HOW) -> Refined:
    claude = connect(retries=0)
    with open_account(engine, recording, model=settings.model, limits=settings.spending) as account:
        return refine_directly(
            transcript(TALK, recording=recording), (), claude, settings, price=PRICE, account=account
        )


def reserved(engine: Engine) -> int:
    with engine.begin() as connection:
        return connection.execute(text("SELECT count(*) FROM transcription_data.claude_reservations")).scalar_one()


def test_answers_before_an_error_are_paid_for_once(engine: Engine, server: MessagesServer) -> None:
    server.answer = lambda body: error(529, "overloaded_error") if 100 in shown_words(body) else edits()
    with pytest.raises(RefinementUnavailable):
        refined(engine)
    answered = round(spent_today(engine) / A_REPLY)
    assert answered >= 1
    assert reserved(engine) == 0
    requests = len(server.requests)
    server.answer = lambda body: edits()
    result = refined(engine)
    assert result.kept == answered
    assert len(server.requests) - requests == result.windows - answered
    assert spent_today(engine) == pytest.approx(result.windows * A_REPLY)
    assert result.dollars == pytest.approx((result.windows - answered) * A_REPLY)


def test_a_request_whose_answer_was_lost_counts_as_spent(engine: Engine, server: MessagesServer) -> None:
    server.answer = lambda body: Reply(hang_up=True)
    with pytest.raises(AnswerLost, match="lost before its answer arrived"):
        refined(engine)
    assert reserved(engine) == 0
    assert spent_today(engine) > 0


def test_a_request_that_never_reached_claude_costs_nothing(
    engine: Engine, server: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(RefinementUnavailable, match="cannot be reached") as raised:
        refined(engine)
    assert not isinstance(raised.value, AnswerLost)
    assert (reserved(engine), spent_today(engine)) == (0, 0)


def test_a_second_run_sends_no_request(engine: Engine, server: MessagesServer) -> None:
    first = refined(engine)
    requests = len(server.requests)
    second = refined(engine)
    assert (second.text, second.dollars, len(server.requests)) == (first.text, 0.0, requests)


def test_unusable_replies_are_stored_and_not_requested_again(engine: Engine, server: MessagesServer) -> None:
    server.answer = lambda body: message("no", stop_reason="refusal")
    for _ in range(2):
        with pytest.raises(RefinementFailed, match="none of the"):
            refined(engine)
    assert spent_today(engine) == pytest.approx(len(server.requests) * A_REPLY)
    assert len({str(body) for body in server.requests}) == len(server.requests)


def test_a_killed_process_loses_no_answer_and_blocks_no_budget(
    engine: Engine, database_url: str, server: MessagesServer
) -> None:
    never, second = threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> Reply:
        if 0 in shown_words(body):
            return edits()
        second.set()
        return Reply(hang_up=True, wait_for=never)

    server.answer = answer
    process = subprocess.Popen([sys.executable, "-c", DIES, database_url], env=os.environ.copy())
    assert second.wait(timeout=120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    never.set()
    assert spent_today(engine) == pytest.approx(A_REPLY)
    assert reserved(engine) > 0
    server.answer = lambda body: edits()
    result = refined(engine)
    assert (result.status, result.kept) == (RefinementStatus.REFINED, 1)
    assert reserved(engine) == 0
    # Requests in flight when the process died may have been billed, so their estimates count.
    assert spent_today(engine) > result.windows * A_REPLY


def test_parallel_runs_do_not_reserve_the_same_dollars(engine: Engine, database_url: str) -> None:
    limits = Budgets(per_recording=5.0, per_day=8.0)
    with (
        open_account(engine, RECORDING, model="m", limits=limits) as first,
        open_account(engine, OTHER, model="m", limits=limits) as second,
    ):
        assert first.reserve({"a": 4.5}) is None
        assert "$3.5000 are left for today" in (second.reserve({"b": 4.5}) or "")
        first.release("a")
        assert second.reserve({"b": 4.5}) is None
    assert reserved(engine) == 0


def test_parallel_runs_stay_within_the_daily_budget(engine: Engine) -> None:
    refusals: list[str | None] = []
    all_threads = threading.Barrier(6)

    def run(number: int) -> None:
        recording = str(uuid.UUID(int=number))
        with open_account(engine, recording, model="m", limits=Budgets(5.0, 10.0)) as account:
            refusals.append(account.reserve({"a": 4.0}))
            all_threads.wait(timeout=60)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals.count(None) == 2


def test_nothing_is_reserved_for_a_recording_that_was_forgotten(engine: Engine, server: MessagesServer) -> None:
    forget(engine, RECORDING)
    with pytest.raises(RecordingForgotten):
        refined(engine)
    assert server.requests == []
