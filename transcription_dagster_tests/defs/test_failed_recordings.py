"""The sensor that records failures, with real failing runs."""

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRun
from sqlalchemy import Engine

from transcription_dagster.dagster_api.values import WILL_RETRY_TAG
from transcription_dagster.database.recordings import Recording, failed, register
from transcription_dagster.database.tables import RecordingRow
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.sensors import failed_recordings
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.settings import load_settings

RECORDING = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def registered(at_home: object, engine: Engine, instance: dg.DagsterInstance) -> None:
    register(engine, [Recording(RECORDING, "/a.wav")])
    instance.add_dynamic_partitions("recordings", [RECORDING])


def run(instance: dg.DagsterInstance, problem: Exception | None) -> dg.ExecuteInProcessResult:
    @dg.asset(partitions_def=recordings, name="publication")
    def publication() -> None:
        with reported_failures():
            if problem:
                raise problem

    return dg.materialize([publication], partition_key=RECORDING, instance=instance, raise_on_error=False)


def tick(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> object:
    [failure] = [event for event in result.all_events if event.is_failure and not event.is_step_event]
    record = instance.get_run_by_id(result.run_id)
    assert isinstance(record, DagsterRun)
    context = dg.build_run_status_sensor_context(
        "failed_recordings", failure, instance, record, resources=all_resources(load_settings())
    )
    with context:
        return failed_recordings(context.for_run_failure())


def reason(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return connection.execute(RecordingRow.__table__.select()).one().error


@pytest.mark.usefixtures("registered")
def test_a_failure_is_recorded_with_the_programs_own_reason(engine: Engine, instance: dg.DagsterInstance) -> None:
    tick(instance, run(instance, UnusableAudio("there is no sound in it\nffmpeg says so")))
    assert [recording.uuid for recording in failed(engine)] == [RECORDING]
    assert reason(engine) == "there is no sound in it"


@pytest.mark.usefixtures("registered")
def test_an_unexpected_failure_is_recorded_with_its_cause(engine: Engine, instance: dg.DagsterInstance) -> None:
    tick(instance, run(instance, ZeroDivisionError("division by zero")))
    assert reason(engine) == "ZeroDivisionError: division by zero"


@pytest.mark.usefixtures("registered")
def test_a_publication_after_the_failure_clears_it(engine: Engine, instance: dg.DagsterInstance) -> None:
    failure = run(instance, UnusableAudio())
    assert run(instance, None).success
    assert isinstance(tick(instance, failure), dg.SkipReason)
    assert failed(engine) == []


@pytest.mark.usefixtures("registered")
def test_a_failure_that_dagster_retries_is_not_recorded(engine: Engine, instance: dg.DagsterInstance) -> None:
    failure = run(instance, UnusableAudio())
    instance.add_run_tags(failure.run_id, {WILL_RETRY_TAG: "true"})
    assert isinstance(tick(instance, failure), dg.SkipReason)
    assert failed(engine) == []
    instance.add_run_tags(failure.run_id, {WILL_RETRY_TAG: "false"})
    tick(instance, failure)
    assert len(failed(engine)) == 1


@pytest.mark.usefixtures("registered")
def test_a_failure_after_a_publication_counts(engine: Engine, instance: dg.DagsterInstance) -> None:
    assert run(instance, None).success
    tick(instance, run(instance, UnusableAudio()))
    assert len(failed(engine)) == 1


@pytest.mark.usefixtures("at_home")
def test_a_run_without_a_recording_is_ignored(instance: dg.DagsterInstance) -> None:
    @dg.op
    def fail() -> None:
        raise ZeroDivisionError

    @dg.job
    def other() -> None:
        fail()

    result = other.execute_in_process(instance=instance, raise_on_error=False)
    assert isinstance(tick(instance, result), dg.SkipReason)
