"""The asset graph, and what importing it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import dagster as dg
import pytest

from transcription_dagster.definitions import defs
from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.jobs import cheapest_job
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.worklist_entries import JOBS

#: Asset: group, what it is made from, checks, and whether a new code version may refresh it.
GRAPH = """
audio: ingest
captions_srt: captions, from conversation, checks well_formed, refreshed
captions_vtt: captions, from conversation, refreshed
conversation: transcription, from speakers transcript, refreshed
corrected_json: correction, from conversation corrections refined_txt, refreshed
corrected_txt: correction, from conversation corrections refined_txt, refreshed
corrections: correction
embeddings: insight, from conversation corrected_txt, checks complete, refreshed
insights: insight, from conversation corrected_txt, refreshed
peaks: reading_room, from audio, refreshed
publication: publication, from captions_srt captions_vtt conversation corrected_json corrected_txt embeddings insights \
peaks reading refined_srt refined_txt refined_vtt transcript_txt, refreshed
reading: reading_room, from conversation refined_txt, refreshed
refined_srt: correction, from conversation corrected_txt, checks well_formed, refreshed
refined_txt: refinement, from conversation, checks faithful, refreshed
refined_vtt: correction, from conversation corrected_txt, refreshed
speakers: transcription, from audio
transcript: transcription, from audio, checks complete plausible
transcript_txt: captions, from conversation, refreshed
"""
#: A check that is a separate step.
CHECK = "refined_txt_faithful"
FROM_CUES = ["captions_srt", "captions_vtt", "embeddings", "refined_srt", "refined_vtt"]
CORRECTED = ["corrected_json", "corrected_txt", "embeddings", "publication", "refined_srt", "refined_vtt"]
CAPTIONS = ["captions_srt", "captions_vtt", "peaks", "reading", *CORRECTED]

#: Prints the code version of each asset, with a version of the caption rules raised.
VERSIONS = """
import json
from transcription_dagster.defs import versions
{raised}
from transcription_dagster.definitions import defs
print(json.dumps({{spec.key.to_user_string(): spec.code_version for spec in defs.resolve_all_asset_specs()}}))
"""

#: Libraries that take seconds to import, and memory in every process.
HEAVY = (
    "torch",
    "whisper",
    "transformers",
    "sentence_transformers",
    "anthropic",
    "boto3",
    "botocore",
    "silero_vad",
    "wordfreq",
)

#: Imports the definitions while any connection raises an error.
IMPORT = f"""
import socket, sys
def refuse(*_, **__):
    raise AssertionError("a connection was opened")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import psycopg
