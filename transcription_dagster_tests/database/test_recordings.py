"""Recordings: registering, describing again, failures, forgetting, and those that still need work."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database.connection import open_database, transaction
from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import (
    Recording,
    failed,
    find_recording,
    forget,
    forgotten,
    record_failure,
    register,
    registered_sources,
    stale,
    unpublished,
    without_embeddings,
)
from transcription_dagster.errors import DatabaseUnavailable, InvalidRecordingId
from transcription_dagster.model import Term
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks

A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
FULL = Recording(
    uuid=A,
    source="s3://bucket/a.wav",
    title="The 'quoted' title; DROP TABLE",
    language="en",
    vocabulary=(Term("Ålesund", ("Olsen", "All is sunned"), "place", 2.0), Term("ferry")),
    etag="e1",
    size=2**40,
    modified=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
)


def row_version(engine: Engine, key: str) -> str:
    """Return a value that changes with every write of the row, even with the same values."""
    with transaction(engine) as connection:
        statement = text(
            "SELECT xmin || ' ' || ctid || ' ' || updated_at FROM transcription_data.recordings WHERE uuid = :key"
        )
        return connection.execute(statement, {"key": key}).scalar_one()


def test_a_registered_recording_is_found_as_it_was_described(engine: Engine) -> None:
    register(engine, [FULL, Recording(B, "file:///b.wav")])
    assert find_recording(engine, A) == FULL
    assert find_recording(engine, B) == Recording(B, "file:///b.wav")


def test_an_unregistered_recording_is_not_found(engine: Engine) -> None:
    assert find_recording(engine, A) is None


def test_fields_missing_in_a_new_description_are_kept(engine: Engine) -> None:
    register(engine, [FULL])
    register(engine, [Recording(A, FULL.source)])
    assert find_recording(engine, A) == FULL


def test_fields_of_a_new_description_replace_old_ones(engine: Engine) -> None:
    register(engine, [FULL])
    changed = replace(FULL, title="New", language="de", vocabulary=(Term("x"),), etag="e2", size=5)
    register(engine, [changed])
    assert find_recording(engine, A) == changed


def test_one_language_and_a_choice_of_languages_replace_each_other(engine: Engine) -> None:
    register(engine, [FULL])
    register(engine, [Recording(A, FULL.source, languages=("en", "de"))])
    register(engine, [Recording(A, FULL.source)])
    assert find_recording(engine, A) == replace(FULL, language=None, languages=("en", "de"))
    register(engine, [Recording(A, FULL.source, language="fr")])
    assert find_recording(engine, A) == replace(FULL, language="fr", languages=())


def test_a_new_source_clears_the_old_objects_fields(engine: Engine) -> None:
    register(engine, [FULL])
    register(engine, [Recording(A, "file:///other.wav")])
    assert find_recording(engine, A) == replace(FULL, source="file:///other.wav", etag=None, size=None, modified=None)


def test_the_same_description_does_not_touch_the_row(engine: Engine) -> None:
    register(engine, [FULL])
    before = row_version(engine, A)
    register(engine, [FULL])
    register(engine, [Recording(A, FULL.source)])
    assert row_version(engine, A) == before


def test_the_last_of_two_descriptions_in_one_call_wins(engine: Engine) -> None:
    register(engine, [FULL, replace(FULL, title="Last")])
    stored = find_recording(engine, A)
    assert stored is not None
    assert stored.title == "Last"


def test_a_bad_uuid_is_refused_before_anything_is_written(engine: Engine) -> None:
    with pytest.raises(InvalidRecordingId):
        register(engine, [FULL, Recording("../etc", "file:///b.wav")])
    assert find_recording(engine, A) is None


def test_registering_nothing_needs_no_database() -> None:
    nowhere = open_database("postgresql://user@127.0.0.1:1/none")
    register(nowhere, [])
    with pytest.raises(DatabaseUnavailable):
        register(nowhere, [FULL])


def test_ten_thousand_recordings_are_registered_and_known(engine: Engine) -> None:
    many = [
        Recording(str(uuid.UUID(int=number)), f"s3://b/{number}.wav", etag=f"e{number}") for number in range(10_000)
    ]
    register(engine, many)
    uuids = [recording.uuid for recording in many[::2]] + [str(uuid.UUID(int=77_777))]
    stored = registered_sources(engine, uuids)
    assert {key: known.etag for key, known in stored.items()} == {known.uuid: known.etag for known in many[::2]}


def test_registering_the_same_recordings_in_opposite_orders_does_not_deadlock(engine: Engine) -> None:
    many = [Recording(str(uuid.UUID(int=number)), "file:///x.wav") for number in range(2_000)]
    orders = [many, list(reversed(many))] * 2
    changed = [[replace(item, title=str(turn)) for item in order] for turn, order in enumerate(orders)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda order: register(engine, order), changed))
    assert len(registered_sources(engine, [recording.uuid for recording in many])) == 2_000


def test_registered_sources_skip_unknown_recordings(engine: Engine) -> None:
    register(engine, [FULL, Recording(B, "file:///b.wav")])
    stored = registered_sources(engine, [A, B, str(uuid.UUID(int=3))])
    assert {key: (source.source, source.etag, source.modified) for key, source in stored.items()} == {
        A: (FULL.source, FULL.etag, FULL.modified),
        B: ("file:///b.wav", None, None),
    }
    assert registered_sources(engine, []) == {}


def test_forgetting_returns_whether_anything_was_removed(engine: Engine) -> None:
    register(engine, [FULL])
    assert forget(engine, A) is True
    assert find_recording(engine, A) is None
    assert forget(engine, A) is False


def test_a_recording_stays_forgotten_until_it_is_registered_again(engine: Engine) -> None:
    register(engine, [FULL])
    assert forgotten(engine, [A, B]) == set()
    for _ in range(2):
        forget(engine, A)
    assert forgotten(engine, [A, B]) == {A}
    register(engine, [Recording(B, "file:///b.wav")])
    assert forgotten(engine, [A, B]) == {A}
    register(engine, [FULL])
    assert forgotten(engine, [A, B]) == set()


def test_a_failed_recording_is_listed(engine: Engine) -> None:
    register(engine, [FULL, Recording(B, "file:///b.wav")])
    record_failure(engine, A, "no audio\0 stream")
    assert failed(engine) == [FULL]


@pytest.mark.parametrize(
    ("described", "still_failed"),
    [
        (FULL, True),
        (replace(FULL, title="Other title"), True),
        (replace(FULL, etag=None), True),
        (replace(FULL, etag="e2"), False),
        (replace(FULL, source="file:///other.wav"), False),
    ],
)
def test_a_failure_belongs_to_one_state_of_the_source(engine: Engine, described: Recording, still_failed: bool) -> None:
    register(engine, [FULL])
    record_failure(engine, A, "no audio stream")
    register(engine, [described])
    assert bool(failed(engine)) is still_failed


def test_a_failure_of_an_unregistered_recording_is_ignored(engine: Engine) -> None:
    record_failure(engine, B, "gone")
    assert find_recording(engine, B) is None


def test_speakers_names_are_kept_until_another_number_is_given(engine: Engine) -> None:
    named = Recording(A, "file:///a.wav", speakers="2", speaker_names=("Agent", "Caller"))
    register(engine, [named])
    register(engine, [Recording(A, "file:///a.wav")])
    assert find_recording(engine, A) == named
    register(engine, [Recording(A, "file:///a.wav", speakers="3")])
    assert find_recording(engine, A) == Recording(A, "file:///a.wav", speakers="3")


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
