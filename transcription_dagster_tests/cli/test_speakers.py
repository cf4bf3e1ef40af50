"""Naming and forgetting speakers from the command line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.database.voice_prints import replace_voice_prints

Command = Callable[..., Result]
A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.fixture
def run(on_database: Command, engine: Engine) -> Command:
    """Run `transcription speakers` with three recordings; the first one's voices are less certain in the others."""
    register(engine, [Recording(recording, f"file:///{number}.wav") for number, recording in enumerate((A, B, C))])
    replace_voice_prints(engine, A, "m", {"spk_0": (10.0, (1.0, 0.0)), "spk_1": (65.4, (0.0, 1.0))})
    replace_voice_prints(engine, B, "m", {"spk_0": (20.0, (0.96, 0.28))})
    replace_voice_prints(engine, C, "m", {"spk_0": (30.0, (0.6, -0.8))})
    return lambda *arguments: on_database("speakers", *arguments, catch_exceptions=False)


def test_a_speaker_is_named_and_a_worklist_puts_the_name_into_the_results(run: Command, tmp_path: Path) -> None:
    result = run("name", A, "spk_0", "Ada")
    assert result.stdout == f"{B}  spk_0  certain, similarity 0.96\n{C}  spk_0  likely, similarity 0.60\n"
    assert result.stderr == (
        "Ada is in 2 recordings. To add the name to them: transcription batch assets_speakers.json\n"
        "Confirm likely matches with `transcription speakers name`.\n"
    )
    assert json.loads((tmp_path / "assets_speakers.json").read_text()) == [
        {"uuid": A, "job": "speakers", "source": "file:///0.wav"},
        {"uuid": B, "job": "speakers", "source": "file:///1.wav"},
    ]
    assert run("list", A).stdout == "spk_0      10.0 s  Ada (named)\nspk_1      65.4 s\n"
    assert run("list").stdout == (
        f"Ada\n  {A}  spk_0  named\n  {B}  spk_0  certain, similarity 0.96\n  {C}  spk_0  likely, similarity 0.60\n"
    )


def test_a_person_is_forgotten(run: Command) -> None:
    run("name", A, "spk_0", "Ada")
    assert run("forget", "Ada", "--yes").stdout == "Removed 2 voice prints.\n"
    assert (nothing := run("list")).stdout == ""
    assert "no voice prints with a name" in nothing.stderr
    assert run("forget", "--all", "--yes").stdout == "Removed 2 voice prints.\n"


@pytest.mark.parametrize("arguments", [("forget",), ("forget", "Ada", "--all"), ("name", A, "spk_0", "two\nlines")])
def test_contradictory_arguments_are_usage_errors(run: Command, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
