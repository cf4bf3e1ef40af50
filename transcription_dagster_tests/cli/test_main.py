from __future__ import annotations

import click
import pytest

from transcription_dagster.cli.main import COMMANDS, transcription


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_where_the_group_looks_for_it_and_says_what_it_does(name: str) -> None:
    command = transcription.get_command(click.Context(transcription), name)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str()
