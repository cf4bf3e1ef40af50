"""Diarization by a pipeline of pyannote.audio, which is faked except in the last tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.errors import EngineMissing, ModelUnavailable, TranscriptionAborted
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.speakers import pyannote_pipeline as module
from transcription_dagster.speakers.diarizer import Diarization
from transcription_dagster.speakers.engine import PYANNOTE_MISSING, SpeakerEngine
from transcription_dagster.speakers.pyannote_pipeline import (
    PyannoteDiarizer,
    fetch_pyannote_pipeline,
    pyannote_pipeline,
)
from transcription_dagster_tests.corpus import write_wav
from transcription_dagster_tests.speakers.scoring import word_accuracy
from transcription_dagster_tests.speakers.test_built_in import DEMO, INTERVIEW

#: Part of the interview that the real pipeline diarizes.
SECONDS = 15
SOUND = np.full(10 * 16_000, 0.1, np.float32)


class Stretch(NamedTuple):
    start: float
    end: float


class Turns:
    """As much of pyannote.core's `Annotation` as a pipeline's output needs."""

    def __init__(self, *turns: tuple[float, float, str]) -> None:
        self._turns = turns

    def itertracks(self, *, yield_label: bool) -> Any:
        assert yield_label
        return ((Stretch(start, end), number, label) for number, (start, end, label) in enumerate(self._turns))

    def labels(self) -> list[str]:
        return sorted({label for *_, label in self._turns})


def annotation(*turns: tuple[float, float, str]) -> Any:
    """Return a real `Annotation` if pyannote.core is installed, otherwise a fake."""
    try:
        from pyannote.core import Annotation, Segment  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return Turns(*turns)
    annotated = Annotation()
    for number, (start, end, label) in enumerate(turns):
        annotated[Segment(start, end), number] = label
    return annotated


def output(*exclusive: tuple[float, float, str], embeddings: Any = None) -> Any:
    """Return the result of a version 4 pipeline."""
    return SimpleNamespace(
        speaker_diarization=annotation(*exclusive),
        exclusive_speaker_diarization=annotation(*exclusive),
        speaker_embeddings=embeddings,
    )


class Pipeline:
    """A fake of pyannote's pipeline: returns `result`, and records its calls."""

    result: ClassVar[Any] = None
    asked: ClassVar[dict[str, Any]] = {}
    telemetry: ClassVar[bool] = True

    @classmethod
    def set_telemetry_metrics(cls, enabled: bool) -> None:
        cls.telemetry = enabled

    @classmethod
    def from_pretrained(cls, folder: Path) -> Pipeline:
        assert (folder / "config.yaml").read_text() == "pipeline: {}"
        assert cls.telemetry is False
        return cls()

    def to(self, device: Any) -> None:
        assert str(device) == "cpu"

    def __call__(self, sound: dict[str, Any], *, hook: Callable[..., None], **numbers: Any) -> Any:
        type(self).asked = {**numbers, **sound}
        hook("segmentation", None, file=sound, total=4, completed=8)
        hook("speaker_counting", None, file=sound)
        hook("embeddings", None, file=sound, total=4, completed=2)
        return self.result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "pyannote"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("pipeline: {}")
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a fake pyannote.audio with the pipeline above."""
    library = ModuleType("pyannote.audio")
    library.Pipeline = Pipeline  # type: ignore[attr-defined]
    library.__spec__ = ModuleSpec("pyannote.audio", None)
    package = ModuleType("pyannote")
    package.__spec__ = ModuleSpec("pyannote", None, is_package=True)
    package.__path__ = []
    if "pyannote" not in sys.modules:
        monkeypatch.setitem(sys.modules, "pyannote", package)
    monkeypatch.setitem(sys.modules, "pyannote.audio", library)
    monkeypatch.setitem(sys.modules, "pyannote.audio.telemetry", Pipeline)
    monkeypatch.setattr(Pipeline, "telemetry", True)


def diarized(folder: Path, limits: SpeakerLimits | None = None, sound: np.ndarray = SOUND) -> Diarization:
    diarizer = PyannoteDiarizer(folder, "cpu")
    return diarizer.diarize([sound[:5], sound[5:]], limits or SpeakerLimits(), lambda _: None)


@pytest.mark.usefixtures("installed")
def test_speakers_are_numbered_by_their_first_turn_and_have_their_own_voices(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [(0.5, 2.0, "SPEAKER_01"), (2.0, 4.0, "SPEAKER_00"), (5.0, 10.9, "SPEAKER_01"), (10.5, 11.0, "SPEAKER_00")]
    vectors = np.array([[3.0, 4.0], [0.0, 2.0]])
    monkeypatch.setattr(Pipeline, "result", output(*turns, embeddings=vectors))
    diarization = diarized(folder)
    assert diarization.turns == (
        SpeakerTurn(0.5, 2.0, "spk_0"),
        SpeakerTurn(2.0, 4.0, "spk_1"),
        SpeakerTurn(5.0, 10.0, "spk_0"),
    )
    assert {label: voice.tolist() for label, voice in diarization.voices.items()} == {
        "spk_0": [0.0, 1.0],
        "spk_1": pytest.approx([0.6, 0.8]),
    }
    assert Pipeline.asked["waveform"].shape == (1, 160_000)
    assert Pipeline.asked["sample_rate"] == 16_000


@pytest.mark.usefixtures("installed")
def test_a_speaker_without_an_embedding_has_no_voice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Pipeline, "result", output((0.0, 1.0, "A"), (1.0, 2.0, "B"), embeddings=np.eye(2)[:, :2] * [1, 0])
    )
    assert set(diarized(folder).voices) == {"spk_0"}
    monkeypatch.setattr(Pipeline, "result", output((0.0, 1.0, "A")))
    assert diarized(folder).voices == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("limits", "options"),
    [
        (SpeakerLimits(), {"min_speakers": 1, "max_speakers": None}),
        (SpeakerLimits("required", 2, 2), {"num_speakers": 2}),
        (SpeakerLimits("required", 2, 4), {"min_speakers": 2, "max_speakers": 4}),
    ],
)
def test_the_number_of_speakers_is_passed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limits: SpeakerLimits, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(Pipeline, "result", output((0.0, 1.0, "A")))
    diarized(folder, limits)
    assert {name: value for name, value in Pipeline.asked.items() if name.endswith("speakers")} == options


@pytest.mark.usefixtures("installed")
def test_progress_is_reported_and_diarization_stops_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "result", output())
    diarizer, progress = PyannoteDiarizer(folder, "cpu"), list[float]()
    diarizer.diarize([SOUND], SpeakerLimits(), progress.append)
    assert progress == sorted(progress)
    assert sorted(set(progress)) == pytest.approx([2.0, 6.0])

    def stop(_seconds: float) -> None:
        raise TranscriptionAborted

    with pytest.raises(TranscriptionAborted):
        diarizer.diarize([SOUND], SpeakerLimits(), stop)


@pytest.mark.usefixtures("installed")
def test_silence_and_empty_sound_have_no_speakers(folder: Path) -> None:
    for sound in (np.zeros(0, np.float32), np.zeros(16_000, np.float32)):
        assert diarized(folder, sound=sound) == Diarization()


@pytest.mark.usefixtures("installed")
def test_voices_of_different_pipelines_are_not_comparable(folder: Path) -> None:
    first = PyannoteDiarizer(folder, "cpu").model
    (folder / ".cache").mkdir()
    (folder / ".cache" / "note").write_text("downloaded")
    assert PyannoteDiarizer(folder, "cpu").model == first
    (folder / "weights.bin").write_bytes(b"others")
    assert PyannoteDiarizer(folder, "cpu").model != first


@pytest.mark.usefixtures("installed")
def test_pipelines_of_version_3_and_broken_ones_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "result", annotation((0.0, 1.0, "A")))
    with pytest.raises(ModelUnavailable, match="it needs one of version 4"):
        diarized(folder)

    def broken(_folder: Path) -> Pipeline:
        raise ValueError("no weights")

    monkeypatch.setattr(Pipeline, "from_pretrained", broken)
    with pytest.raises(ModelUnavailable, match="does not load: no weights"):
        diarized(folder)


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(EngineMissing, match=r"pip install 'transcription-dagster\[pyannote\]'"):
        PyannoteDiarizer(folder, "cpu")
    with pytest.raises(EngineMissing):
        fetch_pyannote_pipeline(folder.parent)


@pytest.mark.usefixtures("installed")
def test_a_pipeline_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, *, local_dir: Path) -> str:
        assert name == "pyannote/speaker-diarization-community-1"
        local_dir.mkdir()
        (local_dir / "config.yaml").write_text("pipeline: {}")
        return str(local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert pyannote_pipeline(tmp_path) is None
    assert fetch_pyannote_pipeline(tmp_path) == fetch_pyannote_pipeline(tmp_path) == pyannote_pipeline(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_refused_download_says_where_to_get_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str, **_: object) -> str:
        raise OSError("401 Client Error.\nAccess to it is restricted.")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(
        ModelUnavailable, match=r"401 Client Error\. Accept its conditions at .* and set HF_TOKEN"
    ) as error:
        fetch_pyannote_pipeline(tmp_path)
    assert str(tmp_path / "pyannote") in str(error.value)


def test_without_a_pipeline_auto_explains_how_to_get_it(tmp_path: Path) -> None:
    diarization = SpeakerEngine("cpu", tmp_path, "pyannote").answer(
        tmp_path / "audio.flac",
        SpeakerLimits(),
        voices=False,
        on_progress=lambda _: None,
        should_stop=lambda: False,
    )
    assert diarization["skipped"] == PYANNOTE_MISSING
    assert "transcription models pull pyannote" in PYANNOTE_MISSING


@pytest.mark.slow
def test_pyannotes_own_pipeline_diarizes_the_interview(speaker_models_home: Path, tmp_path: Path) -> None:
    """pyannote's code, from the folder to the turns, with segmentation-3.0; only the voice embeddings are random."""
    pytest.importorskip("pyannote.audio", reason="pyannote.audio, the extra `pyannote`, is not installed")
    from transcription_dagster_tests.speakers.pyannote_folder import write_pipeline

    write_pipeline(tmp_path / "pyannote", speaker_models_home / "speakers" / "segmentation-3.0.safetensors")
    telemetry = pytest.importorskip("pyannote.audio.telemetry.metrics")
    engine = SpeakerEngine("cpu", tmp_path, "pyannote")
    normalise(DEMO / INTERVIEW["file"], tmp_path / "audio.flac", max_seconds=7200)
    sound = np.concatenate(list(read_blocks(tmp_path / "audio.flac", 60)))[: SECONDS * 16_000]
    progress: list[float] = []
    diarization = engine.answer(
        write_wav(tmp_path / "audio.wav", sound),
        SpeakerLimits("required", 2, 2),
        voices=True,
        on_progress=progress.append,
        should_stop=lambda: False,
    )
    assert not telemetry.is_metrics_enabled()
    turns = [SpeakerTurn(*turn) for turn in diarization["turns"]]
    assert {turn.speaker for turn in turns} <= {"spk_0", "spk_1"}
    assert all(len(diarization["voices"][speaker]) == 256 for speaker in {turn.speaker for turn in turns})
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(SECONDS)
    # The labels are arbitrary, but there is speech where there are words, and turns do not overlap.
    assert all(earlier.end <= later.start for earlier, later in pairwise(turns))
    everyone = [replace(turn, speaker="all") for turn in turns]
    words = [{**word, "speaker": "all"} for word in INTERVIEW["words"] if word["end"] < SECONDS]
    correct, count = word_accuracy(words, everyone)
    assert correct / count > 0.97
