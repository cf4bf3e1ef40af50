"""Refinement in Message Batches: plan the requests, submit them, and later assemble the results.

A `PendingBatch`, stored as JSON, is all that must survive between submitting and collecting. A request's custom id
names its recording and words, so results identify themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from transcription_dagster.errors import RefinementFailed, RefinementUnavailable, UnusableReply
from transcription_dagster.model import Term, Transcript, Word, recording_id
from transcription_dagster.refinement.accounts import estimates, request_digest
from transcription_dagster.refinement.assembly import Answers, Prepared, assemble, prepare, unrefined
from transcription_dagster.refinement.messages import (
    BatchResult,
    BatchSender,
    MessageReply,
    MessageRequest,
    Price,
    TokenUsage,
)
from transcription_dagster.refinement.prompt import Answer, read_reply
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus, WindowFailure
from transcription_dagster.refinement.text_windows import TextWindow

#: Well below the API's limits of 100,000 requests and 256 MB per batch. Storing the replies takes a lock on each
#: recording, and a Postgres with default settings has room for 6,400 locks.
MAX_REQUESTS = 5_000
MAX_BYTES = 100_000_000
_CUSTOM_ID = re.compile(r"(?P<recording>[0-9a-f-]{36})_(?P<window>(?P<first>\d+)_(?P<stop>\d+))(?:_[0-9a-f]{8})?\Z")


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests for one recording, by the first part of their custom ids."""

    recording: str
    requests: Mapping[str, MessageRequest]
    #: Digest of each window's request, by `first_stop`, including windows that are already answered.
    asked: Mapping[str, str]
    #: Digest of the words that Claude sees.
    digest: str
    #: None if the model's price is unknown.
    dollars: float | None
    #: Each request's share of `dollars`, by digest.
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A submitted batch, with what is needed to collect it."""

    id: str
    model: str
    #: Its recordings, each with the digest of its words and its number of windows.
    recordings: Mapping[str, tuple[str, int]]
    #: Maximum expected cost; None if the price is unknown.
    dollars: float | None
    #: Number of requests.
    requests: int
    #: Suffix of all its custom ids, and of no others.
    mark: str
    #: Digest of each window's request, by recording and `first_stop`.
    asked: Mapping[str, Mapping[str, str]]

    def holds(self, custom_id: str) -> bool:
        """Return whether a request belongs to this batch."""
        return custom_id.endswith(f"_{self.mark}")

    def to_json(self) -> dict[str, Any]:
        """Return the batch as JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PendingBatch:
        """Parse what `to_json` returns."""
        recordings = {recording: (digest, count) for recording, (digest, count) in document["recordings"].items()}
        # Batches of version 0.1.0 have no mark and no digests.
        older = {"requests": sum(count for _, count in recordings.values()), "mark": "", "asked": {}}
        return cls(**{**older, **document, "recordings": recordings})


def plan(
    transcript: Transcript,
    terms: Sequence[Term],
    settings: RefinementSettings,
    *,
    own_terms: Sequence[Term] = (),
    price: Price | None = None,
    kept: Callable[[Collection[str]], Collection[str]] = lambda _digests: (),
    reserve: Callable[[Mapping[str, float]], str | None] = lambda _costs: None,
) -> Plan | Refined:
    """Return the requests for a transcript, or the finished result if Claude need not or must not be asked.

    That is the case without words, and over budget: `reserve` returns why the costs, by request digest, must not be
    spent. Requests with `kept` digests are not repeated. Raises `InvalidRecordingId`.
    """
    recording = recording_id(transcript.recording)
    prepared = prepare(transcript, terms, settings, own_terms=own_terms)
    windows = {
        f"{window.first}_{window.stop}": prepared.request(window, settings, cache="1h") for window in prepared.windows
    }
    if not windows:
        return assemble(prepared, Answers({}), settings, price, batch=True)
    digests = {window: request_digest(request) for window, request in windows.items()}
    answered = kept(digests.values())
    requests = {f"{recording}_{name}": windows[name] for name, digest in digests.items() if digest not in answered}
    missing = [digest for digest in digests.values() if digest not in answered]
    costs = dict(zip(missing, estimates(list(requests.values()), price, batch=True), strict=True)) if price else {}
    if costs and (refused := reserve(costs)):
        return unrefined(prepared, RefinementStatus.OVER_BUDGET, f"Claude was not asked: {refused}")
    dollars = sum(costs.values()) if price else None
    return Plan(recording, requests, digests, transcript_digest(prepared.words), dollars, costs)


def submit(
    plans: Iterable[Plan],
    sender: BatchSender,
    *,
    record_intent: Callable[[PendingBatch], None] = lambda _batch: None,
) -> Iterator[tuple[PendingBatch, PendingBatch]]:
    """Submit the plans in as few batches as the API allows; yields each as it was recorded and with the API's id.

    Each is passed to `record_intent` first, under an id of our own. A caller that stores the intent, and each yielded
    batch before asking for the next, loses none if the process dies. Raises as the sender does.
    """
    for group in _groups(plans):
        intent_id = uuid.uuid4()
        mark = intent_id.hex[:8]
        requests = {f"{name}_{mark}": request for planned in group for name, request in planned.requests.items()}
        costs = [planned.dollars for planned in group]
        intended = PendingBatch(
            id=f"announced-{intent_id}",
            model=next(iter(requests.values())).model,
            recordings={planned.recording: (planned.digest, len(planned.asked)) for planned in group},
            dollars=None if None in costs else sum(cost for cost in costs if cost is not None),
            requests=len(requests),
            mark=mark,
            asked={planned.recording: planned.asked for planned in group},
        )
        record_intent(intended)
        yield intended, replace(intended, id=sender.submit(requests))


