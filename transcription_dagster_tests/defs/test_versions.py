"""The code version that made an asset of a recording, as opposed to the current one."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.defs.assets.transcription import transcript_code_version
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.versions import version_made
from transcription_dagster.settings import load_settings

RECORDING, OTHER = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
TRANSCRIPT = dg.AssetKey("transcript")


def make(instance: dg.DagsterInstance, recording: str, version: str) -> None:
    @dg.asset(partitions_def=recordings, code_version=version)
    def transcript() -> None: ...

    dg.materialize([transcript], partition_key=recording, instance=instance)


def test_each_recording_has_the_version_that_made_it_last(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("recordings", [RECORDING, OTHER])
    make(instance, RECORDING, "medium")
    make(instance, OTHER, "large")
    assert version_made(instance, TRANSCRIPT, RECORDING) == "medium"
    make(instance, RECORDING, "large")
    assert version_made(instance, TRANSCRIPT, RECORDING) == "large"


def test_assets_without_a_run_have_no_version(instance: dg.DagsterInstance) -> None:
    assert version_made(instance, TRANSCRIPT, RECORDING) is None
    instance.report_runless_asset_event(dg.AssetMaterialization(TRANSCRIPT, partition=RECORDING))
    assert version_made(instance, TRANSCRIPT, RECORDING) is None


def test_a_transcript_is_stale_when_the_engine_changes() -> None:
    assert transcript_code_version(load_settings()) == transcript_code_version(load_settings(engine="openai-whisper"))
    assert transcript_code_version(load_settings()) != transcript_code_version(load_settings(engine="faster-whisper"))
