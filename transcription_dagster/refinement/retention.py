"""Retention of Claude's answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, delete, exists, func

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ClaudeAnswerRow, ClaudeBatchRow, RefinementRequestRow

#: Days for which an answer is kept and the same request costs nothing; afterwards only its cost stays on record.
ANSWER_DAYS: Final = 30

_answer = ClaudeAnswerRow.__table__.c
_request = RefinementRequestRow.__table__.c
_batch = ClaudeBatchRow.__table__.c


def remove_old_answers(engine: Engine, days: float = ANSWER_DAYS) -> None:
    """Remove answers, answered requests and collected batches older than `days`.

    Waiting and submitted requests stay, and so does any batch that a request still refers to.
    """
    oldest = func.now() - timedelta(days=days)
    with transaction(engine) as connection:
        connection.execute(delete(ClaudeAnswerRow).where(_answer.answered_at < oldest))
        connection.execute(delete(RefinementRequestRow).where(_request.answered_at < oldest))
        unused = ~exists().where(_request.batch == _batch.id)
        connection.execute(delete(ClaudeBatchRow).where(_batch.collected_at < oldest, unused))
