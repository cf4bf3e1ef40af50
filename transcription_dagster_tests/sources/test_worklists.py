"""Reading worklists, and writing results back without losing concurrent edits."""

from __future__ import annotations

import json
import os
import string
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transcription_dagster.errors import InvalidWorklist, WorklistNotSaved
from transcription_dagster.sources import worklists
from transcription_dagster.sources.worklists import Worklist, load, write
from transcription_dagster_tests.sources.worklist_files import JSON, ONE, THREE, TWO, saved

NOW = datetime(2026, 11, 23, 7, 30, 1, 999_999, tzinfo=timezone(timedelta(hours=2)))

_foreign = st.dictionaries(st.text(alphabet=string.ascii_uppercase, min_size=1), JSON, max_size=4)


def test_results_are_written_back_and_other_keys_keep_their_order(folder: Path) -> None:
    path = saved(folder, [{"shelf": 12, "uuid": ONE, "error": "before", "x": {"y": [1.5]}}, {"uuid": TWO}])
    worklist = load(path)
    worklist.record_done(ONE, ["file:///store/a"], NOW)
    worklist.record_failed(TWO, "no audio: é", NOW)
    worklist.save()
    first, second = json.loads(path.read_text(encoding="utf-8"))
    assert list(first) == ["shelf", "uuid", "x", "status", "files", "finished_at"]
    assert first["x"] == {"y": [1.5]}
    assert (first["status"], first["files"]) == ("done", ["file:///store/a"])
    assert first["finished_at"] == "2026-11-23T05:30:01Z"
    assert (second["status"], second["error"]) == ("failed", "no audio: é")
    assert [entry.status for entry in load(path).entries] == ["done", "failed"]


def test_a_repeated_recording_loses_its_old_results(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE, "status": "failed", "error": "x", "finished_at": "y"}])
    worklist = load(path)
    worklist.record_waiting(ONE)
    worklist.save()
    assert json.loads(path.read_text()) == [{"uuid": ONE, "status": "waiting"}]


def test_saving_replaces_the_file_at_once_and_keeps_its_permissions(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}])
    path.chmod(0o640)
    before = path.open("rb")
    load(path).save()
    assert before.read() == b'[{"uuid": "%s"}]' % ONE.encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ["a.wav", "b c#?.mp3", "recordings", "worklist.json"]


def test_concurrent_edits_are_kept_when_results_are_saved(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}, {"uuid": TWO, "title": "Old"}])
    worklist = load(path)
    stamp = path.stat()
    path.write_text(json.dumps([{"uuid": THREE, "source": "later.wav"}, {"uuid": TWO, "title": "New"}, {"uuid": ONE}]))
    # The modification time is unchanged, since some editors keep it.
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    worklist.record_failed(TWO, "why", NOW)
    worklist.save()
    three, two, added = json.loads(path.read_text())
    assert three == {"uuid": THREE, "source": "later.wav"}
    assert (two["title"], two["status"], two["error"]) == ("New", "failed", "why")
    assert added == {"uuid": ONE}
    assert worklist.added == 1


def test_a_status_that_is_set_back_after_it_was_saved_stays(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}, {"uuid": TWO}])
    worklist = load(path)
    worklist.record_failed(ONE, "why", NOW)
    worklist.save()
    path.write_text(json.dumps([{"uuid": ONE, "status": "waiting"}, {"uuid": TWO}]))
    worklist.record_done(TWO, [], NOW)
    worklist.save()
    assert [entry["status"] for entry in json.loads(path.read_text())] == ["waiting", "done"]


def test_an_entry_that_is_removed_meanwhile_stays_removed(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}, {"uuid": TWO}])
    worklist = load(path)
    path.write_text(json.dumps([{"uuid": TWO}]))
    worklist.record_done(ONE, [], NOW)
    worklist.save()
    assert json.loads(path.read_text()) == [{"uuid": TWO}]


def test_an_invalid_file_is_not_overwritten_and_results_are_kept(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}])
    worklist = load(path)
    worklist.record_done(ONE, [], NOW)
    path.write_text('[{"uuid": ')
    with pytest.raises(InvalidWorklist, match="not JSON"):
        worklist.save()
    assert path.read_text() == '[{"uuid": '
    path.write_text(json.dumps([{"uuid": ONE, "title": "Whole"}]))
    worklist.save()
    assert json.loads(path.read_text())[0]["status"] == "done"


def test_entries_that_an_edit_broke_are_kept_as_they_are(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE}])
    worklist = load(path)
    worklist.record_failed(ONE, "why", NOW)
    broken = [{"uuid": [ONE]}, {"uuid": {}}, {"uuid": None}, {}, "a"]
    path.write_text(json.dumps([*broken, {"uuid": ONE}]))
    worklist.save()
    *unreadable, failed = json.loads(path.read_text())
    assert (unreadable, failed["status"], worklist.added) == (broken, "failed", 0)


def test_a_file_that_is_edited_while_it_is_written_is_merged_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(folder, [{"uuid": ONE}])
    worklist = load(path)
    worklist.record_done(ONE, [], NOW)
    edits = [[{"uuid": ONE, "title": "Edited"}]]
    real = worklists.replacing

    def edited_meanwhile(target: Path) -> Any:
        if edits:
            target.write_text(json.dumps(edits.pop()))
        return real(target)

    monkeypatch.setattr(worklists, "replacing", edited_meanwhile)
    worklist.save()
    (entry,) = json.loads(path.read_text())
    assert (entry["title"], entry["status"]) == ("Edited", "done")


def test_saving_through_a_link_keeps_the_link(folder: Path) -> None:
    path = saved(folder, [{"uuid": ONE, "source": "a.wav"}])
    (folder / "elsewhere").mkdir()
    link = folder / "elsewhere" / "link.json"
    link.symlink_to(path)
    worklist = load(link)
    worklist.record_failed(ONE, "why", NOW)
    worklist.save()
    assert link.is_symlink()
    assert json.loads(path.read_text())[0]["error"] == "why"


def test_an_unwritable_folder_is_reported(folder: Path) -> None:
    worklist = Worklist(folder / "a.wav" / "worklist.json", [], ())
    with pytest.raises(WorklistNotSaved, match="cannot be"):
        worklist.save()


@given(st.lists(_foreign, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_unknown_keys_are_preserved(tmp_path: Path, foreign: list[dict[str, Any]]) -> None:
    objects = [{"uuid": str(uuid.UUID(int=number)), **values} for number, values in enumerate(foreign)]
    path = tmp_path / "worklist.json"
    write(path, objects)
    worklist = load(path)
    for entry in worklist.entries:
        worklist.record_done(entry.uuid, [], datetime.now(UTC))
    worklist.save()
    after = json.loads(path.read_text(encoding="utf-8"))
    assert [{key: item[key] for key in before} for before, item in zip(objects, after, strict=True)] == objects
