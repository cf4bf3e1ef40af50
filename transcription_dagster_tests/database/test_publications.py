"""Publishing: one row of each kind, written only when it changes."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.publications import Publication, PublishedInsights, publish
from transcription_dagster.database.recordings import Recording, failed, forget, record_failure, register, unpublished
from transcription_dagster.errors import InvalidRecordingId, UnknownRecording

A = str(uuid.UUID(int=1))
PUBLICATION = Publication(
    recording=A,
    text="the fairy leaves",
    refined_text="The ferry leaves.",
    language="en",
    model="medium",
    words=3,
    duration=2.5,
    versions={"transcript": "1-medium", "captions_srt": "2"},
    sha256s={"transcript.json": "ab" * 32},
    insights=PublishedInsights("local", {"phrases": ["ferry"], "sentiment": {"mixed": 0.5}}),
)


@pytest.fixture
def registered(engine: Engine) -> Engine:
    register(engine, [Recording(A, "file:///a.wav")])
    return engine


def stored(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Return every published row, with values that change on any write: its location and its transaction."""
    with transaction(engine) as connection:
        return {
            table: [
                dict(row)
                for row in connection.execute(
                    text(f"SELECT *, xmin::text, ctid::text FROM transcription_data.{table}")
                ).mappings()
            ]
            for table in ("recordings", "transcripts", "insights")
        }


def test_a_publication_is_stored_completely(registered: Engine) -> None:
    publish(registered, PUBLICATION)
    assert PUBLICATION.insights is not None
    rows = stored(registered)
    (transcript,), (insights,) = rows["transcripts"], rows["insights"]
    assert {name: transcript[name] for name in ("text", "refined_text", "language", "model", "words", "duration")} == {
        name: getattr(PUBLICATION, name) for name in ("text", "refined_text", "language", "model", "words", "duration")
    }
    assert transcript["versions"] == PUBLICATION.versions
    assert transcript["sha256s"] == PUBLICATION.sha256s
    assert (insights["analyser"], insights["document"]) == ("local", dict(PUBLICATION.insights.document))


def test_an_unchanged_publication_writes_nothing(registered: Engine) -> None:
    publish(registered, PUBLICATION)
    before = stored(registered)
    publish(registered, replace(PUBLICATION, versions=dict(reversed(list(PUBLICATION.versions.items())))))
    marks = [[row[mark] for mark in ("xmin", "ctid")] for table in ("transcripts", "insights") for row in before[table]]
    after = stored(registered)
    assert [[row[mark] for mark in ("xmin", "ctid")] for t in ("transcripts", "insights") for row in after[t]] == marks
    assert after["transcripts"] == before["transcripts"]


@pytest.mark.parametrize(
    "change",
    [{"refined_text": "Other."}, {"versions": {}}, {"sha256s": {"a": "b"}}, {"duration": 3.0}, {"language": "de"}],
)
def test_a_change_is_published_at_a_new_time(registered: Engine, change: dict[str, Any]) -> None:
    publish(registered, PUBLICATION)
    (before,) = stored(registered)["transcripts"]
    publish(registered, replace(PUBLICATION, **change))
    (after,) = stored(registered)["transcripts"]
    assert after["published_at"] > before["published_at"]
    assert {name: after[name] for name in change} == change


def test_changed_insights_leave_the_transcript_alone(registered: Engine) -> None:
    publish(registered, PUBLICATION)
    before = stored(registered)
    publish(registered, replace(PUBLICATION, insights=PublishedInsights("comprehend", {})))
    after = stored(registered)
    assert after["transcripts"] == before["transcripts"]
    assert after["insights"][0]["analyser"] == "comprehend"


def test_a_publication_without_insights_removes_older_ones(registered: Engine) -> None:
    publish(registered, PUBLICATION)
    publish(registered, replace(PUBLICATION, insights=None))
    assert stored(registered)["insights"] == []


def test_a_publication_ends_the_recordings_failure(registered: Engine) -> None:
    record_failure(registered, A, "no executor")
    publish(registered, PUBLICATION)
    assert failed(registered) == []
    assert unpublished(registered) == []


def test_a_recording_that_is_not_registered_cannot_be_published(engine: Engine) -> None:
    with pytest.raises(UnknownRecording, match=A):
        publish(engine, PUBLICATION)
    assert stored(engine)["transcripts"] == []


def test_a_recording_is_known_by_a_canonical_uuid(engine: Engine) -> None:
    with pytest.raises(InvalidRecordingId):
        publish(engine, replace(PUBLICATION, recording=A.upper() + "x"))


def test_a_failed_publication_changes_nothing(registered: Engine) -> None:
    with pytest.raises(TypeError):
        publish(registered, replace(PUBLICATION, insights=PublishedInsights("local", {"not json": object()})))
    assert stored(registered)["transcripts"] == []


def test_concurrent_publications_of_a_recording_give_one_row(registered: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: publish(registered, replace(PUBLICATION, words=number)), range(20)))
    assert len(stored(registered)["transcripts"]) == 1


def test_forgetting_a_recording_removes_its_publication(registered: Engine) -> None:
    publish(registered, PUBLICATION)
    forget(registered, A)
    assert stored(registered) == {"recordings": [], "transcripts": [], "insights": []}
