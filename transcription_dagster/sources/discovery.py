"""Decide which runs a sensor requests, from pages of a source and the known state. Pure.

A tick takes these steps, so that a crash between any two loses nothing and requests nothing twice:

1. register the etags that the last tick left pending (`confirmed`) and acknowledge its messages (`State.receipts`):
   its stored state proves that Dagster accepted its requests;
2. choose the runs to request (`discover`) and register their sources with pending etags (`pending_etag`); 3. return the
requests to Dagster together with the new `State`.

A crash before step 3 leaves the old state and pending etags, so the next tick requests the same runs under the same run
keys, and Dagster skips those it has seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transcription_dagster.sources.base import Listing, SourceObject
from transcription_dagster.urls import shown_url


@dataclass(frozen=True, slots=True)
class WantedRun:
    """A run to request."""

    source: SourceObject
    #: Identifies one version of a source.
    run_key: str


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """The state of a sensor between ticks."""

    #: Where the source's next page begins; None starts at the beginning.
    cursor: str | None = None
    #: UUID to etag, for the runs that the last tick requested.
    asked: Mapping[str, str] = field(default_factory=dict)
    #: Receipts of the messages that the last tick handled.
    receipts: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the state as a sensor cursor."""
        return json.dumps({"cursor": self.cursor, "asked": dict(self.asked), "receipts": self.receipts})

    @classmethod
    def from_text(cls, text: str | None) -> DiscoveryState:
        """Read the state from a sensor cursor; an empty cursor gives the initial state."""
        if not text:
            return cls()
        values = json.loads(text)
        return cls(values["cursor"], values["asked"], tuple(values["receipts"]))


@dataclass(frozen=True, slots=True)
class Discovery:
    """The outcome of a tick."""

    requests: tuple[WantedRun, ...]
    state: DiscoveryState
    #: One line for each skipped source, with the reason.
    problems: tuple[str, ...]
    #: Number of changed sources that wait until the run on their old content ends.
    deferred: int
    #: One line for the tick's log in the UI.
    summary: str


def capacity_for(waiting_runs: int, *, requests_per_tick: int, max_waiting_runs: int) -> int:
    """Return how many runs can be requested now without exceeding `max_waiting_runs`."""
    return max(0, min(requests_per_tick, max_waiting_runs - waiting_runs))


def pending_etag(etag: str) -> str:
    """Return the pending form of an etag, which no source uses; the next tick replaces it if the run was requested."""
    return f"?{etag}"


def confirmed(requested: Mapping[str, str], known: Mapping[str, str | None]) -> Mapping[str, str]:
    """Return, by recording, the etags of the last tick's requests that are not registered yet.

    If another etag is known, a tick that died has already requested a later version.
    """
    return {uuid: etag for uuid, etag in requested.items() if known.get(uuid) == pending_etag(etag)}


def run_key(source: SourceObject) -> str:
    """Return the run key for a recording and the version of its source.

    The key includes the modification time, because restored content is a new version with an old etag.
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
    """Choose at most `room` runs from the pages after `cursor`, reading no more pages than needed.

    `known` returns the etags under which the given recordings were last requested; an unchanged object is never
    requested again, whatever its run's outcome. `forgotten` returns which of the given recordings were retracted; a
    sensor never brings them back. `in_flight` holds the recordings with an unfinished run. If a page does not fit into
    `room`, the next tick starts with that page.
    """
    if room <= 0:
        return Discovery((), DiscoveryState(cursor), (), 0, "Enough runs are waiting; the source was not listed.")
    requests: list[WantedRun] = []
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
    requested = {request.source.uuid: request.source.etag for request in requests}
    summary = f"{seen} sources listed, {len(requests)} new or changed, {deferred} changed during a run."
    return Discovery(
        tuple(requests), DiscoveryState(cursor, requested, tuple(receipts)), tuple(problems), deferred, summary
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """The runs chosen from one page."""

    requests: Sequence[WantedRun]
    receipts: Collection[str]
    problems: Sequence[str]
    deferred: int
    #: Whether the whole page fitted.
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
        requests=[WantedRun(found, run_key(found)) for found in ready[:room]],
        receipts={*page.receipts, *(found.receipt for found in page.objects)} - left - {""},
        problems=[*page.problems, *problems],
        deferred=len(deferred),
        is_whole=len(ready) <= room,
    )


def _one_per_recording(objects: Iterable[SourceObject]) -> tuple[Sequence[SourceObject], Sequence[str]]:
    """Return the newest source of each recording, and a line for each older one."""
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
