"""What a sensor asks for: from pages of a source and what is known, to a bounded set of runs. Pure.

A tick goes in this order, so that a crash between any two steps loses nothing and asks for nothing twice:

1. what the last tick asked for and the database still holds as unsettled (`settled`) is registered with its etag, and
   the last tick's messages (`State.receipts`) are acknowledged: that its state was stored means that its runs were
   asked for;
2. `discover` says which runs to ask for; their sources are registered with the `unsettled` form of their etags;
3. the requests are returned to Dagster together with the new `State`.

A crash before 3 leaves the old state and unsettled etags, so the same runs are asked for again under the same run
keys, and Dagster passes over those that it has seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transcription_dagster.sources.base import Listing, SourceObject
from transcription_dagster.urls import shown_url


@dataclass(frozen=True, slots=True)
class Request:
    """A run to be asked for."""

    source: SourceObject
    #: The same for the same version of a source, and for no other.
    run_key: str


@dataclass(frozen=True, slots=True)
class State:
    """What a sensor keeps from one tick to the next."""

    #: Where the source's next page begins; None: at its beginning.
    cursor: str | None = None
    #: UUID and etag of what the last tick asked for.
    asked: Mapping[str, str] = field(default_factory=dict)
    #: The messages that the last tick dealt with.
    receipts: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The sensor's cursor."""
        return json.dumps({"cursor": self.cursor, "asked": dict(self.asked), "receipts": self.receipts})

    @classmethod
    def from_text(cls, text: str | None) -> State:
        """The state in a sensor's cursor; the first one where there is none yet."""
        if not text:
            return cls()
        values = json.loads(text)
        return cls(values["cursor"], values["asked"], tuple(values["receipts"]))


@dataclass(frozen=True, slots=True)
class Discovery:
    """The outcome of a tick."""

    requests: tuple[Request, ...]
    state: State
    #: A line for each thing that was left out, and why.
    problems: tuple[str, ...]
    #: Changed sources that wait until the run on their old content has ended.
    deferred: int
    #: One sentence for the operator.
    summary: str


def room_for(waiting_runs: int, *, requests_per_tick: int, max_waiting_runs: int) -> int:
    """How many runs may be asked for now, so that never more than `max_waiting_runs` wait."""
    return max(0, min(requests_per_tick, max_waiting_runs - waiting_runs))


def unsettled(etag: str) -> str:
    """What stands for an etag between the tick that asks for its run and the next one: the etag of no source."""
    return f"?{etag}"


def settled(asked: Mapping[str, str], known: Mapping[str, str | None]) -> Mapping[str, str]:
    """The etags to be registered, by recording, of what the last tick asked for.

    Where the etag that is known is another one, a tick that died has already asked for a later version.
    """
    return {uuid: etag for uuid, etag in asked.items() if known.get(uuid) == unsettled(etag)}


def run_key(source: SourceObject) -> str:
    """A key of the recording and the version of its source.

    The time of change belongs to it: content that comes back after another one is a new version with an old etag.
    """
    version = f"{source.etag}\n{source.modified.isoformat() if source.modified else ''}"
    return f"{source.uuid}:{hashlib.sha256(version.encode()).hexdigest()[:16]}"


def discover(
    pages: Iterable[Listing],
    cursor: str | None,
    known: Callable[[Collection[str]], Mapping[str, str | None]],
    forgotten: Callable[[Collection[str]], Collection[str]],
    in_flight: Collection[str],
    room: int,
) -> Discovery:
    """Choose at most `room` runs from the pages that follow `cursor`, reading no more pages than that takes.

    `known` gives, for each of some recordings that were ever asked for, the etag at that time: an object that still
    has it is never asked for again, whether its run succeeded, failed or goes on. `forgotten` gives those of some
    recordings that were retracted: a sensor does not bring them back. `in_flight` holds the recordings with a run that
    has not ended. Where there is no room for all of a page, the next tick begins with that page.
    """
    if room <= 0:
        return Discovery((), State(cursor), (), 0, "Enough runs are waiting; nothing was looked for.")
    requests: list[Request] = []
    receipts: list[str] = []
    problems: list[str] = []
    deferred = seen = 0
    busy = set(in_flight)
    for page in pages:
        choice = _choose(page, known, forgotten, busy, room - len(requests))
        requests += choice.requests
        busy.update(request.source.uuid for request in choice.requests)
        receipts += choice.receipts
        problems += choice.problems
        deferred += choice.deferred
        seen += len(page.objects)
        if choice.is_whole:
            cursor = page.cursor
        if not choice.is_whole or len(requests) == room:
            break
    asked = {request.source.uuid: request.source.etag for request in requests}
    summary = f"{seen} sources looked at, {len(requests)} new or changed, {deferred} changed while a run goes on."
    return Discovery(tuple(requests), State(cursor, asked, tuple(receipts)), tuple(problems), deferred, summary)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What becomes of one page."""

    requests: Sequence[Request]
    receipts: Collection[str]
    problems: Sequence[str]
    deferred: int
    #: Whether there was room for all of it.
    is_whole: bool


def _choose(
    page: Listing,
    known: Callable[[Collection[str]], Mapping[str, str | None]],
    forgotten: Callable[[Collection[str]], Collection[str]],
    busy: Collection[str],
    room: int,
) -> _Choice:
    newest, problems = _one_per_recording(page.objects)
    etags = known([found.uuid for found in newest])
    changed = [found for found in newest if found.uuid not in etags or etags[found.uuid] != found.etag]
    retracted = forgotten([found.uuid for found in changed]) if changed else ()
    changed = [found for found in changed if found.uuid not in retracted]
    deferred = [found for found in changed if found.uuid in busy]
    ready = [found for found in changed if found.uuid not in busy]
    left = {found.receipt for found in (*deferred, *ready[room:])}
    return _Choice(
        requests=[Request(found, run_key(found)) for found in ready[:room]],
        receipts={*page.receipts, *(found.receipt for found in page.objects)} - left - {""},
        problems=[*page.problems, *problems],
        deferred=len(deferred),
        is_whole=len(ready) <= room,
    )


def _one_per_recording(objects: Iterable[SourceObject]) -> tuple[Sequence[SourceObject], Sequence[str]]:
    """The newest source of each recording, and a line for each other one."""
    newest: dict[str, SourceObject] = {}
    problems: list[str] = []
    for found in objects:
        other = newest.get(found.uuid)
        first, last = (found, other) if other and _age(other) > _age(found) else (other, found)
        newest[found.uuid] = last
        if first:
            problems.append(
                f"{shown_url(first.uri)!r} is left out: {shown_url(last.uri)!r} is a newer source of {found.uuid}"
            )
    return tuple(newest.values()), problems


def _age(source: SourceObject) -> tuple[float, str]:
    return (source.modified.timestamp() if source.modified else 0.0, source.uri)
