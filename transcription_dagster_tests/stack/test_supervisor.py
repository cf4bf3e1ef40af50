from __future__ import annotations

import configparser
import shlex
import stat
import sys
from pathlib import Path

import pytest

from transcription_dagster.errors import StackError
from transcription_dagster.stack.programs import Program
from transcription_dagster.stack.supervisor import Supervisor, configuration, launch, socket_path
from transcription_dagster_tests.stack.small_stack import SLEEPER, begin, until

pytestmark = pytest.mark.slow


def _parsed(
    *programs: Program, folder: Path = Path("/run"), logs: Path = Path("/logs")
) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(configuration(programs, folder=folder, logs=logs))
    return parser


def test_a_command_survives_the_file_format():
    command = ("/bin/echo", "two words", "it's", "100%", 'say "hi"', "a;b#c", "$HOME")
    parsed = _parsed(Program("worker", "executors", command))
    assert tuple(shlex.split(parsed["program:worker"]["command"].replace("%%", "%"))) == command


@pytest.mark.parametrize("word", ["a ;b", "a #b", "a\nb"])
def test_values_that_the_file_format_cannot_express_are_refused(word: str):
    with pytest.raises(StackError, match="choose another folder"):
        configuration([Program("worker", "executors", ("/bin/echo", word))], folder=Path("/run"), logs=Path("/logs"))


def test_groups_stop_in_the_reverse_of_their_start():
    parsed = _parsed(
        Program("postgres", "postgres", ("a",)),
        Program("gpu-worker-0", "executors", ("b",)),
        Program("gpu-worker-1", "executors", ("b",)),
        Program("daemon", "daemon", ("c",)),
    )
    assert parsed["group:executors"]["programs"] == "gpu-worker-0,gpu-worker-1"
    priorities = [int(parsed[f"group:{name}"]["priority"]) for name in ("postgres", "executors", "daemon")]
    assert priorities == sorted(set(priorities))


def test_signals_timeouts_and_users_are_passed_on():
    section = _parsed(Program("p", "postgres", ("a",), stop_signal="INT", stop_seconds=60, user="pgserver"))[
        "program:p"
    ]
    assert (section["stopsignal"], section["stopwaitsecs"], section["user"]) == ("INT", "60", "pgserver")
    assert "user" not in _parsed(Program("p", "postgres", ("a",)))["program:p"]


def test_programs_run_only_when_they_are_started(home: Path):
    stack = begin(home, SLEEPER, started=())
    assert [(program.state, program.pid) for program in stack.programs()] == [("STOPPED", None)]
    stack.stop()


def test_a_program_that_exits_immediately_has_failed(home: Path):
    broken = Program("gpu-worker-0", "executors", (sys.executable, "-c", "print('no such model'); raise SystemExit(1)"))
    stack = begin(home, broken)
    until(lambda: stack.programs()[0].failed)
    assert "no such model" in stack.programs()[0].log.read_text()
    stack.stop()


def test_a_program_that_cannot_be_run_is_an_error_at_once(home: Path):
    with pytest.raises(StackError, match=r"gpu-worker-0 cannot be started: NO_FILE: .*/nowhere/program"):
        begin(home, Program("gpu-worker-0", "executors", ("/nowhere/program",)))


def test_only_the_owner_can_open_the_control_socket(home: Path):
    stack = begin(home, SLEEPER)
    assert stat.S_IMODE(socket_path(home / "run").stat().st_mode) == 0o700
    stack.stop()


def test_a_refusal_is_reported_in_supervisors_words(tmp_path: Path):
    file = tmp_path / "broken.conf"
    file.write_text("[program:x]\n")
    with pytest.raises(StackError, match=r"supervisord did not start: .*does not include supervisord section"):
        launch(file, {})


def test_a_stopped_supervisor_does_not_answer(tmp_path: Path):
    assert Supervisor(tmp_path).pid() is None
    with pytest.raises(StackError, match="does not answer"):
        Supervisor(tmp_path).programs()
