"""Recordings, a vocabulary, and exchanges with the Message Batches of a local server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, text

from transcription_dagster.model import Term
from transcription_dagster.refinement.claude import ClaudeBatches
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.workflow import (
    RefinementInput,
    collect_ended,
    queue_request,
    refined_by_batch,
    submit_waiting,
)
from transcription_dagster.refinement.results import Refined, RefinementSettings
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, shown_words
from transcription_dagster_tests.sample_transcripts import transcript

TERMS = (Term("Grafana"),)
SETTINGS = RefinementSettings("claude-sonnet-5-5", window_words=40, overlap_words=10)
A, B = (str(uuid.UUID(int=number)) for number in (1, 2))


def input_of(recording: str, text: str = "Here is grifana for you. " * 12) -> RefinementInput:
    return RefinementInput(transcript(text.strip(), recording=recording), TERMS, ())


def refined_from_batch(engine: Engine, of: RefinementInput) -> Refined:
    """Return the refinement from an answered batch."""
    refined = refined_by_batch(engine, of, SETTINGS)
    assert refined is not None
    return refined


def corrections(body: Mapping[str, Any]) -> Reply:
    words = shown_words(body)
    misheard = (index for index, word in words.items() if word == "grifana")
    return edits(*((index, index, "grifana", "Grafana", "vocabulary") for index in misheard))


def queue_all(engine: Engine, settings: RefinementSettings = SETTINGS) -> None:
    for recording in (A, B):
        queue_request(engine, input_of(recording), settings)


def exchange(engine: Engine, batches: ClaudeBatches, settings: RefinementSettings = SETTINGS) -> None:
    list(collect_ended(engine, batches))
    list(submit_waiting(engine, batches, input_of, settings))


def answer_all(server: MessagesServer, engine: Engine, batches: ClaudeBatches) -> None:
    for batch in server.batches:
        server.end_batch(batch)
    exchange(engine, batches)


def waiting(engine: Engine) -> list[str]:
    return [recording for recording, _ in batch_store.waiting(engine)]


def age_announced_batches(engine: Engine) -> None:
    """Age the announced batches, so that the API would list those that arrived."""
    with engine.begin() as connection:
        older = "UPDATE transcription_data.claude_batches SET submitted_at = submitted_at - interval '3 minutes'"
        connection.execute(text(older))
