"""Diarization by a pipeline of pyannote.audio 4, such as community-1: the extra `pyannote`.

The pipeline is a folder with a `config.yaml` and the weights that it names. pyannote.audio reads weights as pickles,
which can run code: the folder must come from a trusted source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.errors import EngineMissing, ModelUnavailable
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.speakers.diarizer import Diarization, Report

#: The pipeline that `transcription models pull pyannote` downloads.
COMMUNITY = "pyannote/speaker-diarization-community-1"

_CONFIG = "config.yaml"
#: The part of the work that is done at the beginning and the end of each step that reports its progress.
_PROGRESS = {"segmentation": (0.0, 0.2), "embeddings": (0.2, 1.0)}


class PyannoteDiarizer:
    """A pipeline of pyannote.audio on one device, loaded once; diarizes one recording at a time.

    Turns never overlap: they are the pipeline's exclusive diarization, which is made to give words their speakers.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """`folder` is the result of `pyannote_pipeline` or `fetch_pyannote_pipeline`.

        Raises `EngineMissing` if pyannote.audio is not installed, `ModelUnavailable` if the pipeline does not load.
        """
        self.model = f"pyannote-{_digest(folder)}"
        library = _library()
        try:
            self._pipeline = library.Pipeline.from_pretrained(folder)
            self._pipeline.to(torch.device(device))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            raise ModelUnavailable(f"The pyannote pipeline in {folder} does not load: {error}") from error

    def diarize(self, blocks: Iterable[np.ndarray], limits: SpeakerLimits, report: Report) -> Diarization:
        """Implement `Diarizer.diarize`.

        The recording is in memory as a whole: 230 MB for each hour, and twice that while it is read.

        Raises `ModelUnavailable` if the pipeline gives no exclusive diarization, as those of version 3 do not.
        """
        samples = np.concatenate([np.zeros(0, np.float32), *blocks])
        seconds = samples.size / SAMPLE_RATE
        if not samples.any():
            return Diarization()

        done = 0.0

        def hook(step: str, _artifact: object, *, total: int = 0, completed: int = 0, **_: object) -> None:
            nonlocal done
            if total and step in _PROGRESS:
                begin, end = _PROGRESS[step]
                # The last batch counts as whole, so that more than all can be completed.
                done = seconds * (begin + (end - begin) * min(1.0, float(completed / total)))
            report(done)

        sound = {"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE}
        output = self._pipeline(sound, **_numbers(limits), hook=hook)
        if not hasattr(output, "exclusive_speaker_diarization"):
            raise ModelUnavailable("The pyannote pipeline has no exclusive diarization: it needs one of version 4.")
        return _diarization(output, seconds)


def pyannote_pipeline(models_folder: Path) -> Path | None:
    """Return the folder of the pipeline; None if it is missing."""
    folder = models_folder / "pyannote"
    return folder if (folder / _CONFIG).is_file() else None


def fetch_pyannote_pipeline(models_folder: Path) -> Path:
    """Return the folder of the pipeline, downloading community-1 from Hugging Face if it is missing.

    The token is the one of `HF_TOKEN` or `hf auth login`. Raises `ModelUnavailable` if the download fails, and
    `EngineMissing` if pyannote.audio is not installed.
    """
    _check_installed()
    from huggingface_hub import snapshot_download

    models_folder.mkdir(parents=True, exist_ok=True)
    folder = models_folder / "pyannote"
    with FileLock(models_folder / "pyannote.lock"):
        present = pyannote_pipeline(models_folder)
        if present is not None:
            return present
        try:
            # Files that are complete are kept, so that an interrupted download continues.
            partial = Path(snapshot_download(COMMUNITY, local_dir=models_folder / "pyannote.partial"))
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelUnavailable(
                f"{COMMUNITY} could not be downloaded: {reason} Accept its conditions at https://huggingface.co/"
                f"{COMMUNITY} and set HF_TOKEN, or copy the folder of the pipeline to {folder}."
            ) from error
        partial.rename(folder)
    return folder


def _library() -> Any:
    """Return pyannote.audio, with its telemetry off: it would report the length of each recording."""
    _check_installed()
    library = import_module("pyannote.audio")
    import_module("pyannote.audio.telemetry").set_telemetry_metrics(False)
    return library


def _check_installed() -> None:
    if find_spec("pyannote") is None or find_spec("pyannote.audio") is None:
        raise EngineMissing("TRANSCRIPTION_DIARIZER=pyannote needs pip install 'transcription-dagster[pyannote]'")


def _numbers(limits: SpeakerLimits) -> dict[str, int | None]:
    """Return the number of speakers as a pipeline takes it."""
    if limits.at_least == limits.at_most:
        return {"num_speakers": limits.at_most}
    return {"min_speakers": limits.at_least, "max_speakers": limits.at_most}


def _diarization(output: Any, seconds: float) -> Diarization:
    """Return a pipeline's output (`DiarizeOutput`), with turns that end within `seconds`."""
    stretches = sorted(
        (stretch.start, min(stretch.end, seconds), label)
        for stretch, _, label in output.exclusive_speaker_diarization.itertracks(yield_label=True)
        if stretch.start < seconds
    )
    labels = {label: f"spk_{number}" for number, label in enumerate(dict.fromkeys(label for *_, label in stretches))}
    turns = tuple(SpeakerTurn(round(start, 3), round(end, 3), labels[label]) for start, end, label in stretches)
    vectors = output.speaker_embeddings
    if vectors is None:
        return Diarization(turns)
    # The rows are in the order of these labels.
    rows = dict(zip(output.speaker_diarization.labels(), np.asarray(vectors, np.float32), strict=True))
    norms = {label: float(np.linalg.norm(rows[label])) for label in labels if label in rows}
    # A speaker without an embedding has zeros.
    return Diarization(turns, {labels[label]: rows[label] / norm for label, norm in norms.items() if norm > 0})


def _digest(folder: Path) -> str:
    """Identify a pipeline by its files: only voices of the same one are comparable."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        # What the download notes about its files is not part of the pipeline.
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
