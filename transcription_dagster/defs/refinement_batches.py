"""Refinement in Message Batches, step by step: ask, hand in, take in, use. Nothing of Dagster.

Every step ends with what the database then knows, so that a process may die between any two of them: what was asked
for is handed in once, what was handed in is paid for once, and what was answered is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from transcription_dagster.clients.claude_batches import ClaudeBatches
from transcription_dagster.clients.claude_prices import price_of
from transcription_dagster.database import claude_batches, refinement_requests, spending
from transcription_dagster.database.claude_batches import Announced, Cost
from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import PermanentError, RefinementFailed, RefinementUnavailable, SpendLimitReached
from transcription_dagster.messages import BatchResult, Price, Usage
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.assembly import prepare, unrefined
from transcription_dagster.refinement.batch import (
    PendingBatch,
    Plan,
    by_recording,
    collect,
    fingerprint,
    plan,
    results_from_json,
    results_to_json,
    submit,
)
from transcription_dagster.refinement.results import Refined, RefinementSettings, Status

#: How often a recording is handed in before it counts as unanswered.
MAX_ATTEMPTS = 3

#: How far the API's clock may be behind the database's.
_CLOCKS_DIFFER = timedelta(minutes=5)

#: A recording's transcript, the terms of every recording, and its own.
Material = tuple[Transcript, Sequence[Term], Sequence[Term]]

logger = logging.getLogger(__name__)


def ask(engine: Engine, material: Material, how: RefinementSettings) -> Plan | Refined:
    """Put a recording among those that wait, or note at once that nobody is to be asked about it, and why."""
    transcript, general, own = material
    made = plan(transcript, general, how, own=own, price=price_of(how.model), spent_today=_spent(engine))
    if isinstance(made, Refined):
        refinement_requests.refuse(engine, made.recording, "", status=made.status, note=made.note)
    else:
        refinement_requests.ask(engine, made.recording, fingerprint(made.requests))
    return made


def hand_in(
    engine: Engine, sender: ClaudeBatches, material: Callable[[str], Material], how: RefinementSettings
) -> Iterator[PendingBatch]:
    """Hand in everything that waits; yields each batch. Under the lock of `exchange_lock`.

    What would cost more than the day's budget is left unrefined. Raises as the sender does.
    """
    recover(engine, sender)

    def announce(batch: PendingBatch) -> None:
        claude_batches.announce(engine, batch.id, batch.to_json(), batch.recordings)

    try:
        for batch in submit(_plans(engine, material, how), sender, announce=announce):
            claude_batches.handed_in(engine, batch.id, batch.to_json())
            yield batch
    except (RefinementFailed, SpendLimitReached):
        # Refused, and so certainly not taken. After any other error `recover` finds out what became of it.
        claude_batches.take_back(engine)
        raise


def recover(engine: Engine, sender: ClaudeBatches) -> None:
    """Find out what became of a batch that was announced, if its process died before it said so."""
    announced = claude_batches.announced(engine)
    if announced is None:
        return
    batch = PendingBatch.from_json(announced.state)
    found = _find(engine, sender, announced, batch.requests)
    if found is None:
        claude_batches.take_back(engine)
    else:
        logger.warning("found the batch %s, which was handed in by a process that died", found)
        claude_batches.handed_in(engine, found, replace(batch, id=found).to_json())


def _find(engine: Engine, sender: ClaudeBatches, announced: Announced, requests: int) -> str | None:
    """The API's id of a batch; one of somebody else's that looks alike would bring no answers for our recordings."""
    listed = sender.recent(announced.announced_at - _CLOCKS_DIFFER)
    alike = [each.id for each in listed if each.requests == requests]
    ours = claude_batches.known(engine, alike)
    return next((each for each in alike if each not in ours), None)


def take_in(engine: Engine, sender: ClaudeBatches) -> Iterator[PendingBatch]:
    """Keep the answers of every batch that has ended; yields each. Under the lock of `exchange_lock`."""
    for state in claude_batches.pending(engine):
        batch = PendingBatch.from_json(state)
        try:
            if not sender.poll(batch.id).ended:
                continue
            results = by_recording(sender.results(batch.id))
        except RefinementFailed as error:
            # The API does not know it, or keeps its results no more: its recordings fail, with that for the reason.
            logger.error("the batch %s is lost: %s", batch.id, error)
            results = {}
        _keep(engine, batch, results)
        yield batch


def has_ended(engine: Engine, sender: ClaudeBatches) -> bool:
    """Whether a batch can be taken in."""
    for state in claude_batches.pending(engine):
        try:
            if sender.poll(state["id"]).ended:
                return True
        except RefinementFailed:
            return True
    return False


def refined_by_batch(engine: Engine, material: Material, how: RefinementSettings) -> Refined | None:
    """Return what came of a recording's request, or None while it is not answered.

    Raises `RefinementFailed` if nothing was asked, or if the answers cannot be used; it can then be asked again.
    """
    transcript, general, own = material
    found = refinement_requests.answered(engine, transcript.recording)
    if found is None:
        if refinement_requests.is_under_way(engine, transcript.recording):
            return None
        raise RefinementFailed("Claude was not asked about this recording: request_refinement asks")
    if found.status is not None:
        return unrefined(prepare(transcript, general, how, own=own), Status(found.status), found.note or "")
    state = claude_batches.find(engine, found.batch or "")
    if state is None:
        raise RefinementFailed(f"nothing is known of the batch {found.batch}")
    batch = PendingBatch.from_json(state)
    results = results_from_json(found.answers or [])
    try:
        return collect(transcript, general, results, batch, how, own=own, price=price_of(batch.model))
    except (RefinementUnavailable, RefinementFailed) as error:
        refinement_requests.withdraw(engine, transcript.recording)
        raise RefinementFailed(f"{error}; request_refinement asks again") from error


def _plans(engine: Engine, material: Callable[[str], Material], how: RefinementSettings) -> Iterator[Plan]:
    """The plans of what waits, made as they are needed: together they may be larger than memory."""
    price, spent = price_of(how.model), _spent(engine)
    for recording, asked in refinement_requests.waiting(engine):
        try:
            transcript, general, own = material(recording)
        except PermanentError as error:
            logger.error("recording %s cannot be handed in: %s", recording, error)
            refinement_requests.refuse(engine, recording, asked, status=Status.VOCABULARY_ONLY, note=str(error))
            continue
        made = plan(transcript, general, how, own=own, price=price, spent_today=spent)
        if isinstance(made, Refined):
            refinement_requests.refuse(engine, recording, asked, status=made.status, note=made.note)
        else:
            spent += made.dollars or 0.0
            yield made


def _spent(engine: Engine) -> float:
    """Dollars of today, with what is under way."""
    return spending.spent_today(engine) + claude_batches.committed_dollars(engine)


def _keep(engine: Engine, batch: PendingBatch, results: dict[str, list[BatchResult]]) -> None:
    tried = refinement_requests.attempts(engine, batch.id)
    again = [each for each, before in tried.items() if before + 1 < MAX_ATTEMPTS and _is_unanswered(results.get(each))]
    price = price_of(batch.model)
    claude_batches.collect(
        engine,
        batch.id,
        {each: results_to_json(results.get(each, [])) for each in tried if each not in again},
        again=again,
        costs=[Cost(each, batch.model, _dollars(found, price)) for each, found in results.items()] if price else [],
    )


def _is_unanswered(results: list[BatchResult] | None) -> bool:
    """Whether nothing came, and another batch may bring it."""
    return bool(results) and all(each.reply is None for each in results) and any(each.retryable for each in results)


def _dollars(results: list[BatchResult], price: Price) -> float:
    return price.dollars(sum((each.reply.usage for each in results if each.reply), Usage()), batch=True)
