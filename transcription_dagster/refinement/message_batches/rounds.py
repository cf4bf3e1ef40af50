"""Refinement by Message Batches: plan recordings, hand them in, and later make the same of the results.

What has to survive between handing in and collecting is a `PendingBatch`, which is written as JSON. A request's custom
id names its recording and its words, so the results say themselves what they belong to.
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
from transcription_dagster.refinement.accounts import request_digest
from transcription_dagster.refinement.assembly import Answers, Prepared, assemble, prepare, unrefined
from transcription_dagster.refinement.budget import estimates
from transcription_dagster.refinement.messages import (
    BatchResult,
    BatchSender,
    MessageReply,
    MessageRequest,
    Price,
    Usage,
)
from transcription_dagster.refinement.replies import Answer, read_reply
from transcription_dagster.refinement.results import Refined, RefinementSettings, Status, WindowFailure
from transcription_dagster.refinement.text_windows import Window

#: The API takes 100,000 requests and 256 MB in a batch; this stays well below both.
MAX_REQUESTS = 10_000
MAX_BYTES = 100_000_000
_CUSTOM_ID = re.compile(r"(?P<recording>[0-9a-f-]{36})_(?P<window>(?P<first>\d+)_(?P<stop>\d+))(?:_[0-9a-f]{8})?\Z")


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests about one recording, by the beginning of their custom id."""

    recording: str
    requests: Mapping[str, MessageRequest]
    #: Digest of each window's request, by `first_stop`; also of those that are answered and not asked again.
    asked: Mapping[str, str]
    #: Of the words that are shown, to know them again.
    digest: str
    #: None when no price is known for the model.
    dollars: float | None
    #: What each request adds to `dollars`, by its digest.
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch that was handed in, and what is needed to collect it."""

    id: str
    model: str
    #: Every recording in it, with the digest of its words and the number of its windows.
    recordings: Mapping[str, tuple[str, int]]
    #: What it is expected to cost at most; None when no price is known.
    dollars: float | None
    #: How many requests it holds.
    requests: int
    #: How every custom id in it ends, and in no other batch.
    mark: str

    def holds(self, custom_id: str) -> bool:
        """Whether a request is one of this batch's."""
        return custom_id.endswith(f"_{self.mark}")

    def to_json(self) -> dict[str, Any]:
        """Return the batch as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PendingBatch:
        """Read what `to_json` returned."""
        recordings = {recording: (digest, count) for recording, (digest, count) in document["recordings"].items()}
        # Batches of version 0.1.0 are not marked.
        older = {"requests": sum(count for _, count in recordings.values()), "mark": ""}
        return cls(**{**older, **document, "recordings": recordings})


def plan(
    transcript: Transcript,
    terms: Sequence[Term],
    settings: RefinementSettings,
    *,
    own: Sequence[Term] = (),
    price: Price | None = None,
    kept: Callable[[Collection[str]], Collection[str]] = lambda _digests: (),
    reserve: Callable[[Mapping[str, float]], str | None] = lambda _costs: None,
) -> Plan | Refined:
    """Return the requests about a transcript, or at once what it becomes when nobody is to be asked about it.

    That is the case without words, and over budget: where `reserve` says why the costs, by the digest of the request,
    must not be spent. Requests whose digests are `kept` are not made. Raises `InvalidRecordingId`.
    """
    recording = recording_id(transcript.recording)
    prepared = prepare(transcript, terms, settings, own=own)
    windows = {f"{each.first}_{each.stop}": prepared.request(each, settings, cache="1h") for each in prepared.windows}
    if not windows:
        return assemble(prepared, Answers({}), settings, price, batch=True)
    asked = {window: request_digest(request) for window, request in windows.items()}
    answered = kept(asked.values())
    requests = {f"{recording}_{name}": windows[name] for name, digest in asked.items() if digest not in answered}
    missing = [digest for digest in asked.values() if digest not in answered]
    costs = dict(zip(missing, estimates(list(requests.values()), price, batch=True), strict=True)) if price else {}
    if costs and (refused := reserve(costs)):
        return unrefined(prepared, Status.OVER_BUDGET, f"Claude was not asked: {refused}")
    dollars = sum(costs.values()) if price else None
    return Plan(recording, requests, asked, digest_of(prepared.words), dollars, costs)


def submit(
    plans: Iterable[Plan],
    sender: BatchSender,
    *,
    announce: Callable[[PendingBatch, Sequence[Plan]], None] = lambda _batch, _plans: None,
) -> Iterator[tuple[PendingBatch, PendingBatch]]:
    """Hand in the plans in as few batches as the API's limits allow; yields each once it is handed in: as it was
    announced, and with the API's id.

    Each is announced before that, under an id that is not the API's. Whoever keeps what is announced, and what is
    yielded before asking for the next, loses none if the process dies in between. Raises as the sender does.
    """
    for group in _groups(plans):
        announced_id = uuid.uuid4()
        mark = announced_id.hex[:8]
        requests = {f"{name}_{mark}": request for each in group for name, request in each.requests.items()}
        costs = [each.dollars for each in group]
        announced = PendingBatch(
            id=f"announced-{announced_id}",
            model=next(iter(requests.values())).model,
            recordings={each.recording: (each.digest, len(each.asked)) for each in group},
            dollars=None if None in costs else sum(cost for cost in costs if cost is not None),
            requests=len(requests),
            mark=mark,
        )
        announce(announced, group)
        yield announced, replace(announced, id=sender.submit(requests))


def fingerprint(requests: Mapping[str, MessageRequest]) -> str:
    """Return what tells these requests from any others."""
    content = {name: asdict(request) for name, request in requests.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def by_recording(results: Iterable[BatchResult]) -> dict[str, list[BatchResult]]:
    """Return a batch's results by recording; what this program did not hand in is left out."""
    found: defaultdict[str, list[BatchResult]] = defaultdict(list)
    for result in results:
        if match := _CUSTOM_ID.match(result.custom_id):
            found[match["recording"]].append(result)
    return dict(found)


