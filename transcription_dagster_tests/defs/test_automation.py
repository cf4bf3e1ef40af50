"""What a new code version requests, on a graph with the real assets' automation conditions."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import pytest

from transcription_dagster.definitions import defs
from transcription_dagster.defs.versions import refresh_stale

pytestmark = pytest.mark.slow

RECORDING = "00000000-0000-0000-0000-000000000001"
FRESH = "00000000-0000-0000-0000-000000000002"

CAPTIONS = {"captions_srt", "captions_vtt", "publication"}
REFINED = {
    *("refined_txt", "reading", "corrected_txt", "corrected_json", "refined_srt", "refined_vtt"),
    *("embeddings", "insights", "publication"),
}


def with_versions(versions: Mapping[str, str]) -> dg.Definitions:
    """Return the program's assets, some with another code version."""
    specs = [
        spec.replace_attributes(code_version=versions.get(spec.key.to_user_string(), spec.code_version))
        for spec in defs.resolve_all_asset_specs()
    ]

    def asset(spec: dg.AssetSpec) -> dg.AssetsDefinition:
        @dg.multi_asset(name=spec.key.to_python_identifier(), specs=[spec])
        def body() -> None: ...

        return body

    return dg.Definitions([asset(spec) for spec in specs])


class Automation:
    """The automation, from one version of the program to the next."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor = None

    def requested(self, **versions: str) -> set[tuple[str, str]]:
        """Evaluate with these code versions; return the requested assets with their recordings."""
        result = dg.evaluate_automation_conditions(with_versions(versions), self._instance, cursor=self._cursor)
        self._cursor = result.cursor
        return {
            (evaluation.key.to_user_string(), partition)
            for evaluation in result.results
            for partition in evaluation.true_subset.expensively_compute_partition_keys()
        }


@pytest.fixture
def automation(instance: dg.DagsterInstance) -> Automation:
    """Return an automation that has seen one recording with all assets and one without any."""
    instance.add_dynamic_partitions("recordings", [RECORDING, FRESH])
    for spec in defs.resolve_all_asset_specs():
        instance.report_runless_asset_event(dg.AssetMaterialization(spec.key, partition=RECORDING))
    automation = Automation(instance)
    assert automation.requested() == set()
    return automation


def test_nothing_is_requested_while_nothing_changes(automation: Automation) -> None:
    assert automation.requested() == set()


def test_new_caption_rules_refresh_captions_and_publication_only(automation: Automation) -> None:
    requested = automation.requested(captions_srt="next", captions_vtt="next")
    assert requested == {(asset, RECORDING) for asset in CAPTIONS}
    assert automation.requested(captions_srt="next", captions_vtt="next") == set()


def test_a_new_refinement_refreshes_everything_made_from_it(automation: Automation) -> None:
    assert automation.requested(refined_txt="next") == {(asset, RECORDING) for asset in REFINED}


def test_a_new_embedding_model_refreshes_embeddings_and_publication(automation: Automation) -> None:
    assert {asset for asset, _ in automation.requested(embeddings="next")} == {"embeddings", "publication"}


def test_a_new_transcription_refreshes_nothing(automation: Automation) -> None:
    assert automation.requested(transcript="next", audio="next") == set()


def test_automation_is_off_by_default() -> None:
    assert refresh_stale.default_status is dg.DefaultSensorStatus.STOPPED


def test_recordings_of_earlier_versions_get_the_corrected_text(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("recordings", [RECORDING, FRESH])
    for spec in defs.resolve_all_asset_specs():
        if spec.key.to_user_string() not in ("corrected_txt", "corrected_json", "corrections"):
            instance.report_runless_asset_event(dg.AssetMaterialization(spec.key, partition=RECORDING))
    requested = Automation(instance).requested()
    assert {("corrected_txt", RECORDING), ("corrected_json", RECORDING)} <= requested
    assert {recording for _, recording in requested} == {RECORDING}
