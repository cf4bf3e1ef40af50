"""`transcription forget` on a running stack: no table and no file keeps a word of the recording."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.model import Term
from transcription_dagster_tests import traces
from transcription_dagster_tests.faults import busy_executor, long_recording, unfinished_jobs
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("one stack")]

#: A sentence that occurs in no other test's recording.
SENTENCE = "quokkas yodel gently"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "transcription_dagster", *arguments], capture_output=True, text=True, timeout=300
    )


def plant(system: System, source: Path) -> str:
    """Register a recording whose title, term and source's name are the sentence."""
    recording = str(uuid.uuid4())
    source = source.rename(source.with_name(f"{SENTENCE}{source.suffix}"))
    described = Recording(recording, str(source), title=SENTENCE, vocabulary=(Term(SENTENCE, variants=(SENTENCE,)),))
    engine = open_database(system.url)
    register(engine, [described])
    engine.dispose()
    system.dagster.add_partitions(system.job, "recordings", [recording])
    return recording


def amazon_transcript(folder: Path) -> Path:
    """Return a transcript of the sentence."""
    items = [
        {
            "type": "pronunciation",
            "start_time": str(number),
            "end_time": str(number + 0.5),
            "alternatives": [{"content": word, "confidence": "0.9"}],
        }
        for number, word in enumerate(SENTENCE.split())
    ]
    results = {"language_code": "en-US", "transcripts": [{"transcript": SENTENCE}], "items": items}
    path = folder / "amazon.json"
    path.write_text(json.dumps({"jobName": "a", "status": "COMPLETED", "results": results}))
    return path


def found(system: System) -> list[str]:
    """Return the places that contain the sentence: rows, and files of the home other than Postgres's."""
    home = system.settings.home
    return traces.in_database(system.url, SENTENCE) + traces.in_files(home, SENTENCE, without=[home / "postgres"])


def test_no_file_row_or_log_contains_a_forgotten_recording(system: System, tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(DEMO_RECORDINGS[0].read_bytes())
    recording = plant(system, source)
    run = system.launch([recording])[recording]
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"], system.log_of(run)
    imported = command("import", str(amazon_transcript(tmp_path)), "--uuid", recording)
    assert imported.returncode == 0, imported.stderr
    assets = ["transcript_txt", "captions_srt", "refined_txt", "corrected_txt", "insights", "publication"]
    system.launch_assets([recording], assets)
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"]
    # Verify that the search finds something before forgetting: rows, events, objects.
    assert len(found(system)) > 4
    forgotten = command("forget", "-y", recording)
    assert forgotten.returncode == 0, forgotten.stderr
    assert found(system) == []


def test_forgetting_ends_a_run_in_progress_which_writes_nothing(system: System, tmp_path: Path) -> None:
    recording = plant(system, long_recording(tmp_path, seconds=480))
    run = system.launch([recording])[recording]
    busy_executor(system, recording)
    assert found(system)
    forgotten = command("forget", "-y", recording)
    assert forgotten.returncode == 0, forgotten.stderr
    assert found(system) == []
    assert not system.dagster.runs(ids=[run])
    wait_until(
        lambda: not unfinished_jobs(system) and all(worker.recording is None for worker in system.pool().workers),
        60,
        "every worker is free",
    )
    assert found(system) == []
    assert not (system.settings.home / "store" / recording).exists()
