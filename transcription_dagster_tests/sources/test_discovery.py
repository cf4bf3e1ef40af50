"""A sensor requests each version of each source once, even after crashes, and never more than there is room for."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.database.recordings import RegisteredSource
from transcription_dagster.sources.base import Listing, SourceObject
from transcription_dagster.sources.discovery import (
    Discovery,
    DiscoveryState,
    WantedRun,
    capacity_for,
    confirmed,
    discover,
    pending_etag,
    wanted_run,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def source(number: int, etag: str = "a", *, minutes: int = 0, suffix: str = "mp3", receipt: str = "") -> SourceObject:
    key = str(uuid.UUID(int=number))
    modified = NOON + timedelta(minutes=minutes)
    return SourceObject(key, f"s3://b/{key}.{suffix}", 9, etag, modified, receipt)


def listing(*objects: SourceObject, cursor: str | None = None, **more: tuple[str, ...]) -> Listing:
    return Listing(objects, cursor, exhausted=cursor is None, **more)


def ids(*numbers: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in numbers]


def registered(discovery: SourceObject, etag: str | None, at: int = 0) -> RegisteredSource:
    """Return the registration of a source, made `at` minutes after noon."""
    return RegisteredSource(discovery.uri, etag, discovery.modified, NOON + timedelta(minutes=at))


def run(
    *pages: Listing,
    cursor: str | None = None,
    known: Mapping[str, RegisteredSource | str | None] | None = None,
    forgotten: Collection[str] = (),
    in_flight: Collection[str] = (),
    room: int = 100,
) -> Discovery:
    sources = {
        key: previous if isinstance(previous, RegisteredSource) else registered(source(uuid.UUID(key).int), previous)
        for key, previous in (known or {}).items()
    }

    def lookup(uuids: Collection[str]) -> Mapping[str, RegisteredSource]:
        return {key: previous for key, previous in sources.items() if key in uuids}

    return discover(iter(pages), cursor, lookup, lambda uuids: {*uuids} & {*forgotten}, in_flight, room)


def requested(discovery: Discovery) -> list[str]:
    return [request.source.uuid for request in discovery.requests]


def test_new_objects_are_requested() -> None:
    discovery = run(listing(source(1), source(2)))
    assert requested(discovery) == ids(1, 2)
    assert discovery.state == DiscoveryState(None, {ids(1)[0]: "a", ids(2)[0]: "a"})
    assert "2 sources listed, 2 new or changed" in discovery.summary


def test_requested_objects_are_not_requested_again_unless_changed() -> None:
    known = {ids(1)[0]: "a", ids(2)[0]: "old", ids(3)[0]: None}
    assert requested(run(listing(source(1), source(2), source(3)), known=known)) == ids(2, 3)


def test_a_source_without_an_etag_is_requested_once() -> None:
    assert requested(run(listing(source(1, "")))) == ids(1)
    assert requested(run(listing(source(1, "")), known={ids(1)[0]: ""})) == []


def test_a_change_waits_for_the_run_on_the_old_content() -> None:
    known = {ids(1)[0]: "old"}
    discovery = run(listing(source(1, receipt="r1"), source(2, receipt="r2")), known=known, in_flight=ids(1))
    assert requested(discovery) == ids(2)
    assert discovery.deferred == 1
    assert discovery.state.receipts == ("r2",)
    assert discovery.state.cursor is None


def test_an_unchanged_source_in_flight_is_settled() -> None:
    discovery = run(listing(source(1, receipt="r1")), known={ids(1)[0]: "a"}, in_flight=ids(1))
    assert (requested(discovery), discovery.deferred, discovery.state.receipts) == ([], 0, ("r1",))


def test_requests_are_limited_and_the_page_is_read_again() -> None:
    pages = [listing(source(1), source(2), cursor="second"), listing(source(3), source(4), cursor="third")]
    discovery = run(*pages, cursor="first", room=3)
    assert requested(discovery) == ids(1, 2, 3)
    assert discovery.state.cursor == "second"
    assert run(*pages, cursor="first", room=1).state.cursor == "first"


def test_no_page_is_read_beyond_the_room() -> None:
    def pages() -> Iterator[Listing]:
        yield listing(source(1), cursor="second")
        raise AssertionError("a second page was read")

    discovery = discover(pages(), None, lambda uuids: {}, lambda uuids: (), (), 1)
    assert requested(discovery) == ids(1)
    assert discovery.state.cursor == "second"


def test_without_room_nothing_is_read() -> None:
    def pages() -> Iterator[Listing]:
        raise AssertionError("a page was read")
        yield

    discovery = discover(pages(), "here", lambda uuids: {}, lambda uuids: (), (), 0)
    assert discovery.requests == ()
    assert discovery.state == DiscoveryState("here")
    assert discovery.summary == "Enough runs are waiting; the source was not listed."


@pytest.mark.parametrize(("waiting", "room"), [(0, 50), (150, 50), (170, 30), (200, 0), (900, 0)])
def test_room_is_limited_by_the_queue(waiting: int, room: int) -> None:
    assert capacity_for(waiting, requests_per_tick=50, max_waiting_runs=200) == room


def test_of_several_sources_of_a_recording_the_newest_counts() -> None:
    old, new = source(1, "a", suffix="wav"), source(1, "b", minutes=1)
    for objects in ((old, new), (new, old)):
        discovery = run(listing(*objects))
        assert [request.source for request in discovery.requests] == [new]
        assert discovery.problems == (f"'{old.uri}' is left out: '{new.uri}' is a newer source of {new.uuid}",)


def test_an_older_source_of_a_registered_recording_is_left_out() -> None:
    """On different pages, two sources of a recording would otherwise replace each other for ever."""
    old, new = source(1, "a", suffix="wav", receipt="r1"), source(1, "b", minutes=1)
    discovery = run(listing(old), known={new.uuid: registered(new, "b")})
    assert (requested(discovery), discovery.state.receipts) == ([], ("r1",))
    assert discovery.problems == (f"'{old.uri}' is left out: '{new.uri}' is a newer source of {new.uuid}",)
    assert requested(run(listing(replace(old, modified=None)), known={new.uuid: registered(new, "b")})) == []
    assert requested(run(listing(new), known={new.uuid: registered(old, "a")})) == ids(1)


def test_an_older_version_at_the_same_place_is_requested() -> None:
    newer = source(1, "b", minutes=1)
    assert requested(run(listing(source(1, "a")), known={newer.uuid: registered(newer, "b")})) == ids(1)


def test_a_second_version_within_a_tick_waits_for_the_next() -> None:
    discovery = run(listing(source(1, "a", receipt="r1"), cursor="2"), listing(source(1, "b", minutes=1, receipt="r2")))
    assert [request.source.etag for request in discovery.requests] == ["a"]
    assert (discovery.deferred, discovery.state.receipts) == (1, ("r1",))


def test_messages_are_acknowledged_after_all_their_objects() -> None:
    messages = listing(
        source(1, receipt="r1"), source(2, receipt="r1"), source(3, receipt="r3"), receipts=("test event",)
    )
    assert set(run(messages).state.receipts) == {"r1", "r3", "test event"}
    assert set(run(messages, room=1).state.receipts) == {"test event"}
    known = {ids(2)[0]: "old"}
    assert set(run(messages, known=known, in_flight=ids(2)).state.receipts) == {"r3", "test event"}


def test_problems_of_every_page_are_reported() -> None:
    discovery = run(listing(problems=("one",), cursor="2"), listing(problems=("two",)))
    assert discovery.problems == ("one", "two")


def test_a_run_key_identifies_recording_and_version() -> None:
    keys = {
        wanted_run(discovery, None).run_key
        for discovery in (source(1), source(2), source(1, "b"), source(1, minutes=1))
    }
    assert len(keys) == 4
    assert wanted_run(source(1), None).run_key == wanted_run(replace(source(1), receipt="another"), None).run_key
    assert wanted_run(replace(source(1), modified=None), None).run_key.startswith(ids(1)[0] + ":")


def test_a_restored_version_has_a_new_run_key_that_a_repeated_tick_repeats() -> None:
    original = wanted_run(source(1, "a"), None)
    replaced = source(1, "b", minutes=5)
    restored = wanted_run(source(1, "a"), registered(replaced, "b", at=6))
    assert restored.run_key != original.run_key
    repeated = wanted_run(source(1, "a"), registered(source(1, "a"), restored.pending, at=7))
    assert repeated == restored


def test_forgotten_recordings_are_skipped_and_their_messages_acknowledged() -> None:
    discovery = run(listing(source(1, receipt="r1"), source(2, receipt="r2")), forgotten=ids(1), room=1)
    assert requested(discovery) == ids(2)
    assert set(discovery.state.receipts) == {"r1", "r2"}


def test_the_state_round_trips_as_text() -> None:
    state = DiscoveryState("cursor", {"u": "e"}, ("r",))
    assert DiscoveryState.from_text(state.to_text()) == state
    assert DiscoveryState.from_text(None) == DiscoveryState.from_text("") == DiscoveryState()


def test_only_requests_without_a_newer_one_are_confirmed() -> None:
    requested_etags = {"one": "a", "two": "a", "three": "a", "four": ""}
    known = {"one": pending_etag("a", "then"), "two": pending_etag("b", ""), "three": "a", "four": pending_etag("", "")}
    assert confirmed(requested_etags, known) == {"one": "a", "four": ""}


class World:
    """A source, a queue of runs and a sensor that may die at any step of its tick."""

    def __init__(self) -> None:
        self.objects: dict[str, SourceObject] = {}
        self.known: dict[str, RegisteredSource] = {}
        self.stored = DiscoveryState()
        self.clock = 0
        #: How often each version of a recording has appeared.
        self.versions: Counter[tuple[str, str]] = Counter()
        self.runs: dict[str, SourceObject] = {}
        self.unfinished: set[str] = set()

    def publish(self, number: int, etag: str) -> None:
        # Restored content has its old modification time.
        discovery = source(number, etag, minutes=ord(etag))
        if self.objects.get(discovery.uuid) != discovery:
            self.versions[discovery.uuid, etag] += 1
        self.objects[discovery.uuid] = discovery

    def pages(self, cursor: str | None) -> Iterator[Listing]:
        keys = sorted(key for key in self.objects if cursor is None or key > cursor)
        for first in range(0, len(keys), 2):
            page = keys[first : first + 2]
            is_last = first + 2 >= len(keys)
            yield Listing(tuple(self.objects[key] for key in page), None if is_last else page[-1], is_last)
        if not keys:
            yield Listing((), None, exhausted=True)

    def lookup(self, uuids: Collection[str]) -> Mapping[str, RegisteredSource]:
        return {key: self.known[key] for key in uuids if key in self.known}

    def register(self, request: WantedRun) -> None:
        """Register as the database does: what is unchanged keeps its time."""
        before = self.known.get(request.source.uuid)
        self.clock += 1
        after = registered(request.source, request.pending, self.clock)
        if before is None or replace(before, registered=after.registered) != after:
            self.known[request.source.uuid] = after

    def tick(self, room: int, dies_after: Callable[[str], bool] = lambda step: False) -> int:
        for key, etag in confirmed(
            self.stored.asked, {key: previous.etag for key, previous in self.known.items()}
        ).items():
            self.known[key] = replace(self.known[key], etag=etag)
        if dies_after("confirm"):
            return 0
        discovery = discover(
            self.pages(self.stored.cursor), self.stored.cursor, self.lookup, lambda uuids: (), self.unfinished, room
        )
        assert len(discovery.requests) <= room
        for request in discovery.requests:
            self.register(request)
        if dies_after("register"):
            return 0
        for request in discovery.requests:
            if request.run_key not in self.runs:
                self.runs[request.run_key] = request.source
                self.unfinished.add(request.source.uuid)
            if dies_after("one request"):
                return 0
        self.stored = DiscoveryState.from_text(discovery.state.to_text())
        return len(discovery.requests)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 6), st.sampled_from("ab")),
        st.tuples(st.just("tick"), st.integers(0, 3), st.sampled_from(["", "confirm", "register", "one request"])),
        st.tuples(st.just("finish"), st.integers(1, 6), st.just("")),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(EVENTS)
def test_each_latest_version_gets_exactly_one_run(events: list[tuple[str, int, str]]) -> None:
    world = World()
    for kind, number, detail in events:
        if kind == "put":
            world.publish(number, detail)
        elif kind == "tick":
            world.tick(number, lambda step, last=detail: step == last)
        else:
            world.unfinished.discard(ids(number)[0])
    for _ in range(50):
        world.tick(2)
        world.unfinished.clear()
    assert world.tick(100) == 0
    last = {run.uuid: run for run in world.runs.values()}
    assert {key: discovery.etag for key, discovery in last.items()} == {key: o.etag for key, o in world.objects.items()}
    assert Counter((run.uuid, run.etag) for run in world.runs.values()) <= world.versions
