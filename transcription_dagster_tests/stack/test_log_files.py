"""Removing records from the log files of a home."""

from __future__ import annotations

from pathlib import Path

from transcription_dagster.stack.files import remove_records

LOG = """2026-11-30 10:00:00 INFO worker: took quokka
2026-11-30 10:00:01 ERROR worker: failed
Traceback (most recent call last):
  File "a.py", line 1
ValueError: quokkas yodel gently
2026-11-30 10:00:02 INFO worker: took wombat
INFO:     127.0.0.1 - "GET /transcripts/quokka HTTP/1.1" 200 OK
INFO:     127.0.0.1 - "GET /health HTTP/1.1" 200 OK
2026-11-30T10:00:03Z the end, without a line break"""
KEPT = """2026-11-30 10:00:02 INFO worker: took wombat
INFO:     127.0.0.1 - "GET /health HTTP/1.1" 200 OK
2026-11-30T10:00:03Z the end, without a line break"""


def test_matching_records_are_removed_with_their_tracebacks(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    log.write_text(LOG)
    assert remove_records(tmp_path, ["quokka", "quokkas yodel gently"]) == 3
    assert log.read_text() == KEPT


def test_rotated_logs_are_searched_and_other_files_and_records_are_left_alone(tmp_path: Path) -> None:
    rotated, other, untouched = tmp_path / "gpu-0.log.3", tmp_path / "notes.txt", tmp_path / "web.log"
    rotated.write_text("lines from before a rotation\nquokka\n" + LOG)
    other.write_text("quokka")
    untouched.write_text(KEPT)
    written = untouched.stat().st_mtime_ns
    assert remove_records(tmp_path, ["quokka"]) == 4
    assert (rotated.read_text(), other.read_text()) == (KEPT, "quokka")
    assert untouched.stat().st_mtime_ns == written


def test_programs_keep_writing_to_a_rewritten_log(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    with log.open("a") as program:
        program.write("2026-11-30 10:00:00 quokka\n")
        program.flush()
        assert remove_records(tmp_path, ["quokka"]) == 1
        program.write("2026-11-30 10:00:01 wombat\n")
    assert log.read_text() == "2026-11-30 10:00:01 wombat\n"


def test_bytes_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_bytes(b"2026-11-30 \xff\xfe\n2026-11-30 quokka\n")
    remove_records(tmp_path, ["quokka"])
    assert log.read_bytes() == b"2026-11-30 \xff\xfe\n"


def test_a_home_without_logs_has_none(tmp_path: Path) -> None:
    assert remove_records(tmp_path / "logs", ["quokka"]) == 0
