"""A Dagster data platform for transcription, from recordings to captions, corrected text, search and insights.

The names imported below are the Python API: functions on files and values, described in `transcription_dagster.api`.
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

# OpenMP reads this when PyTorch is loaded, so it must be set before PyTorch is imported. Waiting threads must sleep:
# spinning threads occupy cores that other threads and processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# So does oneDNN, PyTorch's library for convolutions on a CPU. It keeps a prepared operation for each input length, by
# default a thousand: hundreds of megabytes when speech of any length is embedded. Preparing one again takes no
# measurable time.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")


def __getattr__(name: str) -> Any:
    # PEP 562: a worker that imports the package does not load the API's dependencies.
    if name in __all__:
        from transcription_dagster import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
