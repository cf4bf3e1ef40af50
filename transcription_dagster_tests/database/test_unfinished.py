"""Recordings that still need work."""

import uuid
from typing import Any

import pytest
from sqlalchemy import Engine

from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import (
    Recording,
    failed,
    record_failure,
    register,
    stale,
    unpublished,
    without_embeddings,
)
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks

NEW, DONE, FAILED, SILENT = (str(uuid.UUID(int=number)) for number in range(1, 5))
MODEL = EmbeddingModel("tiny", 2)
VERSIONS = {"transcript": "1", "captions_srt": "1"}


def publication(recording: str, versions: dict[str, str]) -> Publication:
    return Publication(recording, "a", "A.", "en", "medium", 1, 1.0, versions)


@pytest.fixture
def catalogue(engine: Engine) -> Engine:
    """Register four recordings: only registered, published with embeddings, failed, and without words."""
    register(engine, [Recording(key, f"file:///{key}.wav") for key in (NEW, DONE, FAILED, SILENT)])
    publish(engine, publication(DONE, VERSIONS))
    publish(engine, publication(SILENT, VERSIONS))
    replace_chunks(engine, DONE, MODEL, [EmbeddedChunk("a", 0.0, 1.0, [1.0, 0.0])])
    replace_chunks(engine, SILENT, MODEL, [])
    record_failure(engine, FAILED, "no audio stream")
    return engine


def uuids(recordings: list[Recording]) -> set[str]:
    return {recording.uuid for recording in recordings}


def test_a_recording_without_speech_counts_as_embedded(catalogue: Engine) -> None:
    assert uuids(without_embeddings(catalogue)) == {NEW, FAILED}


def test_failed_recordings_are_those_whose_last_attempt_failed(catalogue: Engine) -> None:
    assert uuids(failed(catalogue)) == {FAILED}


def test_missing_recordings_are_neither_published_nor_failed(catalogue: Engine) -> None:
    assert uuids(unpublished(catalogue)) == {NEW}


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (VERSIONS, set()),
        ({"transcript": "1"}, set()),
        ({}, set()),
        (VERSIONS | {"captions_srt": "2"}, {DONE, SILENT}),
        (VERSIONS | {"insights": "1"}, {DONE, SILENT}),
    ],
)
def test_stale_recordings_were_made_by_another_version(
    catalogue: Engine, present: dict[str, Any], expected: set[str]
) -> None:
    assert {recording.uuid for recording, _ in stale(catalogue, present)} == expected


def test_publishing_with_the_new_version_ends_staleness(catalogue: Engine) -> None:
    newer = VERSIONS | {"captions_srt": "2"}
    publish(catalogue, publication(DONE, newer))
    [(recording, assets)] = stale(catalogue, newer)
    assert (recording.uuid, assets) == (SILENT, {"captions_srt"})


def test_a_worklist_contains_what_batch_needs(engine: Engine) -> None:
    recording = Recording(NEW, "s3://b/a.wav", "Title", "en", etag="e1")
    register(engine, [recording])
    assert unpublished(engine) == [recording]
