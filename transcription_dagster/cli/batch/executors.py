"""Distribute a batch's runs over the pool's executors, all of them or a limited number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from transcription_dagster.errors import StackError
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG, pinned_device
from transcription_dagster.pool.status import PoolStatus

#: Submit twice the executors' capacity, so that Dagster's queue never runs empty between polls.
_AHEAD = 2
#: Seconds after which a missing executor counts as gone and its runs move to another. A restart takes less.
_GONE_SECONDS = 60.0


class ExecutorShare:
    """Distributes runs over a limited number of executors, and keeps those busy.

    If the pool has no more executors than the limit, any executor may take any run. Otherwise each run is pinned to
    the device of a chosen executor. Executors with the same device name, as on several machines, take each other's
    pinned runs, so they are chosen together or not at all.
    """

    def __init__(self, executors: int | None, runs_per_gpu: int) -> None:
        self._executors = executors
        self._runs_per_gpu = runs_per_gpu
        self._chosen: dict[str, int] = {}
        self._in_flight: dict[str, str] = {}
        self._missing_since: dict[str, float] = {}
        self._alive = 0
        self._has_to_choose = False
        self._taken_back: set[str] = set()

    def update(self, pool: PoolStatus, now: float) -> list[str]:
        """Update from the pool at `now` (seconds, monotonic); return the runs to cancel.

        Those are pinned to a device that has had no executor for too long. Raises `StackError` if every device has
        more executors than the limit.
        """
        self._alive = len(pool.alive("gpu"))
        registered = sum(worker.kind == "gpu" for worker in pool.workers)
        self._has_to_choose = self._executors is not None and registered > self._executors
        alive = Counter(pinned_device(worker.device or "") for worker in pool.alive("gpu"))
        gone = self._gone({*self._chosen, *self._in_flight.values()} - {ANY_GPU, *alive}, now)
        if self._executors is not None and self._has_to_choose:
            remaining = {
                device: alive.get(device, count) for device, count in self._chosen.items() if device not in gone
            }
            selected = _choose(alive, remaining, self._executors)
            if not selected and self._chosen:
                # No other device fits: wait for the chosen ones.
                return []
            if not selected and alive:
                raise StackError(_too_many(self._executors, min(alive.values())))
            self._chosen = selected
        else:
            self._chosen = {}
        stranded = [run for run, device in self._in_flight.items() if device in gone and run not in self._taken_back]
        self._taken_back.update(stranded)
        return stranded

    @property
    def limit(self) -> int:
        """Number of runs to keep in flight."""
        if self._has_to_choose and not self._chosen:
            return 0
        executors = sum(self._chosen.values()) or self._alive
        return max(1, self._runs_per_gpu * executors * _AHEAD)

    def tags(self, runs: int) -> list[Mapping[str, str]]:
        """Return the tags of `runs` new runs: each goes to the chosen device with the fewest runs per executor."""
        loads = Counter(self._in_flight.values())
        tags = []
        for _ in range(runs):
            if not self._chosen:
                tags.append({})
                continue
            device = min(self._chosen, key=lambda device: loads[device] / self._chosen[device])
            loads[device] += 1
            tags.append({GPU_TAG: device})
        return tags

    def in_flight(self, runs: Mapping[str, str]) -> None:
        """Set the runs in flight and the device that each is pinned to (`any`: none)."""
        self._in_flight = dict(runs)

    def _gone(self, missing: Iterable[str], now: float) -> set[str]:
        self._missing_since = {device: self._missing_since.get(device, now) for device in missing}
        return {device for device, since in self._missing_since.items() if now - since > _GONE_SECONDS}


def _choose(alive: Mapping[str, int], chosen: Mapping[str, int], executors: int) -> dict[str, int]:
    """Add devices to the chosen ones as long as all their executors fit the limit."""
    selected = dict(chosen)
    for device, count in sorted(alive.items(), key=lambda item: (item[1], item[0])):
        if device not in selected and sum(selected.values()) + count <= executors:
            selected[device] = count
    return selected


def _too_many(executors: int, fewest: int) -> str:
    return (
        f"--threads {executors}: each device has at least {fewest} executors, on several machines, and a run cannot be "
        "pinned to one of them; omit --threads, or increase it"
    )
