from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.whisper.engine import SpeechEngine

DEMO = Path(__file__).parents[1] / "bulletin"
BULLETIN = str(DEMO / "bulletin.pt")

#: Recordings in natural voices, with their words and times.
VOICES = Path(__file__).parents[2] / "transcription_dagster" / "demo" / "recordings"


@dataclass(frozen=True)
class Recording:
    """A demo recording: its normalised file, its samples and its words."""

    flac: Path
    samples: np.ndarray
    text: str


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """Provide the demo recordings by file extension; the WAV that begins with silence is `late`."""
    folder = tmp_path_factory.mktemp("recordings")
    recordings_by_name: dict[str, Recording] = {}
    for entry in json.loads((DEMO / "recordings" / "references.json").read_text()):
        source = DEMO / "recordings" / entry["file"]
        flac = folder / f"{entry['uuid']}.flac"
        normalise(source, flac, max_seconds=600)
        name = source.suffix.lstrip(".")
        recordings_by_name[name if name not in recordings_by_name else "late"] = Recording(
            flac, np.concatenate([*read_blocks(flac, 60)]), entry["text"]
        )
    return recordings_by_name


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> SpeechEngine:
    """Provide an engine with the bulletin model."""
    engine = SpeechEngine(threads=1, models_folder=tmp_path_factory.mktemp("models"))
    engine.load(BULLETIN)
    return engine


@pytest.fixture(scope="session")
def base_engine(tmp_path_factory: pytest.TempPathFactory) -> SpeechEngine:
    """Provide an engine with the real Whisper `base`, from the packages of the extra `offline-models`."""
    engine = SpeechEngine(threads=1, models_folder=tmp_path_factory.mktemp("real-models"))
    engine.load("base")
    return engine


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """Provide the recordings in natural voices by title."""
    folder = tmp_path_factory.mktemp("voices")
    recordings_by_title: dict[str, Recording] = {}
    for entry in json.loads((VOICES / "references.json").read_text(encoding="utf-8")):
        flac = folder / f"{entry['uuid']}.flac"
        normalise(VOICES / entry["file"], flac, max_seconds=600)
        recordings_by_title[entry["title"]] = Recording(flac, np.concatenate([*read_blocks(flac, 60)]), entry["text"])
    return recordings_by_title
