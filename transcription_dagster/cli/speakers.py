"""`transcription speakers`: who speaks in recordings, by the voices that were named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from transcription_dagster.cli.arguments import RECORDING
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.cli.terminal import printable
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import find_recording
from transcription_dagster.database.voice_prints import (
    VoicePrint,
    forget_all,
    forget_person,
    name_speaker,
    voice_prints,
)
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.worklist_entries import entry_of
from transcription_dagster.sources.worklists import write

_OUTPUT = Path("assets_speakers.json")


class _Name(click.ParamType[str]):
    """A person's name: one line of text."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.strip() or not value.isprintable():
            self.fail("a name is one line of text", param, ctx)
        return value.strip()


@click.group()
def speakers() -> None:
    """Name, list and forget speakers by their voices.

    Voice prints are kept only if TRANSCRIPTION_VOICE_PRINTS is true. They are personal data.
    """


@speakers.command("list")
@click.argument("uuid", type=RECORDING, required=False)
def list_speakers(uuid: str | None) -> None:
    """List the speakers of a recording, or all named speakers.

    Without UUID, it lists the named speakers and the recordings in which they speak.
    """
    with open_cli_database(load_settings()) as engine:
        voices = voice_prints(engine, uuid)
    if not voices:
        whose = "of this recording" if uuid else "with a name"
        click.echo(f"There are no voice prints {whose}; they are kept if TRANSCRIPTION_VOICE_PRINTS is true.", err=True)
    if uuid is not None:
        for voice in voices:
            click.echo(f"{voice.label}  {voice.seconds:8.1f} s  {_description(voice)}".rstrip())
        return
    people: dict[str, list[VoicePrint]] = defaultdict(list)
    for voice in voices:
        people[voice.person or ""].append(voice)
    for person, prints in people.items():
        click.echo(printable(person))
        for voice in prints:
            click.echo(f"  {voice.recording}  {voice.label}  {_certainty(voice)}")


@speakers.command()
@click.argument("uuid", type=RECORDING)
@click.argument("label")
@click.argument("name", type=_Name())
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=_OUTPUT, show_default=True)
def name(uuid: str, label: str, name: str, output: Path) -> None:
    """Name a speaker of a recording, here and elsewhere.

    LABEL is the speaker's label, such as spk_0. Other recordings with the same voice get the name too where the match
    is certain; likely matches are listed as suggestions. The command writes a worklist of the renamed recordings, with
    which `transcription batch` updates their results.
    """
    with open_cli_database(load_settings()) as engine:
        matches = name_speaker(engine, uuid, label, name)
        certain = [match for match in matches if match.name is not None]
        write(output, _entries(engine, [uuid, *(match.recording for match in certain)]))
    for match in matches:
        click.echo(f"{match.recording}  {match.label}  {_certainty(match)}")
    click.echo(
        f"{printable(name)} is in {1 + len(certain)} recordings. To add the name to them: {_command(output)}", err=True
    )
    if len(certain) < len(matches):
        click.echo("Confirm likely matches with `transcription speakers name`.", err=True)


@speakers.command()
@click.argument("name", type=_Name(), required=False)
@click.option("--all", "everyone", is_flag=True, help="Remove the voices of all people, named or not.")
@click.option("-y", "--yes", is_flag=True, help="Skip the confirmation.")
def forget(name: str | None, everyone: bool, yes: bool) -> None:
    """Remove a speaker's voice prints from all recordings.

    Names in existing transcripts stay.
    """
    if (name is None) != everyone:
        raise click.UsageError("Give a NAME, or --all.")
    if not yes:
        whose = "of all people" if name is None else f"of {printable(name)}"
        click.confirm(f"Remove all voice prints {whose}?", abort=True)
    with open_cli_database(load_settings()) as engine:
        removed = forget_all(engine) if name is None else forget_person(engine, name)
    click.echo(f"Removed {removed} voice prints.")


def _description(voice: VoicePrint) -> str:
    return "" if voice.person is None else f"{printable(voice.person)} ({_certainty(voice)})"


def _certainty(voice: VoicePrint) -> str:
    if voice.confirmed:
        return "named"
    return f"{'certain' if voice.name else 'likely'}, similarity {voice.similarity:.2f}"


def _entries(engine: Engine, uuids: Sequence[str]) -> list[dict[str, Any]]:
    recordings = [find_recording(engine, uuid) for uuid in uuids]
    return [entry_of(recording, "speakers") for recording in recordings if recording is not None]


def _command(output: Path) -> str:
    return f"transcription batch {output}"