def fingerprint(requests: Mapping[str, MessageRequest]) -> str:
    """Return a digest that identifies these requests."""
    content = {name: asdict(request) for name, request in requests.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def results_by_recording(results: Iterable[BatchResult]) -> dict[str, list[BatchResult]]:
    """Group a batch's results by recording, skipping requests that are not this program's."""
    grouped: defaultdict[str, list[BatchResult]] = defaultdict(list)
    for result in results:
        if match := _CUSTOM_ID.match(result.custom_id):
            grouped[match["recording"]].append(result)
    return dict(grouped)


def window_of(custom_id: str) -> str:
    """Return the `first_stop` of a request; empty if it is not this program's."""
    match = _CUSTOM_ID.match(custom_id)
    return match["window"] if match else ""


def collect_answers(
    transcript: Transcript,
    terms: Sequence[Term],
    results: Sequence[BatchResult],
    pending: PendingBatch,
    settings: RefinementSettings,
    *,
    own_terms: Sequence[Term] = (),
    price: Price | None = None,
    kept: Mapping[str, MessageReply] = MappingProxyType({}),
) -> Refined:
    """Assemble one recording's results as direct refinement assembles its replies.

    `kept` holds replies paid for earlier, by `first_stop`; they are not counted again.

    `settings` are the current ones, except for the model, which is the batch's. Raises `RefinementFailed` if the
    transcript or its vocabulary changed since submission or no answer is usable, and `RefinementUnavailable` if there
    is no answer but another batch may bring one.
    """
    prepared = prepare(transcript, terms, settings, own_terms=own_terms)
    digest, count = pending.recordings.get(transcript.recording, ("", 0))
    if digest != transcript_digest(prepared.words):
        raise RefinementFailed("the transcript or its vocabulary has changed since it was submitted; refine it again")
    earlier = [BatchResult(f"{transcript.recording}_{window}", reply) for window, reply in kept.items()]
    paid, others = _answers(results), _answers(earlier)
    answers = Answers(
        {**others.answered, **paid.answered}, (*others.failures, *paid.failures), paid.usage, len(earlier)
    )
    if len(answers.answered) + len(answers.failures) < count:
        raise RefinementUnavailable(f"the batch {pending.id} has brought {len(results)} of {count} answers")
    if not answers.answered and any(result.retryable for result in results):
        raise RefinementUnavailable(f"the batch brought no answer: {answers.failures[0].reason}")
    settled = RefinementSettings(pending.model, settings.effort, limits=settings.limits)
    return assemble(_as_submitted(prepared, answers), answers, settled, price, batch=True)


def results_to_json(results: Iterable[BatchResult]) -> list[Any]:
    """Return results as JSON values that Postgres accepts."""
    return [{**asdict(result), "reply": result.reply and result.reply.to_json()} for result in results]


def results_from_json(documents: Iterable[Mapping[str, Any]]) -> list[BatchResult]:
    """Parse what `results_to_json` returns."""
    return [
        BatchResult(**{**document, "reply": document["reply"] and MessageReply.from_json(document["reply"])})
        for document in documents
    ]


def transcript_digest(words: Sequence[Word]) -> str:
    """Return a digest of the words."""
    return hashlib.sha256("\n".join(word.text for word in words).encode()).hexdigest()


def _groups(plans: Iterable[Plan]) -> Iterator[list[Plan]]:
    """Group plans into batches within the limits on requests and bytes."""
    group: list[Plan] = []
    requests = bytes_of_group = 0
    for planned in plans:
        bytes_of_plan = sum(
            len(part.encode()) for request in planned.requests.values() for part in (*request.system, request.user)
        )
        if group and (requests + len(planned.requests) > MAX_REQUESTS or bytes_of_group + bytes_of_plan > MAX_BYTES):
            yield group
            group, requests, bytes_of_group = [], 0, 0
        group.append(planned)
        requests, bytes_of_group = requests + len(planned.requests), bytes_of_group + bytes_of_plan
    if group:
        yield group


def _answers(results: Iterable[BatchResult]) -> Answers:
    answered: dict[TextWindow, Answer] = {}
    failures: list[WindowFailure] = []
    usage = TokenUsage()
    for result in results:
        match = _CUSTOM_ID.match(result.custom_id)
        if match is None:
            continue
        window = TextWindow(int(match["first"]), int(match["stop"]))
        if result.reply is None:
            failures.append(WindowFailure(window.first, window.stop, result.problem))
            continue
        usage += result.reply.usage
        try:
            answered[window] = read_reply(result.reply)
        except UnusableReply as error:
            failures.append(WindowFailure(window.first, window.stop, str(error)))
    return Answers(answered, tuple(failures), usage)


def _as_submitted(prepared: Prepared, answers: Answers) -> Prepared:
    """Restore the submitted windows, whatever size the current settings would cut."""
    windows = [*answers.answered, *(TextWindow(failure.first, failure.stop) for failure in answers.failures)]
    return replace(prepared, windows=tuple(sorted(windows)))
