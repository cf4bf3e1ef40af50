"""Ticks of the sensors for new recordings, with a real folder, database and Dagster instance."""

import os
import uuid
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from transcription_dagster.database import recordings
from transcription_dagster.definitions import defs
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.sensors import new_recordings
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.directory import SETTLE_SECONDS

IDS = [str(uuid.UUID(int=number)) for number in range(9)]
JOB = defs.resolve_job_def("refine")


@pytest.fixture
def folder(tmp_path: Path, at_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_DIRECTORY", str(folder))
    return folder


def write_source(folder: Path, recording: str, content: str = "sound") -> None:
    path = folder / f"{recording}.wav"
    path.write_text(content)
    settled = path.stat().st_mtime - 2 * SETTLE_SECONDS - len(content)
    os.utime(path, (settled, settled))


class Sensor:
    """The folder's sensor, with a cursor that is stored as in Dagster: only if the tick succeeded."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        [self._sensor] = new_recordings(load_settings())
        self._instance = instance
        self._cursor: str | None = None

    def tick(self, *, is_stored: bool = True) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources=all_resources(load_settings())
        ) as context:
            result = self._sensor(context)
        if isinstance(result, dg.SkipReason):
            return dg.SensorResult(skip_reason=result)
        assert isinstance(result, dg.SensorResult)
        if is_stored:
            self._cursor = result.cursor
            for request in result.dynamic_partitions_requests or ():
                self._instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return result

    def requested(self, *, is_stored: bool = True) -> list[str]:
        return [str(request.partition_key) for request in self.tick(is_stored=is_stored).run_requests or ()]


def skip_message(result: dg.SensorResult) -> str:
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


@pytest.fixture
def sensor(folder: Path, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(instance)


def start_run(instance: dg.DagsterInstance, recording: str, status: dg.DagsterRunStatus) -> None:
    instance.create_run_for_job(JOB, tags={"dagster/partition": recording}, status=status)


def test_a_forgotten_recording_is_not_brought_back_by_its_source(
    folder: Path, sensor: Sensor, instance: dg.DagsterInstance, engine: Engine
) -> None:
    write_source(folder, IDS[1])
    assert sensor.requested() == [IDS[1]]
    recordings.forget(engine, IDS[1])
    instance.delete_dynamic_partition("recordings", IDS[1])
    write_source(folder, IDS[1], "another sound")
    write_source(folder, IDS[2])
    assert sensor.requested() == [IDS[2]]
    assert recordings.find_recording(engine, IDS[1]) is None
    assert instance.get_dynamic_partitions("recordings") == [IDS[2]]


def test_there_is_no_sensor_without_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSCRIPTION_SOURCE_DIRECTORY", raising=False)
    assert new_recordings(load_settings()) == []


def test_a_new_recording_gets_a_partition_and_a_run(sensor: Sensor, folder: Path, instance: dg.DagsterInstance) -> None:
    write_source(folder, IDS[1])
    data = sensor.tick()
    [request] = list(data.run_requests or ())
    assert request.partition_key == IDS[1]
    assert str(request.run_key).startswith(f"{IDS[1]}:")
    assert request.tags["transcription/source"] == "directory"
    assert instance.get_dynamic_partitions("recordings") == [IDS[1]]


def test_a_run_is_requested_once_and_again_when_the_source_changes(sensor: Sensor, folder: Path) -> None:
    write_source(folder, IDS[1])
    assert [sensor.requested() for _ in range(3)] == [[IDS[1]], [], []]
    write_source(folder, IDS[1], "another sound")
    assert [sensor.requested() for _ in range(3)] == [[IDS[1]], [], []]


def test_a_tick_with_a_lost_outcome_repeats_its_run_keys(sensor: Sensor, folder: Path) -> None:
    write_source(folder, IDS[1])
    lost, repeated = sensor.tick(is_stored=False), sensor.tick()
    assert [request.run_key for request in lost.run_requests or ()] == [
        request.run_key for request in repeated.run_requests or ()
    ]
    assert sensor.requested() == []


def test_the_recording_is_registered_with_its_source(sensor: Sensor, folder: Path, engine: Engine) -> None:
    write_source(folder, IDS[1])
    sensor.tick()
    recording = recordings.find_recording(engine, IDS[1])
    assert recording is not None
    assert (recording.source, recording.size) == ((folder / f"{IDS[1]}.wav").as_uri(), 5)


def test_a_failure_before_the_next_tick_is_kept(sensor: Sensor, folder: Path, engine: Engine) -> None:
    write_source(folder, IDS[1])
    sensor.tick()
    recordings.record_failure(engine, IDS[1], "no sound in it")
    assert sensor.requested() == []
    from transcription_dagster.database.recordings import failed

    assert [recording.uuid for recording in failed(engine)] == [IDS[1]]


def test_a_tick_requests_at_most_its_limit(sensor: Sensor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REQUESTS_PER_TICK", "2")
    for recording in IDS[1:6]:
        write_source(folder, recording)
    assert [sensor.requested() for _ in range(4)] == [IDS[1:3], IDS[3:5], IDS[5:6], []]


def test_nothing_is_requested_while_many_runs_wait(
    sensor: Sensor, folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_MAX_WAITING_RUNS", "1")
    start_run(instance, IDS[8], dg.DagsterRunStatus.NOT_STARTED)
    write_source(folder, IDS[1])
    data = sensor.tick()
    assert not data.run_requests
    assert skip_message(data) == "Enough runs are waiting; the source was not listed."


def test_a_changed_recording_waits_for_its_run(sensor: Sensor, folder: Path, instance: dg.DagsterInstance) -> None:
    write_source(folder, IDS[1])
    sensor.tick()
    start_run(instance, IDS[1], dg.DagsterRunStatus.STARTED)
    write_source(folder, IDS[1], "another sound")
    data = sensor.tick()
    assert not data.run_requests
    assert "1 changed during a run" in skip_message(data)


def test_an_unreachable_database_is_reported_and_the_cursor_stays(
    sensor: Sensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(folder, IDS[1])
    with monkeypatch.context() as patch:
        patch.setenv("TRANSCRIPTION_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        data = sensor.tick()
    assert "the database did not answer" in skip_message(data)
    assert sensor.requested() == [IDS[1]]


def test_a_missing_source_fails_the_tick(sensor: Sensor, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(SourceNotFound):
        sensor.tick()
