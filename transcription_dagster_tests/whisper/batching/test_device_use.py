"""Limits on a recording's use of a device."""

from __future__ import annotations

import pytest

from transcription_dagster.errors import TimeLimitExceeded, TranscriptionAborted
from transcription_dagster.whisper.batching.device_use import DeviceUse


def test_a_recording_continues_within_its_limit() -> None:
    use = DeviceUse()
    use.seconds = 1e9
    use.check()


def test_a_recording_ends_at_its_limit() -> None:
    use = DeviceUse(limit=2.0)
    use.seconds = 2.0
    use.check()
    use.seconds = 2.6
    with pytest.raises(TimeLimitExceeded, match="after 3 s"):
        use.check()


def test_a_stopped_recording_ends_before_its_limit() -> None:
    stop: list[bool] = []
    use = DeviceUse(limit=2.0, should_stop=lambda: bool(stop))
    use.check()
    stop.append(True)
    use.seconds = 3.0
    with pytest.raises(TranscriptionAborted):
        use.check()


def test_the_oldest_recording_gets_a_slot_first() -> None:
    uses = [DeviceUse() for _ in range(3)]
    assert sorted(uses, key=lambda use: use.number) == uses
