"""The cheapest job that brings a recording up to date."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
import pytest

from transcription_dagster.defs.all_assets import code_versions
from transcription_dagster.defs.jobs import JobChooser
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.settings import load_settings

RECORDING = "00000000-0000-0000-0000-000000000001"
NOTHING: frozenset[str] = frozenset()
TRANSCRIBED = frozenset({"audio", "transcript"})
IMPORTED = frozenset({"transcript"})
ALL_ELSE = frozenset(code_versions(load_settings(refinement="direct"))) - TRANSCRIBED


def job(
    instance: dg.DagsterInstance, existing: Iterable[str], outdated: Iterable[str] = (), *, failed: bool = False,
    refinement: str = "direct",
) -> str | None:  # fmt: skip
    """Return the job for a recording with the assets `made`."""
    instance.add_dynamic_partitions("recordings", [RECORDING])
    for asset in existing:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=RECORDING))
    return JobChooser(instance, load_settings(refinement=refinement)).job(RECORDING, set(outdated), failed=failed)


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (NOTHING, None),
        ({"audio"}, None),
        (IMPORTED, "refine"),
        (TRANSCRIBED, "refine"),
        (IMPORTED | ALL_ELSE - {"insights"}, "rebuild"),
        (TRANSCRIBED | ALL_ELSE - {"captions_vtt", "publication"}, "captions"),
        (TRANSCRIBED | ALL_ELSE - {"embeddings", "publication"}, "reindex"),
        (IMPORTED | ALL_ELSE, "publish"),
        (TRANSCRIBED | ALL_ELSE - {"speakers", "embeddings"}, "reindex"),
    ],
)
def test_missing_assets_are_made_without_a_new_transcription(
    instance: dg.DagsterInstance, existing: frozenset[str], expected: str | None
) -> None:
    assert job(instance, existing) == expected


@pytest.mark.parametrize(
    ("existing", "outdated", "expected"),
    [
        (TRANSCRIBED, {"captions_srt"}, "captions"),
        (TRANSCRIBED, {"embeddings"}, "reindex"),
        (TRANSCRIBED, {"insights", "embeddings"}, "rebuild"),
        (TRANSCRIBED, {"refined_txt", "refined_srt"}, "refine"),
        (TRANSCRIBED, {"speakers"}, "speakers"),
        (TRANSCRIBED, {"transcript", "captions_srt"}, None),
        (IMPORTED, {"captions_srt"}, "captions"),
        # Published by a version that did not distinguish imported transcripts.
        (IMPORTED, {"transcript", "audio"}, "publish"),
    ],
)
def test_stale_assets_are_made_again(
    instance: dg.DagsterInstance, existing: frozenset[str], outdated: set[str], expected: str | None
) -> None:
    assert job(instance, existing | ALL_ELSE, outdated) == expected


@pytest.mark.parametrize(("existing", "expected"), [(TRANSCRIBED, None), (IMPORTED, "refine")])
def test_a_failed_recording_restarts_at_the_audio_unless_imported(
    instance: dg.DagsterInstance, existing: frozenset[str], expected: str | None
) -> None:
    assert job(instance, existing | ALL_ELSE, failed=True) == expected


def test_in_batch_mode_a_stale_refinement_is_requested_again(instance: dg.DagsterInstance) -> None:
    assert job(instance, TRANSCRIBED | ALL_ELSE, {"refined_txt"}, refinement="batch") == "refine"
    assert job(instance, (), {"captions_vtt"}, refinement="batch") == "captions"


def run_failing_at(instance: dg.DagsterInstance, broken: str, *, settings_of_transcript: str | None = None) -> None:
    """Run a chain of five assets of the graph, of which `broken` fails."""
    version = code_versions(load_settings(model=settings_of_transcript or "medium"))["transcript"]

    def asset(name: str, after: list[str]) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=after, partitions_def=recordings, code_version=version)
        def body() -> None:
            if name == broken:
                raise dg.Failure("no", allow_retries=False)

        return body

    chain = ["audio", "transcript", "refined_txt", "embeddings", "publication"]
    assets = [asset(name, chain[position - 1 : position]) for position, name in enumerate(chain)]
    dg.materialize(assets, partition_key=RECORDING, instance=instance, raise_on_error=False)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ("audio", None),
        ("transcript", None),
        ("refined_txt", "refine"),
        ("embeddings", "reindex"),
        ("publication", "publish"),
    ],
)
def test_a_failed_recording_continues_at_what_failed(
    instance: dg.DagsterInstance, broken: str, expected: str | None
) -> None:
    made = ALL_ELSE | TRANSCRIBED
    assert job(instance, made) == "publish"
    run_failing_at(instance, broken)
    assert JobChooser(instance, load_settings(refinement="direct")).job(RECORDING, failed=True) == expected


def test_a_failed_recording_with_a_transcript_by_another_model_is_transcribed_again(
    instance: dg.DagsterInstance,
) -> None:
    job(instance, ALL_ELSE | TRANSCRIBED)
    run_failing_at(instance, "refined_txt", settings_of_transcript="base")
    assert JobChooser(instance, load_settings(refinement="direct")).job(RECORDING, failed=True) is None