def window_of(custom_id: str) -> str:
    """Return the `first_stop` of a request; empty for what this program did not hand in."""
    match = _CUSTOM_ID.match(custom_id)
    return match["window"] if match else ""


def is_usable(reply: MessageReply) -> bool:
    """Whether edits can be read from a reply."""
    try:
        read_reply(reply)
    except UnusableReply:
        return False
    return True


def collect(
    transcript: Transcript,
    terms: Sequence[Term],
    results: Sequence[BatchResult],
    pending: PendingBatch,
    settings: RefinementSettings,
    *,
    own: Sequence[Term] = (),
    price: Price | None = None,
    kept: Mapping[str, MessageReply] = MappingProxyType({}),
) -> Refined:
    """Make of one recording's results what direct refinement makes of its replies.

    `kept` holds the replies that were paid for earlier, by `first_stop`; they are not counted again.

    `settings` are those of the present, but for the model, which is the batch's. Raises `RefinementFailed` if the
    transcript or its vocabulary is no longer the one that was handed in, or if no answer can be used, and
    `RefinementUnavailable` if none came and another batch may bring it.
    """
    prepared = prepare(transcript, terms, settings, own=own)
    digest, count = pending.recordings.get(transcript.recording, ("", 0))
    if digest != digest_of(prepared.words):
        raise RefinementFailed("the transcript or its vocabulary has changed since it was handed in: refine it again")
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
    return assemble(_as_handed_in(prepared, answers), answers, settled, price, batch=True)


def results_to_json(results: Iterable[BatchResult]) -> list[Any]:
    """Return results as JSON has them, without the character that Postgres takes in no text."""
    documents = [asdict(result) for result in results]
    for document in documents:
        if document["reply"] is not None:
            document["reply"]["text"] = document["reply"]["text"].replace("\0", "")
    return documents


def results_from_json(documents: Iterable[Mapping[str, Any]]) -> list[BatchResult]:
    """Read what `results_to_json` returned."""
    return [BatchResult(**{**document, "reply": _reply(document["reply"])}) for document in documents]


def _reply(document: Mapping[str, Any] | None) -> MessageReply | None:
    return None if document is None else MessageReply(**{**document, "usage": Usage(**document["usage"])})


def digest_of(words: Sequence[Word]) -> str:
    """Return what tells these words from any others."""
    return hashlib.sha256("\n".join(word.text for word in words).encode()).hexdigest()


def _groups(plans: Iterable[Plan]) -> Iterator[list[Plan]]:
    group: list[Plan] = []
    requests = size = 0
    for each in plans:
        own = sum(len(part.encode()) for request in each.requests.values() for part in (*request.system, request.user))
        if group and (requests + len(each.requests) > MAX_REQUESTS or size + own > MAX_BYTES):
            yield group
            group, requests, size = [], 0, 0
        group.append(each)
        requests, size = requests + len(each.requests), size + own
    if group:
        yield group


def _answers(results: Iterable[BatchResult]) -> Answers:
    answered: dict[Window, Answer] = {}
    failures: list[WindowFailure] = []
    usage = Usage()
    for result in results:
        match = _CUSTOM_ID.match(result.custom_id)
        if match is None:
            continue
        window = Window(int(match["first"]), int(match["stop"]))
        if result.reply is None:
            failures.append(WindowFailure(window.first, window.stop, result.problem))
            continue
        usage += result.reply.usage
        try:
            answered[window] = read_reply(result.reply)
        except UnusableReply as error:
            failures.append(WindowFailure(window.first, window.stop, str(error)))
    return Answers(answered, tuple(failures), usage)


def _as_handed_in(prepared: Prepared, answers: Answers) -> Prepared:
    """The windows are those that were handed in, whatever size the settings would cut today."""
    windows = [*answers.answered, *(Window(failure.first, failure.stop) for failure in answers.failures)]
    return replace(prepared, windows=tuple(sorted(windows)))
