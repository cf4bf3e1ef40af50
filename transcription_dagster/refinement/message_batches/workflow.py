"""Refinement in Message Batches, step by step: ask, hand in, take in, use. Nothing of Dagster.

Every step ends with what the database then knows, so that a process may die between any two of them: what was asked
for is handed in once, what was handed in is paid for once, and what was answered is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import PermanentError, RefinementFailed, RefinementUnavailable, SpendLimitReached
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.account_store import ClaudeAccount, holding
from transcription_dagster.refinement.answer_store import PaidReply, kept_replies
from transcription_dagster.refinement.assembly import prepare, unrefined
from transcription_dagster.refinement.claude_prices import price_of
from transcription_dagster.refinement.message_batches import batch_store, request_store
from transcription_dagster.refinement.message_batches.batch_store import Announced
from transcription_dagster.refinement.message_batches.client import ClaudeBatches
from transcription_dagster.refinement.message_batches.request_store import Answered
from transcription_dagster.refinement.message_batches.rounds import (
    PendingBatch,
    Plan,
    by_recording,
    collect,
    digest_of,
    fingerprint,
    is_usable,
    plan,
    results_from_json,
    results_to_json,
    submit,
    window_of,
)
from transcription_dagster.refinement.messages import BatchResult, HandedIn
from transcription_dagster.refinement.results import Refined, RefinementSettings, Status

#: How often a recording is handed in before it counts as unanswered.
MAX_ATTEMPTS = 3

#: How far the API's clock may be behind the database's.
_CLOCKS_DIFFER = timedelta(minutes=5)
#: A batch that its process did not live to see accepted may still be listed until then.
_ARRIVES_WITHIN = timedelta(minutes=2)

#: A recording's transcript, the terms of every recording, and its own.
Material = tuple[Transcript, Sequence[Term], Sequence[Term]]

logger = logging.getLogger(__name__)


def ask(engine: Engine, material: Material, how: RefinementSettings) -> Plan | Refined:
    """Put a recording among those that wait, or note at once that nobody is to be asked about it, and why."""
    transcript, _, _ = material
    with holding(engine) as holder:
        # Reserved to see whether it may be spent; the exchange reserves again.
        account = ClaudeAccount(engine, holder, transcript.recording, how.model, how.spending)
        made = _planned(engine, material, how, account)
    if isinstance(made, Refined):
        request_store.refuse(engine, made.recording, "", status=made.status, note=made.note)
    elif made.requests:
        request_store.ask(engine, made.recording, fingerprint(made.requests))
    else:
        request_store.answer_from_kept(engine, made.recording, fingerprint({}), made.asked)
    return made


def hand_in(
    engine: Engine, sender: ClaudeBatches, material: Callable[[str], Material], how: RefinementSettings
) -> Iterator[PendingBatch]:
    """Hand in everything that waits; yields each batch. Under the lock of `exchange_lock`.

    What would cost more than the day's budget is left unrefined. Raises as the sender does.
    """
    recover(engine, sender)

    with holding(engine) as holder:
        last_announced = ""

        def announce(batch: PendingBatch, plans: Sequence[Plan]) -> None:
            nonlocal last_announced
            asked = {each.recording: each.asked for each in plans}
            batch_store.announce(engine, batch.id, batch.to_json(), asked, holder)
            last_announced = batch.id

        try:
            for announced, batch in submit(_plans(engine, material, how, holder), sender, announce=announce):
                batch_store.handed_in(engine, announced.id, batch.id, batch.to_json())
                yield batch
        except (RefinementFailed, SpendLimitReached):
            # Refused, and so certainly not taken. After any other error `recover` finds out what became of it.
            batch_store.take_back(engine, last_announced)
            raise


def recover(engine: Engine, sender: ClaudeBatches) -> bool:
    """Find out what became of batches that were announced, where the process died before it said so.

    Returns whether anything was found out. A batch shows what is in it only when it has ended; until then its
    recordings wait, for they may be answered, and paid for, already.
    """
    changed = False
    for announced in batch_store.announced(engine):
        batch = PendingBatch.from_json(announced.state)
        candidates = _candidates(engine, sender, announced, batch.requests)
        found = next((each.id for each in candidates if each.ended and _is_ours(sender, each.id, batch)), None)
        if found is not None:
            logger.warning("found the batch %s, which was handed in by a process that died", found)
            batch_store.handed_in(engine, announced.id, found, replace(batch, id=found).to_json())
        elif announced.age >= _ARRIVES_WITHIN and all(each.ended for each in candidates):
            batch_store.take_back(engine, announced.id)
        else:
            continue
        changed = True
    return changed


def _candidates(engine: Engine, sender: ClaudeBatches, announced: Announced, requests: int) -> Sequence[HandedIn]:
    """The batches of the account that are as large as the one that was announced, and not known to be others of ours.

    Another installation may use the same account: only what is in a batch tells whose it is.
    """
    listed = sender.recent(announced.announced_at - _CLOCKS_DIFFER)
    alike = [each for each in listed if each.requests == requests]
    ours = batch_store.known(engine, [each.id for each in alike])
    return [each for each in alike if each.id not in ours]


def _is_ours(sender: ClaudeBatches, batch_id: str, batch: PendingBatch) -> bool:
    try:
        first = next(iter(sender.results(batch_id)), None)
    except RefinementFailed:
        # Its results are kept no more, so nothing would be gained by it.
        return False
    return first is not None and batch.holds(first.custom_id)


def take_in(engine: Engine, sender: ClaudeBatches) -> Iterator[PendingBatch]:
    """Keep the answers of every batch that has ended; yields each. Under the lock of `exchange_lock`."""
    for state in batch_store.pending(engine):
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
    for state in batch_store.pending(engine):
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
    found = request_store.answered(engine, transcript.recording)
    if found is None:
        if request_store.is_under_way(engine, transcript.recording):
            return None
        raise RefinementFailed("Claude was not asked about this recording: request_refinement asks")
    if found.status is not None:
        return unrefined(prepare(transcript, general, how, own=own), Status(found.status), found.note or "")
    batch = _batch_of(engine, found, material, how)
    results = results_from_json(found.answers or [])
    replies = kept_replies(engine, found.asked.values())
    in_batch = {window_of(result.custom_id) for result in results}
    kept = {
        window: replies[digest]
        for window, digest in found.asked.items()
        if digest in replies and window not in in_batch
    }
    try:
        return collect(transcript, general, results, batch, how, own=own, price=price_of(batch.model), kept=kept)
    except (RefinementUnavailable, RefinementFailed) as error:
        request_store.withdraw(engine, transcript.recording)
        raise RefinementFailed(f"{error}; request_refinement asks again") from error


def _batch_of(engine: Engine, found: Answered, material: Material, how: RefinementSettings) -> PendingBatch:
    """The batch that answered; where all was answered earlier, one that stands for it."""
    if found.batch is None:
        transcript, general, own = material
        words = digest_of(prepare(transcript, general, how, own=own).words)
        present = plan(transcript, general, how, own=own)
        if isinstance(present, Refined) or dict(present.asked) != found.asked:
            request_store.withdraw(engine, transcript.recording)
            raise RefinementFailed(
                "the transcript, its vocabulary or the settings have changed since it was answered; "
                "request_refinement asks again"
            )
        return PendingBatch("", how.model, {transcript.recording: (words, len(found.asked))}, 0.0, 0, "")
    state = batch_store.find(engine, found.batch)
    if state is None:
        raise RefinementFailed(f"nothing is known of the batch {found.batch}")
    return PendingBatch.from_json(state)


def _planned(engine: Engine, material: Material, how: RefinementSettings, account: ClaudeAccount) -> Plan | Refined:
    transcript, general, own = material

    def kept(digests: Collection[str]) -> Collection[str]:
        return kept_replies(engine, digests)

    return plan(transcript, general, how, own=own, price=price_of(how.model), kept=kept, reserve=account.reserve)


def _plans(engine: Engine, material: Callable[[str], Material], how: RefinementSettings, holder: int) -> Iterator[Plan]:
    """The plans of what waits, made as they are needed: together they may be larger than memory."""
    for recording, asked in request_store.waiting(engine):
        account = ClaudeAccount(engine, holder, recording, how.model, how.spending)
        try:
            made = _planned(engine, material(recording), how, account)
        except PermanentError as error:
            logger.error("recording %s cannot be handed in: %s", recording, error)
            request_store.refuse(engine, recording, asked, status=Status.VOCABULARY_ONLY, note=str(error))
            continue
        if isinstance(made, Refined):
            request_store.refuse(engine, recording, asked, status=made.status, note=made.note)
        elif made.requests:
            yield made
        else:
            request_store.answer_from_kept(engine, recording, asked, made.asked)


def _keep(engine: Engine, batch: PendingBatch, results: dict[str, list[BatchResult]]) -> None:
    tried = request_store.under_way(engine, batch.id)
    again = [
        recording
        for recording, before in tried.items()
        if before.attempts + 1 < MAX_ATTEMPTS and _is_unanswered(results.get(recording))
    ]
    asked = {recording: each.asked for recording, each in tried.items()}
    batch_store.collect(
        engine,
        batch.id,
        {each: results_to_json(results.get(each, [])) for each in tried if each not in again},
        again=again,
        paid=_paid(batch, results, asked),
    )


def _is_unanswered(results: list[BatchResult] | None) -> bool:
    """Whether nothing came, and another batch may bring it."""
    return bool(results) and all(each.reply is None for each in results) and any(each.retryable for each in results)


def _paid(
    batch: PendingBatch, results: Mapping[str, list[BatchResult]], asked: Mapping[str, Mapping[str, str]]
) -> Iterator[PaidReply]:
    """Every reply with what it cost, also those about recordings that are asked about anew or forgotten by now."""
    price = price_of(batch.model)
    for recording, found in results.items():
        for result in found:
            if result.reply is None:
                continue
            dollars = price.dollars(result.reply.usage, batch=True) if price else None
            digest = asked.get(recording, {}).get(window_of(result.custom_id))
            yield PaidReply(recording, digest, batch.model, result.reply, dollars, is_usable(result.reply))
