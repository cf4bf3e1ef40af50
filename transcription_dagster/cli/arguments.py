"""Kinds of arguments that more than one command takes."""

from __future__ import annotations

import click

from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import recording_id


class _Recording(click.ParamType):
    """A canonical UUID, in either case; gives it in lower case."""

    name = "uuid"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return recording_id(value.lower())
        except InvalidRecordingId as error:
            self.fail(str(error), param, ctx)


#: A recording's UUID.
RECORDING = _Recording()
