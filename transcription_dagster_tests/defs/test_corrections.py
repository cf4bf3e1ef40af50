"""Corrections in Dagster: the sensor that requests their application, and the resulting assets."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from sqlalchemy import Engine, text

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.manuscript import Manuscript, correct
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.definitions import defs
from transcription_dagster.defs import sensors
from transcription_dagster.defs.jobs import APPLY_CORRECTIONS
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.model import Transcript
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster_tests.sample_transcripts import RECORDING, transcript

pytestmark = pytest.mark.slow

FIRST = transcript("Yesterday we found quill on ite in the basin.")


class Desk:
    """A refined recording and a Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self._instance = instance
        self._folder = folder / RECORDING
        self._cursor: str | None = None
        register(engine, [Recording(RECORDING, "/a.wav")])
        instance.add_dynamic_partitions("recordings", [RECORDING])
        self.transcribe(FIRST)
        texts = ("transcript_txt", "captions_srt", "captions_vtt", "refined_txt", "corrected_txt", "corrected_json")
        self.make("conversation", *texts, "insights")

    def transcribe(self, new_transcript: Transcript) -> None:
        store = ObjectStore(load_settings().store_url)
        store.put_bytes(f"{RECORDING}/transcript.json", write_transcript(new_transcript).encode())
        self._transcript = new_transcript

    def make(self, *assets: str) -> None:
        job = defs.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(name) for name in assets]
        assert job.execute_in_process(instance=self._instance, partition_key=RECORDING, asset_selection=keys).success

    def apply(self) -> None:
        """Make the assets of the job that the sensor requests, except the publication, which needs a code location."""
        nodes = defs.resolve_job_def(APPLY_CORRECTIONS).graph.node_dict
        self.make(*(name for name in nodes if name != "publication"))

    def retype(self, first: int, stop: int, words: str) -> None:
        manuscript = Manuscript.of(self._transcript, self.file("refined.txt"))
        correct(
            self.engine,
            manuscript,
            lambda current: drafts.retype(current.reading, first, stop, words),
            who="Ada",
            seen=999,
        )

    def let_rest(self, seconds: float) -> None:
        """Pretend that the last change is older."""
        with self.engine.begin() as connection:
            statement = (
                "UPDATE transcription_data.corrected_recordings SET changed_at = changed_at - :age * interval '1s'"
            )
            connection.execute(text(statement), {"age": seconds})

    def requested(self) -> list[tuple[str | None, str | None]]:
        """Return the keys and partitions of the runs that a tick requests; its observations are stored."""
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources=all_resources(load_settings())
        ) as context:
            result = sensors.corrected_recordings(context)
        assert isinstance(result, dg.SensorResult)
        self._cursor = result.cursor
        for event in result.asset_events:
            self._instance.report_runless_asset_event(event)
        return [(request.run_key, request.partition_key) for request in result.run_requests or ()]

    def file(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8")

    def status(self, asset: str) -> StaleStatus:
        graph = defs.get_repository_def().asset_graph
        resolver = CachingStaleStatusResolver(self._instance, graph, LoadingContextForTest(self._instance))
        return resolver.get_status(dg.AssetKey(asset), RECORDING)


@pytest.fixture
def desk(instance: dg.DagsterInstance, engine: Engine, at_home: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("TRANSCRIPTION_REFINEMENT", "off")
    monkeypatch.setenv("TRANSCRIPTION_EMBEDDER", "none")
    return Desk(instance, engine, at_home)


def test_without_corrections_the_corrected_text_is_the_refined_one(desk: Desk) -> None:
    assert desk.file("corrected.txt") == desk.file("refined.txt") == "Yesterday we found quill on ite in the basin.\n"


def test_one_run_is_requested_after_a_quiet_minute(desk: Desk) -> None:
    desk.retype(0, 9, "Yesterday we found Quillonite in the basin.")
    desk.retype(0, 9, "Yesterday we found Quillonite in a basin.")
    assert desk.requested() == []
    desk.let_rest(sensors.QUIET_SECONDS)
    assert desk.requested() == [(f"{RECORDING}:2", RECORDING)]
    assert desk.requested() == []
    desk.retype(0, 9, "Today we found Quillonite in a basin.")
    desk.let_rest(sensors.QUIET_SECONDS)
    assert desk.requested() == [(f"{RECORDING}:3", RECORDING)]


def test_refined_texts_and_captions_are_corrected_and_originals_are_not(desk: Desk) -> None:
    machine = desk.file("captions.srt")
    desk.retype(0, 9, "Yesterday we found Quillonite in the basin.")
    desk.apply()
    assert desk.file("corrected.txt") == "Yesterday we found Quillonite in the basin.\n"
    assert "Quillonite" in " ".join(desk.file("refined.srt").split())
    times = [line for line in machine.splitlines() if "-->" in line]
    assert [line for line in desk.file("refined.srt").splitlines() if "-->" in line] == times
    assert desk.file("captions.srt") == machine


def test_a_correction_shows_as_stale_until_it_is_applied(desk: Desk) -> None:
    for first_word in ("Today", "Tomorrow"):
        assert desk.status("corrected_txt") is StaleStatus.FRESH
        desk.retype(0, 1, first_word)
        desk.let_rest(sensors.QUIET_SECONDS)
        assert desk.requested() != []
        assert desk.status("corrected_txt") is StaleStatus.STALE
        desk.apply()
    assert desk.status("corrected_txt") is StaleStatus.FRESH


def test_words_written_by_a_person_are_marked_in_the_results(desk: Desk) -> None:
    desk.retype(0, 9, "Yesterday we found Quillonite in the basin.")
    desk.apply()
    items = json.loads(desk.file("corrected.json"))["results"]["items"]
    written = [item["alternatives"][0]["content"] for item in items if item.get("corrected")]
    assert written == ["Quillonite"]
    words = read_transcript(desk.file("corrected.json")).words
    assert [(word.text, word.start) for word in words if word.corrected] == [("Quillonite", 1.5)]


def test_corrections_survive_a_new_transcription(desk: Desk) -> None:
    desk.retype(0, 9, "Yesterday we found Quillonite in the basin.")
    desk.transcribe(transcript("Yesterday we have found quill on ite in the basin"))
    desk.make("conversation", "refined_txt", "corrected_txt")
    assert desk.file("corrected.txt") == "Yesterday we have found Quillonite in the basin\n"


def test_speakers_names_are_in_the_captions(desk: Desk) -> None:
    manuscript = Manuscript.of(FIRST, desk.file("refined.txt"))
    correct(
        desk.engine,
        manuscript,
        lambda current: drafts.set_speaker(current.reading, 0, 9, "Ada Lovelace", everywhere=True),
        who="Bob",
        seen=0,
    )
    desk.apply()
    assert "<v Ada Lovelace>" in desk.file("refined.vtt")
    assert "<v" not in desk.file("captions.vtt")
