"""The workflow of refinement in Message Batches: ask, submit, collect, use. Independent of Dagster.

Every step ends in the database, so that a process may die between any two: each request is submitted once, paid for
once, and each answer is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import (
    PermanentError,
    RefinementFailed,
    RefinementUnavailable,
    SpendLimitReached,
    UnknownToClaude,
)
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.account_store import ClaudeAccount, holding
from transcription_dagster.refinement.accounts import price_of
from transcription_dagster.refinement.answer_store import PaidReply, paid_replies
from transcription_dagster.refinement.assembly import prepare, unrefined
from transcription_dagster.refinement.claude import ClaudeBatches
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.batch_plans import (
    PendingBatch,
    Plan,
    collect_answers,
    fingerprint,
    plan,
    results_by_recording,
    results_from_json,
    results_to_json,
    submit,
    transcript_digest,
    window_of,
)
from transcription_dagster.refinement.message_batches.batch_store import Answered, UnconfirmedBatch
from transcription_dagster.refinement.messages import BatchResult, SubmittedBatch
from transcription_dagster.refinement.prompt import is_usable
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus

#: Submissions after which a recording counts as unanswered.
MAX_ATTEMPTS = 3

#: Maximum lag of the API's clock behind the database's.
_CLOCKS_DIFFER = timedelta(minutes=5)
#: Time until which a batch may still appear in the API's list after its process died.
_ARRIVES_WITHIN = timedelta(minutes=2)

logger = logging.getLogger(__name__)


class RefinementInput(NamedTuple):
    """What a recording is refined from."""

    transcript: Transcript
    shared_terms: Sequence[Term]
    own_terms: Sequence[Term]


def queue_request(engine: Engine, source: RefinementInput, settings: RefinementSettings) -> Plan | Refined:
    """Queue a recording, or record at once that Claude will not be asked about it, with the reason."""
    transcript = source.transcript
    with holding(engine) as holder:
        # Only checks the budget; the exchange reserves again.
        account = ClaudeAccount(engine, holder, transcript.recording, settings.model, settings.spending)

        def reserve(costs: Mapping[str, float]) -> str | None:
            # What is submitted is paid for, whatever the budget now allows.
            is_submitted = batch_store.is_submitted(engine, transcript.recording, costs)
            return None if is_submitted else account.reserve(costs)

        planned = _planned(engine, source, settings, reserve)
    if isinstance(planned, Refined):
        batch_store.refuse(engine, planned.recording, "", status=planned.status, note=planned.note)
    elif planned.requests:
        batch_store.enqueue(engine, planned.recording, fingerprint(planned.requests))
    else:
        batch_store.answer_from_paid_replies(engine, planned.recording, fingerprint({}), planned.asked)
    return planned


def submit_waiting(
    engine: Engine, sender: ClaudeBatches, input_of: Callable[[str], RefinementInput], settings: RefinementSettings
) -> Iterator[PendingBatch]:
    """Submit all waiting recordings; yields each batch. Call under `exchange_lock`.

    Recordings beyond the day's budget stay unrefined. Raises as the sender does.
    """
    recover(engine, sender)

    with holding(engine) as holder:
        last_intended = ""

        def record_intent(batch: PendingBatch) -> None:
            nonlocal last_intended
            batch_store.record_intent(engine, batch.id, batch.to_json(), batch.asked, holder)
            last_intended = batch.id

        try:
            for intended, batch in submit(
                _plans(engine, input_of, settings, holder), sender, record_intent=record_intent
            ):
                batch_store.record_submission(engine, intended.id, batch.id, batch.to_json())
                yield batch
        except (RefinementFailed, SpendLimitReached):
            # A refusal means that the API has nothing. After any other error `recover` finds out what happened.
            batch_store.discard_intent(engine, last_intended)
            raise


def recover(engine: Engine, sender: ClaudeBatches) -> bool:
    """Find out what became of intended batches whose process died before it recorded the outcome.

    Returns whether anything was found. A batch reveals its content only when it has ended; until then its recordings
    wait, because they may already be answered and paid for.
    """
    changed = False
    for intended in batch_store.unconfirmed(engine):
        batch = PendingBatch.from_json(intended.state)
        candidates = _candidates(engine, sender, intended, batch.requests)
        batch_id = next(
            (candidate.id for candidate in candidates if candidate.ended and _is_ours(sender, candidate.id, batch)),
            None,
        )
        if batch_id is not None:
            logger.warning("found the batch %s, which a process submitted before it died", batch_id)
            batch_store.record_submission(engine, intended.id, batch_id, replace(batch, id=batch_id).to_json())
        elif intended.age >= _ARRIVES_WITHIN and all(candidate.ended for candidate in candidates):
            batch_store.discard_intent(engine, intended.id)
        else:
            continue
        changed = True
    return changed


def _candidates(
    engine: Engine, sender: ClaudeBatches, intended: UnconfirmedBatch, requests: int
) -> Sequence[SubmittedBatch]:
    """Return the account's batches of the intended size that are not known to be other batches of ours.

    Another installation may use the same account: only a batch's content shows whose it is.
    """
    listed = sender.recent(intended.announced_at - _CLOCKS_DIFFER)
    alike = [batch for batch in listed if batch.requests == requests]
    ours = batch_store.known(engine, [batch.id for batch in alike])
    return [batch for batch in alike if batch.id not in ours]


def _is_ours(sender: ClaudeBatches, batch_id: str, batch: PendingBatch) -> bool:
    try:
        first = next(iter(sender.results(batch_id)), None)
    except UnknownToClaude:
        # Its results are gone, so there is nothing to gain.
        return False
    return first is not None and batch.holds(first.custom_id)


def collect_ended(engine: Engine, sender: ClaudeBatches) -> Iterator[PendingBatch]:
    """Collect the answers of every ended batch; yields each. Call under `exchange_lock`.

    Raises as the sender does; the batch then stays submitted, and its answers are collected later.
    """
    for state in batch_store.pending(engine):
        batch = PendingBatch.from_json(state)
        try:
            if not sender.poll(batch.id).ended:
                continue
            results = results_by_recording(sender.results(batch.id))
        except UnknownToClaude as error:
            # Its recordings fail for that reason.
            logger.error("the batch %s is lost: %s", batch.id, error)
            results = {}
        _store_answers(engine, batch, results)
        yield batch


def has_ended(engine: Engine, sender: ClaudeBatches) -> bool:
    """Return whether a batch can be collected."""
    for state in batch_store.pending(engine):
        try:
            if sender.poll(state["id"]).ended:
                return True
        except RefinementFailed:
            # Collecting it shows the reason.
            return True
    return False


def refined_by_batch(engine: Engine, source: RefinementInput, settings: RefinementSettings) -> Refined | None:
    """Return the refined recording, or None until its request is answered.

    Raises `RefinementFailed` if there is no request or the answers are unusable; it can then be requested again.
    """
    transcript, shared_terms, own_terms = source
    outcome = batch_store.answered(engine, transcript.recording)
    if outcome is None:
        if batch_store.is_in_progress(engine, transcript.recording):
            return None
        raise RefinementFailed("Claude was not asked about this recording: request_refinement asks")
    if outcome.status is not None:
        return unrefined(
            prepare(transcript, shared_terms, settings, own_terms=own_terms),
            RefinementStatus(outcome.status),
            outcome.note or "",
        )
    batch = _batch_of(engine, outcome, source, settings)
    results = results_from_json(outcome.answers or [])
    replies = paid_replies(engine, outcome.asked.values())
    in_batch = {window_of(result.custom_id) for result in results}
    kept = {
        window: replies[digest]
        for window, digest in outcome.asked.items()
        if digest in replies and window not in in_batch
    }
    try:
        return collect_answers(
            transcript,
            shared_terms,
            results,
            batch,
            settings,
            own_terms=own_terms,
            price=price_of(batch.model),
            kept=kept,
        )
    except (RefinementUnavailable, RefinementFailed) as error:
        batch_store.cancel(engine, transcript.recording)
        raise RefinementFailed(f"{error}; request_refinement asks again") from error


def _batch_of(engine: Engine, outcome: Answered, source: RefinementInput, settings: RefinementSettings) -> PendingBatch:
    """Return the batch that answered; if everything was answered earlier, a placeholder."""
    if outcome.batch is None:
        transcript, shared_terms, own_terms = source
        words = transcript_digest(prepare(transcript, shared_terms, settings, own_terms=own_terms).words)
        replanned = plan(transcript, shared_terms, settings, own_terms=own_terms)
        if isinstance(replanned, Refined) or dict(replanned.asked) != outcome.asked:
            batch_store.cancel(engine, transcript.recording)
            raise RefinementFailed(
                "the transcript, its vocabulary or the settings have changed since it was answered; "
                "request_refinement asks again"
            )
        return PendingBatch("", settings.model, {transcript.recording: (words, len(outcome.asked))}, 0.0, 0, "", {})
    state = batch_store.find(engine, outcome.batch)
    if state is None:
        raise RefinementFailed(f"nothing is known of the batch {outcome.batch}")
    return PendingBatch.from_json(state)


def _planned(
    engine: Engine,
    source: RefinementInput,
    settings: RefinementSettings,
    reserve: Callable[[Mapping[str, float]], str | None],
) -> Plan | Refined:
    transcript, shared_terms, own_terms = source

    def kept(digests: Collection[str]) -> Collection[str]:
        return paid_replies(engine, digests)

    return plan(
        transcript,
        shared_terms,
        settings,
        own_terms=own_terms,
        price=price_of(settings.model),
        kept=kept,
        reserve=reserve,
    )


def _plans(
    engine: Engine, input_of: Callable[[str], RefinementInput], settings: RefinementSettings, holder: int
) -> Iterator[Plan]:
    """Yield the plans of waiting recordings one by one: together they may exceed memory."""
    for recording, request_fingerprint in batch_store.waiting(engine):
        account = ClaudeAccount(engine, holder, recording, settings.model, settings.spending)
        try:
            planned = _planned(engine, input_of(recording), settings, account.reserve)
        except PermanentError as error:
            logger.error("recording %s cannot be submitted: %s", recording, error)
            batch_store.refuse(
                engine, recording, request_fingerprint, status=RefinementStatus.VOCABULARY_ONLY, note=str(error)
            )
            continue
        if isinstance(planned, Refined):
            batch_store.refuse(engine, recording, request_fingerprint, status=planned.status, note=planned.note)
        elif planned.requests:
            yield planned
        else:
            batch_store.answer_from_paid_replies(engine, recording, request_fingerprint, planned.asked)


def _store_answers(engine: Engine, batch: PendingBatch, results: dict[str, list[BatchResult]]) -> None:
    submitted = batch_store.submitted_recordings_of(engine, batch.id)
    unanswered = [
        recording
        for recording, before in submitted.items()
        if before.attempts + 1 < MAX_ATTEMPTS and _is_unanswered(results.get(recording))
    ]
    # A recording that was requested again is no longer among those of the batch, but its replies are paid for.
    digests = batch.asked or {recording: entry.asked for recording, entry in submitted.items()}
    batch_store.collect(
        engine,
        batch.id,
        {
            recording: results_to_json(results.get(recording, []))
            for recording in submitted
            if recording not in unanswered
        },
        again=unanswered,
        paid=_paid(batch, results, digests),
    )


def _is_unanswered(results: list[BatchResult] | None) -> bool:
    """Return whether there is no answer yet but another batch may bring one."""
    return (
        bool(results)
        and all(result.reply is None for result in results)
        and any(result.retryable for result in results)
    )


def _paid(
    batch: PendingBatch, results: Mapping[str, list[BatchResult]], digests: Mapping[str, Mapping[str, str]]
) -> Iterator[PaidReply]:
    """Yield every reply with its cost, even for recordings since requested again or forgotten."""
    price = price_of(batch.model)
    for recording, recording_results in results.items():
        for result in recording_results:
            if result.reply is None:
                continue
            dollars = price.dollars(result.reply.usage, batch=True) if price else None
            digest = digests.get(recording, {}).get(window_of(result.custom_id))
            yield PaidReply(recording, digest, batch.model, result.reply, dollars, is_usable(result.reply))
