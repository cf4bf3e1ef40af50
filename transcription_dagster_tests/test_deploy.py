"""The systemd units call existing commands of the program."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import click
import pytest

from transcription_dagster.cli.main import transcription
from transcription_dagster.settings import load_settings

UNITS = sorted((Path(__file__).parents[1] / "deploy").glob("*.service"))


def read(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser["Service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_calls_an_existing_command_with_enough_time_to_finish(unit: Path) -> None:
    service = read(unit)
    program, name, *arguments = shlex.split(service["ExecStart"].replace("%i", "0"))
    assert program == "transcription"
    command = transcription.get_command(click.Context(transcription), name)
    assert command is not None
    command.make_context(name, arguments)
    assert float(service["TimeoutStopSec"]) > load_settings().shutdown_seconds


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_keeps_its_home_from_other_users(unit: Path) -> None:
    assert read(unit)["StateDirectoryMode"] == "0700"