psycopg.Connection.connect = refuse
from transcription_dagster.definitions import defs
defs.get_repository_def()
print(" ".join(sorted(set({HEAVY!r}) & set(sys.modules))))
"""


def repository() -> dg.RepositoryDefinition:
    return defs.get_repository_def()


def line(key: dg.AssetKey) -> str:
    node = repository().asset_graph.get(key)
    parents = " ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
    checks = " ".join(sorted(check.name for check in node.check_keys))
    parts = [node.group_name]
    parts += [f"from {parents}"] if parents else []
    parts += [f"checks {checks}"] if checks else []
    parts += ["refreshed"] if node.automation_condition else []
    return f"{key.to_user_string()}: {', '.join(parts)}"


def test_the_graph_equals_the_snapshot() -> None:
    keys = repository().asset_graph.get_all_asset_keys()
    assert "\n".join(sorted(map(line, keys))) == GRAPH.strip()


def test_every_asset_has_a_description_and_a_code_version() -> None:
    for key in repository().asset_graph.get_all_asset_keys():
        node = repository().asset_graph.get(key)
        assert node.description, key
        assert node.code_version, key
        assert node.kinds, key
        assert node.partitions_def is not None
        assert node.partitions_def.name == "recordings"  # type: ignore[attr-defined]


def test_the_catalogue_shows_the_file_or_table_of_every_asset_and_its_code() -> None:
    for key in repository().asset_graph.get_all_asset_keys():
        metadata = repository().asset_graph.get(key).metadata
        assert "files" in metadata or "dagster/table_name" in metadata, key
        assert "dagster/code_references" in metadata or key == dg.AssetKey("corrections"), key
    publication = repository().asset_graph.get(dg.AssetKey("publication")).metadata
    assert publication["files"] == "recording.json"
    assert publication["dagster/table_name"] == "transcription_data.transcripts"
    columns = {column.name: column.type for column in publication["dagster/column_schema"].columns}
    assert columns["recording"] == "uuid"
    assert columns["text"] == "text"


@pytest.mark.parametrize("asset", ["corrections", "embeddings", "publication"])
def test_the_catalogue_describes_every_column(asset: str) -> None:
    columns = repository().asset_graph.get(dg.AssetKey(asset)).metadata["dagster/column_schema"].columns
    assert [column.name for column in columns if not column.description] == []


def test_the_jobs_select_the_documented_assets() -> None:
    jobs = {job.name: sorted(job.graph.node_dict) for job in repository().get_all_jobs()}
    every = sorted([CHECK, *(key.to_user_string() for key in repository().asset_graph.materializable_asset_keys)])
    made_from_transcript = [name for name in every if name not in ("audio", "transcript", "speakers")]
    assert jobs == {
        "__ASSET_JOB": every,
        "transcribe_recordings": every,
        "refine": made_from_transcript,
        "rebuild": [name for name in made_from_transcript if name not in ("refined_txt", CHECK)],
        "captions": sorted([*CAPTIONS, "transcript_txt"]),
        "reindex": ["corrected_json", "corrected_txt", "embeddings", "publication"],
        "publish": ["corrected_json", "corrected_txt", "publication"],
        "apply_corrections": CORRECTED,
        "tell_speakers_apart": [name for name in every if name not in ("audio", "transcript")],
    }


def test_worklists_know_every_job_of_recordings() -> None:
    assert set(JOBS.values()) | {"apply_corrections"} == {job.name for job in repository().get_all_jobs()} - {
        "__ASSET_JOB"
    }


@pytest.mark.parametrize(
    ("outdated", "job"),
    [
        ([], "publish"),
        (["embeddings"], "reindex"),
        (["transcript_txt"], "captions"),
        (["captions_srt", "refined_vtt", "embeddings"], "captions"),
        (["insights"], "rebuild"),
        (["insights", "captions_vtt"], "rebuild"),
        (["refined_txt"], "refine"),
        (["speakers"], "speakers"),
        (["audio", "embeddings"], "transcribe"),
    ],
)
def test_the_cheapest_job_that_covers_what_is_outdated_is_chosen(outdated: list[str], job: str) -> None:
    settings = load_settings(refinement="direct")
    assert cheapest_job(outdated, settings, all_assets(settings)) == job


# `test_every_asset_that_cuts_cues_carries_the_version_of_their_rules` finds the same assets by their code.
@pytest.mark.exhaustive
@pytest.mark.slow
def test_what_is_made_from_the_cue_rules_becomes_stale_together() -> None:
    versions = {}
    for raised in ("versions.CUES_VERSION = 'next'", "versions.CORRECTED_CUES_VERSION = 'next'", "pass"):
        program = VERSIONS.format(raised=raised)
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        versions[raised] = json.loads(result.stdout)
    present = versions.pop("pass")
    changed = [
        sorted(name for name in present if changed_versions[name] != present[name])
        for changed_versions in versions.values()
    ]
    assert changed == [FROM_CUES, [name for name in FROM_CUES if not name.startswith("captions")]]


def test_every_asset_that_cuts_cues_carries_the_version_of_their_rules() -> None:
    cutting = {
        key.to_user_string()
        for key in repository().asset_graph.materializable_asset_keys
        if "make_cues" in names_in(defs.resolve_assets_def(key))
    }
    assert sorted(cutting) == FROM_CUES


def names_in(asset: dg.AssetsDefinition) -> set[str]:
    """Return the global names used by an asset's function, and those that its module's functions use for it."""
    return names_of(asset.op.compute_fn.decorated_fn)  # type: ignore[union-attr]


def names_of(function: FunctionType) -> set[str]:
    used = [function.__globals__.get(name) for name in function.__code__.co_names]
    helpers = [
        helper for helper in used if isinstance(helper, FunctionType) and helper.__module__ == function.__module__
    ]
    return set(function.__code__.co_names).union(*map(names_of, helpers))


@pytest.mark.parametrize("job", sorted(JOBS.values()))
def test_every_job_can_be_backfilled(job: str) -> None:
    definition = defs.resolve_job_def(job)
    assert definition.partitions_def == defs.resolve_assets_def("audio").partitions_def
    assert definition.description


def test_every_check_is_kept_for_each_recording() -> None:
    graph = repository().asset_graph
    partitions = [graph.get(key).partitions_def for key in graph.asset_check_keys]
    assert partitions == [graph.get(dg.AssetKey("audio")).partitions_def] * 6


def test_without_a_source_only_failures_are_watched() -> None:
    status = {sensor.name: sensor.default_status for sensor in repository().sensor_defs}
    assert status == {
        "failed_recordings": dg.DefaultSensorStatus.RUNNING,
        "corrected_recordings": dg.DefaultSensorStatus.RUNNING,
        "submitted_recordings": dg.DefaultSensorStatus.RUNNING,
        "refresh_stale": dg.DefaultSensorStatus.STOPPED,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "REFINEMENT": "batch",
            "SOURCE_DIRECTORY": "/srv/incoming",
            "SOURCE_S3": "s3://bucket/prefix",
            "SOURCE_SQS": "https://sqs.eu-west-1.amazonaws.com/123456789012/recordings",
            "IB_URL_TEMPLATE": "https://ib.example.org/{uuid}",
            "IB_LIST_URL": "https://ib.example.org/list",
        },
    ],
    ids=["by default", "with everything"],
)
def test_importing_the_definitions_loads_nothing_heavy_and_connects_to_nothing(
    settings: dict[str, str], tmp_path: Path
) -> None:
    environment = os.environ | {f"TRANSCRIPTION_{name}": value for name, value in settings.items()}
    environment["TRANSCRIPTION_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    result = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


def test_descriptions_of_sensors_contain_no_markdown() -> None:
    # Dagster's page of a sensor shows it as it is written.
    assert [sensor.name for sensor in repository().sensor_defs if "`" in (sensor.description or "")] == []
