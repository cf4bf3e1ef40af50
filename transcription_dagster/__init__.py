"""A Dagster data platform for transcription: recordings in, captions, corrected text, search and insights out.

The Python API is below: functions on files and values, described in `transcription_dagster.api`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transcription_dagster.api import (
        CaptionLimits,
        Refined,
        RefinementSettings,
        SpeechOptions,
        Term,
        Transcript,
        apply_corrections,
        format_transcript,
        refine,
        transcribe,
    )

__version__ = "0.1.0"

__all__ = [
    "CaptionLimits",
    "Refined",
    "RefinementSettings",
    "SpeechOptions",
    "Term",
    "Transcript",
    "__version__",
    "apply_corrections",
    "format_transcript",
    "refine",
    "transcribe",
]

# Read by OpenMP when PyTorch is loaded, so it must be set before PyTorch is imported. Threads that wait for one another
# shall sleep: spinning, they take the cores from the ones they wait for as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    # PEP 562: a worker that imports the package must not pay for the API.
    if name in __all__:
        from transcription_dagster import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
