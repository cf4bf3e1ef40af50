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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transcription_dagster.errors import RefinementFailed, RefinementUnavailable, UnusableReply
from transcription_dagster.messages import BatchResult, BatchSender, MessageReply, MessageRequest, Price, Usage
from transcription_dagster.model import Term, Transcript, Word, recording_id
from transcription_dagster.refinement.assembly import Answers, Prepared, assemble, prepare, unrefined
from transcription_dagster.refinement.budget import Budget, estimate
from transcription_dagster.refinement.replies import Answer, read_reply
from transcription_dagster.refinement.results import Refined, RefinementSettings, Status, WindowFailure
from transcription_dagster.text.windows import Window

#: The API takes 100,000 requests and 256 MB in a batch; this stays well below both.
MAX_REQUESTS = 10_000
MAX_BYTES = 100_000_000
_CUSTOM_ID = re.compile(r"(?P<recording>[0-9a-f-]{36})_(?P<first>\d+)_(?P<stop>\d+)\Z")


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests about one recording, by custom id."""

    recording: str
    requests: Mapping[str, MessageRequest]
    #: Of the words that are shown, to know them again.
    digest: str
    #: None when no price is known for the model.
    dollars: float | None


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch that was handed in, and what is needed to collect it."""

    id: str
    model: str
    #: Every recording in it, with the digest of its words and the number of its requests.
    recordings: Mapping[str, tuple[str, int]]
    #: What it is expected to cost at most; None when no price is known.
    dollars: float | None

    @property
    def requests(self) -> int:
        """How many requests it holds."""
        return sum(count for _, count in self.recordings.values())

    def to_json(self) -> dict[str, Any]:
        """Return the batch as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PendingBatch:
        """Read what `to_json` returned."""
        recordings = {recording: (digest, count) for recording, (digest, count) in document["recordings"].items()}
        return cls(**{**document, "recordings": recordings})


def plan(
    transcript: Transcript,
    terms: Sequence[Term],
    settings: RefinementSettings,
    *,
    own: Sequence[Term] = (),
    price: Price | None = None,
    spent_today: float = 0.0,
) -> Plan | Refined:
    """Return the requests about a transcript, or at once what it becomes when nobody is to be asked about it.

    That is the case over budget, and without words. Raises `InvalidRecordingId`.
    """
    recording = recording_id(transcript.recording)
    prepared = prepare(transcript, terms, settings, own=own)
    requests = {
        f"{recording}_{window.first}_{window.stop}": prepared.request(window, settings, cache="1h")
        for window in prepared.windows
    }
    if not requests:
        return assemble(prepared, Answers({}), settings, price, batch=True)
    asked = list(requests.values())
    if refusal := Budget(settings, price, spent_today).take(asked, batch=True):
        return unrefined(prepared, Status.OVER_BUDGET, f"Claude was not asked: {refusal}")
    dollars = None if price is None else estimate(asked, price, batch=True)
    return Plan(recording, requests, digest_of(prepared.words), dollars)


def submit(
    plans: Iterable[Plan], sender: BatchSender, *, announce: Callable[[PendingBatch], None] = lambda _batch: None
) -> Iterator[PendingBatch]:
    """Hand in the plans in as few batches as the API's limits allow; yields each once it is handed in.

    Each is announced before that, under an id that is not the API's. Whoever keeps what is announced, and what is
    yielded before asking for the next, loses none if the process dies in between. Raises as the sender does.
    """
    for group in _groups(plans):
        requests = {name: request for each in group for name, request in each.requests.items()}
        costs = [each.dollars for each in group]
        announced = PendingBatch(
            id=f"announced-{uuid.uuid4()}",
            model=next(iter(requests.values())).model,
            recordings={each.recording: (each.digest, len(each.requests)) for each in group},
            dollars=None if None in costs else sum(cost for cost in costs if cost is not None),
        )
        announce(announced)
        yield replace(announced, id=sender.submit(requests))


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


def collect(
    transcript: Transcript,
    terms: Sequence[Term],
    results: Sequence[BatchResult],
    pending: PendingBatch,
    settings: RefinementSettings,
    *,
    own: Sequence[Term] = (),
    price: Price | None = None,
) -> Refined:
    """Make of one recording's results what direct refinement makes of its replies.

    `settings` are those of the present, but for the model, which is the batch's. Raises `RefinementFailed` if the
    transcript or its vocabulary is no longer the one that was handed in, or if no answer can be used, and
    `RefinementUnavailable` if none came and another batch may bring it.
    """
    prepared = prepare(transcript, terms, settings, own=own)
    digest, count = pending.recordings.get(transcript.recording, ("", 0))
    if digest != digest_of(prepared.words):
        raise RefinementFailed("the transcript or its vocabulary has changed since it was handed in: refine it again")
    answers = _answers(results)
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
