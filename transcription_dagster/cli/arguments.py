"""Argument types that several commands share."""

from __future__ import annotations

import click

from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import recording_id


class _Recording(click.ParamType[str]):
    """A canonical UUID in either case, converted to lower case."""

    name = "uuid"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return recording_id(value.lower())
        except InvalidRecordingId as error:
            self.fail(str(error), param, ctx)


#: A recording's UUID.
RECORDING = _Recording()
