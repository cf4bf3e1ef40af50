"""How long Claude's answers are kept."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.refinement.answer_store import remove_old_answers
from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine"]

_ROWS = """
INSERT INTO transcription_data.claude_answers (recording, digest, reply, usable, answered_at)
VALUES (:recording, 'd', '{}', true, now() - make_interval(days => :days));
INSERT INTO transcription_data.claude_batches (id, state, submitted_at, collected_at)
VALUES ('a batch', '{}', now() - interval '90 days',
        CASE WHEN :answered THEN now() - make_interval(days => :days) END);
INSERT INTO transcription_data.refinement_requests (recording, fingerprint, batch, answered_at)
VALUES (:recording, 'f', 'a batch',
        CASE WHEN :answered THEN now() - make_interval(days => :days) END)
"""


@pytest.mark.parametrize(
    ("days", "answered", "remaining"), [(31, True, (0, 0, 0)), (29, True, (1, 1, 1)), (31, False, (0, 1, 1))]
)
def test_answers_are_deleted_after_a_month_and_pending_ones_are_kept(
    days: int, answered: bool, remaining: tuple[int, int, int], engine: Engine
) -> None:
    recording = "00000000-0000-0000-0000-00000000000a"
    register(engine, [Recording(recording, "/a.wav")])
    with engine.begin() as connection:
        for statement in _ROWS.split(";"):
            connection.execute(text(statement), {"recording": recording, "days": days, "answered": answered})
    remove_old_answers(engine)
    with engine.connect() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM transcription_data.{table}")).scalar_one()
            for table in ("claude_answers", "refinement_requests", "claude_batches")
        ]
    assert tuple(counts) == remaining


def test_a_batch_stays_as_long_as_a_request_refers_to_it(engine: Engine) -> None:
    recording = "00000000-0000-0000-0000-00000000000a"
    register(engine, [Recording(recording, "/a.wav")])
    with engine.begin() as connection:
        for statement in _ROWS.split(";"):
            connection.execute(text(statement), {"recording": recording, "days": 31, "answered": True})
        connection.execute(text("UPDATE transcription_data.refinement_requests SET answered_at = now()"))
    remove_old_answers(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM transcription_data.claude_batches")).scalar_one() == 1
