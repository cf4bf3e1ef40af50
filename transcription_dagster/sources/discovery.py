"""Decide which runs a sensor requests, from pages of a source and the known state. Pure.

A tick takes these steps, so that a crash between any two loses nothing and requests nothing twice:

1. register the etags that the last tick left pending (`confirmed`) and acknowledge its messages
   (`DiscoveryState.receipts`): its stored state proves that Dagster accepted its requests;
2. choose the runs to request (`discover`) and register their sources with pending etags (`WantedRun.pending`);
3. return the requests to Dagster together with the new `DiscoveryState`.

A crash before step 3 leaves the old state and pending etags, so the next tick requests the same runs under the same run
keys, and Dagster skips those it has seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transcription_dagster.database.recordings import RegisteredSource
from transcription_dagster.sources.base import Listing, SourceObject
from transcription_dagster.urls import shown_url


@dataclass(frozen=True, slots=True)
class WantedRun:
    """A run to request."""

    source: SourceObject
    #: Identifies one version of a source.
    run_key: str
    #: The etag to register before the run is requested (`pending_etag`).
    pending: str


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


_PENDING = re.compile(r"\?(?P<replaced>[^?]*)\?(?P<etag>.*)\Z", re.DOTALL)


def pending_etag(etag: str, replaced: str) -> str:
    """Return the pending form of an etag, which no source uses; the next tick replaces it if the run was requested.

    `replaced` is the time of the registration that this version replaces, or empty.
    """
    return f"?{replaced}?{etag}"


def confirmed(requested: Mapping[str, str], known: Mapping[str, str | None]) -> Mapping[str, str]:
    """Return, by recording, the etags of the last tick's requests that are not registered yet.

    If another etag is known, a tick that died has already requested a later version.
    """
    return {uuid: etag for uuid, etag in requested.items() if _replaced_by_pending(known.get(uuid), etag) is not None}


def wanted_run(source: SourceObject, registered: RegisteredSource | None) -> WantedRun:
    """Return the run for a version of a source, given the recording's registration.

    The run key contains the time of the registration that this version replaces: content that is restored with its old
    etag and modification time is a new version, and Dagster skips run keys that it has seen. A tick that repeats one
    that died finds that time in the pending etag.
    """
    replaced = _replaced_by_pending(registered.etag, source.etag) if registered else ""
    if replaced is None and registered:
        replaced = registered.registered.isoformat()
    version = f"{source.etag}\n{source.modified.isoformat() if source.modified else ''}\n{replaced}"
    run_key = f"{source.uuid}:{hashlib.sha256(version.encode()).hexdigest()[:16]}"
    return WantedRun(source, run_key, pending_etag(source.etag, replaced or ""))


def _replaced_by_pending(known: str | None, etag: str) -> str | None:
    """Return what the pending form of `etag` replaces; None if `known` is something else."""
    match = _PENDING.match(known or "")
    return match["replaced"] if match and match["etag"] == etag else None


def discover(
    pages: Iterable[Listing],
    cursor: str | None,
    known: Callable[[Collection[str]], Mapping[str, RegisteredSource]],
    forgotten: Callable[[Collection[str]], Collection[str]],
    in_flight: Collection[str],
    max_requests: int,
) -> Discovery:
    """Choose at most `max_requests` runs from the pages after `cursor`, reading no more pages than needed.

    `known` returns the sources with which the given recordings were last requested; an unchanged object is never
    requested again, whatever its run's outcome, and neither is an older source of the same recording. `forgotten`
    returns which of the given recordings were forgotten; a sensor never brings them back. `in_flight` holds the
    recordings with an unfinished run. If a page does not fit into `max_requests`, the next tick starts with that page.
    """
    if max_requests <= 0:
        return Discovery((), DiscoveryState(cursor), (), 0, "Enough runs are waiting; the source was not listed.")
    requests: list[WantedRun] = []
    receipts: list[str] = []
    problems: list[str] = []
    deferred = listed = 0
    busy = set(in_flight)
    for page in pages:
        choice = _choose(page, known, forgotten, busy, max_requests - len(requests))
        requests += choice.requests
        busy.update(request.source.uuid for request in choice.requests)
        receipts += choice.receipts
        problems += choice.problems
        deferred += choice.deferred
        listed += len(page.objects)
        if choice.is_whole:
            cursor = page.cursor
        if not choice.is_whole or len(requests) == max_requests:
            break
    requested = {request.source.uuid: request.source.etag for request in requests}
    summary = f"{listed} sources listed, {len(requests)} new or changed, {deferred} changed during a run."
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
    known: Callable[[Collection[str]], Mapping[str, RegisteredSource]],
    forgotten: Callable[[Collection[str]], Collection[str]],
    busy: Collection[str],
    max_requests: int,
) -> _Choice:
    newest, problems = _one_per_recording(page.objects)
    registered = known([source.uuid for source in newest])
    changed = [
        source for source in newest if source.uuid not in registered or registered[source.uuid].etag != source.etag
    ]
    older = [source for source in changed if _is_older(source, registered.get(source.uuid))]
    problems = [*problems, *(_left_out(source, registered[source.uuid].source) for source in older)]
    changed = [source for source in changed if source not in older]
    skipped = forgotten([source.uuid for source in changed]) if changed else ()
    changed = [source for source in changed if source.uuid not in skipped]
    deferred = [source for source in changed if source.uuid in busy]
    ready = [source for source in changed if source.uuid not in busy]
    not_handled = {source.receipt for source in (*deferred, *ready[max_requests:])}
    return _Choice(
        requests=[wanted_run(source, registered.get(source.uuid)) for source in ready[:max_requests]],
        receipts={*page.receipts, *(source.receipt for source in page.objects)} - not_handled - {""},
        problems=[*page.problems, *problems],
        deferred=len(deferred),
        is_whole=len(ready) <= max_requests,
    )


def _one_per_recording(objects: Iterable[SourceObject]) -> tuple[Sequence[SourceObject], Sequence[str]]:
    """Return the newest source of each recording, and a line for each older one."""
    newest: dict[str, SourceObject] = {}
    problems: list[str] = []
    for source in objects:
        other = newest.get(source.uuid)
        older, newer = (source, other) if other and _age(other) > _age(source) else (other, source)
        newest[source.uuid] = newer
        if older:
            problems.append(_left_out(older, shown_url(newer.uri)))
    return tuple(newest.values()), problems


def _left_out(source: SourceObject, newer: str) -> str:
    return f"{shown_url(source.uri)!r} is left out: {newer!r} is a newer source of {source.uuid}"


def _is_older(source: SourceObject, registered: RegisteredSource | None) -> bool:
    """Return whether the recording is registered with a newer source at another place.

    Otherwise two sources of a recording on different pages would replace each other at every listing.
    """
    if registered is None or registered.modified is None or registered.source == shown_url(source.uri):
        return False
    return _age(source) < (registered.modified.timestamp(), registered.source)


def _age(source: SourceObject) -> tuple[float, str]:
    return (source.modified.timestamp() if source.modified else 0.0, shown_url(source.uri))
