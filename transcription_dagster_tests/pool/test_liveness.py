"""Liveness of workers, from a series of observations on the test's clock."""

from __future__ import annotations

import os

import pytest

from transcription_dagster.pool.liveness import HANGING_SECONDS, Heartbeat, Identity, LivenessMonitor, this_place

STALE, BEAT = 8.0, 2.0
#: No process has this pid.
NO_PROCESS = 2**22 - 1


class Looks:
    """A monitor, a worker, and a clock."""

    def __init__(
        self,
        *,
        place: str = "elsewhere",
        pid: int | None = 1,
        poll_seconds: float | None = None,
        stale_seconds: float = STALE,
    ) -> None:
        self._now = 1000.0
        self._place, self._pid = place, pid
        self.monitor = LivenessMonitor(
            stale_seconds=stale_seconds, beat_seconds=BEAT, poll_seconds=poll_seconds, clock=lambda: self._now
        )

    def dead(self, beat: str, *, after: float) -> bool:
        """Return whether the worker is dead at an observation this many seconds later."""
        self._now += after
        return self.monitor.observe([Heartbeat("one", beat, self._place, self._pid)]) == {"one"}

    def pass_unobserved(self, seconds: float) -> None:
        """Let time pass, and observe no worker."""
        self._now += seconds
        self.monitor.observe([])

    def seconds_until_dead(self, beat: str = "1") -> float:
        """Observe at every heartbeat interval until the worker is dead."""
        began = self._now
        while not self.dead(beat, after=BEAT):
            assert self._now - began < 10 * HANGING_SECONDS
        return self._now - began


def test_a_worker_without_beats_for_long_enough_is_dead() -> None:
    looks = Looks()
    assert not looks.dead("1", after=0)
    assert [looks.dead("1", after=BEAT) for _ in range(4)] == [False, False, False, True]


def test_a_single_observation_declares_no_worker_dead() -> None:
    assert not Looks().dead("1", after=0)
    assert not Looks(place=this_place(), pid=NO_PROCESS).dead("1", after=0)


def test_a_beating_worker_is_never_declared_dead() -> None:
    looks = Looks()
    assert not any(looks.dead(str(number), after=BEAT) for number in range(100))
    assert looks.monitor.is_beating("one")


def test_a_beat_outweighs_a_missing_process() -> None:
    looks = Looks(place=this_place(), pid=NO_PROCESS)
    assert not any(looks.dead(str(number), after=BEAT) for number in range(100))


def test_a_missing_process_is_dead_after_two_beats_and_a_present_one_when_it_hangs() -> None:
    missing, present, far = (
        Looks(place=this_place(), pid=NO_PROCESS),
        Looks(place=this_place(), pid=os.getpid()),
        Looks(),
    )
    for looks in (missing, present, far):
        looks.dead("1", after=0)
    assert missing.seconds_until_dead() == 2 * BEAT
    assert far.seconds_until_dead() == STALE
    assert present.seconds_until_dead() == HANGING_SECONDS


@pytest.mark.parametrize(
    ("pid", "stale"), [(os.getpid(), 2 * HANGING_SECONDS), (NO_PROCESS, BEAT)], ids=["process", "no process"]
)
def test_the_setting_overrides_what_a_process_on_this_machine_would_be_given(pid: int, stale: float) -> None:
    looks = Looks(place=this_place(), pid=pid, stale_seconds=stale)
    looks.dead("1", after=0)
    assert looks.seconds_until_dead() == stale


def test_a_worker_is_beating_from_its_second_heartbeat_until_it_is_silent_for_long() -> None:
    looks = Looks()
    beating = []
    for beat in ("1", "1", "2", "2", "2", "2", "2"):
        looks.dead(beat, after=BEAT)
        beating.append(looks.monitor.is_beating("one"))
    assert beating == [False, False, True, True, True, True, False]


def test_a_worker_that_is_not_observed_for_an_hour_is_forgotten() -> None:
    looks = Looks()
    for beat in ("1", "2"):
        looks.dead(beat, after=BEAT)
    for seconds, remembered in ((3600.0, True), (1.0, False)):
        looks.pass_unobserved(seconds)
        assert looks.monitor.is_beating("one") is remembered


def test_a_pid_in_another_namespace_is_ignored() -> None:
    looks = Looks(place="another namespace", pid=NO_PROCESS)
    looks.dead("1", after=0)
    assert looks.seconds_until_dead() == STALE


@pytest.mark.parametrize("away", [2 * BEAT + 0.1, 20.0, 3600.0])
def test_after_a_pause_in_observation_live_workers_get_more_time(away: float) -> None:
    """The database was unavailable or the observer was suspended: no worker's heartbeat was seen."""
    looks = Looks()
    looks.dead("1", after=0)
    looks.dead("1", after=BEAT)
    assert not looks.dead("1", after=away)
    assert looks.seconds_until_dead() == 1.5 * STALE


def test_a_slow_observer_waits_longer() -> None:
    looks = Looks(poll_seconds=5)
    assert [looks.dead("1", after=5) for _ in range(3)] == [False, False, True]


def test_observations_two_heartbeats_apart_count_as_continuous() -> None:
    looks = Looks()
    assert [looks.dead("1", after=2 * BEAT) for _ in range(3)] == [False, False, True]


def test_a_worker_that_comes_back_counts_as_new() -> None:
    looks = Looks()
    looks.dead("1", after=0)
    looks.seconds_until_dead()
    assert not looks.dead("2", after=BEAT)
    assert looks.seconds_until_dead("2") == STALE


def test_every_process_has_its_own_identity() -> None:
    first, second = Identity.of_this_process(), Identity.of_this_process()
    assert first.token != second.token
    assert first.place == second.place == this_place()
