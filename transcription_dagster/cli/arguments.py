"""Argument types that several commands share."""

from __future__ import annotations

import math
from typing import Any

import click

from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import recording_id


class FiniteRange(click.FloatRange):
    """A range of numbers: `nan`, which is neither below nor above any limit, and infinity are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


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
