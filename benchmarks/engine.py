"""The engine compared with `model.transcribe` in the same process: seconds of work per hour of audio, and the ratio.

    python -m benchmarks.engine [FOLDER] [--model base | --shape turbo] [--seconds 20] [--count 16]
                                [--slots 1 4 8 16] [--beams N] [--language auto] [--device cuda]

Both get the same clips of FOLDER's recordings (by default, of the demo's voices), the same options and one thread, and
neither repairs the text. On a CPU the seconds are CPU time; on a GPU they are wall-clock time, and weights are in half
precision. A shape is a model with random weights, for machines without the real ones.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from whisper import _ALIGNMENT_HEADS
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import ModelDimensions, Whisper

from benchmarks.arguments import argument_parser
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import SpeechOptions
from transcription_dagster.settings import load_settings
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.devices import DeviceUse, slots_on
from transcription_dagster.whisper.models.checkpoints import in_half_precision, open_model
from transcription_dagster.whisper.spans import Span

VOICES = Path(__file__).parents[1] / "transcription_dagster" / "demo" / "recordings"
SUFFIXES = {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".webm", ".mp4"}
#: Width, heads, and layers of encoder and decoder.
SHAPES = {"large-v3": (1280, 20, 32, 32), "turbo": (1280, 20, 32, 4), "base": (512, 8, 6, 6), "tiny": (384, 6, 4, 4)}


@dataclass(frozen=True)
class Measurement:
    """The measurement of some clips."""

    seconds: float
    words: list[list[str]]
    #: Average number of texts continued per step.
    rows: float = 1.0
    #: Median seconds between the end of a step and the start of the next one.
    gap: float = 0.0
    #: Share of the time that the device's thread worked.
    busy: float = 1.0


def clips(folder: Path, seconds: float, count: int) -> list[np.ndarray]:
    """Return this many clips, taken from all recordings in turn."""
    found: list[list[np.ndarray]] = []
    size = round(seconds * SAMPLE_RATE)
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
            flac = Path(scratch) / "clip.flac"
            normalise(path, flac, max_seconds=7200)
            samples = np.concatenate([*read_blocks(flac, 60)])
            parts = [samples[start : start + size] for start in range(0, max(1, samples.size - size // 2), size)]
            found.append(parts)
    most = max(map(len, found))
    turns = [parts[turn] for turn in range(most) for parts in found if turn < len(parts)]
    return list(islice(cycle(turns), count))


def random_model(shape: str, device: str) -> Whisper:
    """Return a model of random weights that never ends a text by itself; on a GPU in half precision, like real ones."""
    width, heads, encoder, decoder = SHAPES[shape]
    torch.manual_seed(0)
    dims = ModelDimensions(128, 1500, width, heads, encoder, 51866, 448, width, heads, decoder)
    model = Whisper(dims)
    if shape in _ALIGNMENT_HEADS:
        model.set_alignment_heads(_ALIGNMENT_HEADS[shape])
    return (model if device == "cpu" else in_half_precision(model)).to(device).eval()


def clock(device: str) -> Callable[[], float]:
    """Return the seconds that count on a device."""
    return time.process_time if device == "cpu" else time.perf_counter


def transcribed(model: Whisper, sounds: Sequence[np.ndarray], options: SpeechOptions) -> Measurement:
    """Transcribe one clip after another with `model.transcribe`."""
    now = clock(model.device.type)
    started = now()
    words = []
    for samples in sounds:
        torch.manual_seed(0)
        heard = model.transcribe(
            samples,
            language=options.language,
            temperature=options.temperatures,
            beam_size=options.beam_size,
            word_timestamps=True,
            fp16=model.device.type == "cuda",
        )
        segments: list[dict[str, Any]] = heard["segments"]  # type: ignore[assignment]
        words.append([word["word"].strip() for segment in segments for word in segment["words"]])
    return Measurement(now() - started, words)


def together(model: Whisper, sounds: Sequence[np.ndarray], options: SpeechOptions, slots: int) -> Measurement:
    """Transcribe all clips with the engine's batch, each in its own thread."""
    batch = opened(model, slots, options.beam_size or 1)
    gaps = list(watched(batch))
    device = DeviceThread(model.device)

    def hear(samples: np.ndarray) -> list[str]:
        access = ModelAccess(device, batch, DeviceUse())
        chosen = LoopOptions(
            languages=languages_of(samples, options.language),
            temperatures=options.temperatures,
            beam_size=options.beam_size,
            condition_on_previous_text=options.condition_on_previous_text,
            initial_prompt=None,
        )
        spectrogram = log_mel_spectrogram(samples, access.mels, padding=N_SAMPLES)
        segments = access.run(transcription(spectrogram, access.vocabulary, chosen))
        return [word.text.strip() for segment in segments for word in segment.words]

    now = clock(model.device.type)
    started, began = now(), time.perf_counter()
    with ThreadPoolExecutor(batch.slots.count + 2) as threads:
        words = list(threads.map(hear, sounds))
    seconds, elapsed = now() - started, time.perf_counter() - began
    [found] = gaps
    rows, gap = batch.rows / max(1, batch.steps), statistics.median(found or [0.0])
    return Measurement(seconds, words, rows, gap, device.worked / elapsed)


def opened(model: Whisper, slots: int, beams: int, *, fixed: bool = False) -> Batch:
    """Open a batch as an executor does: fewer slots if memory is short, and fixed shapes on a GPU."""
    count = slots_on(model.device, model.dims, wanted=slots, beams=beams)
    return Batch(model, count, beams=beams, fixed=fixed or model.device.type == "cuda")


def languages_of(samples: np.ndarray, language: str | None) -> SpokenLanguages:
    """Return the given language, or detect that of the whole clip."""
    if language is not None:
        return SpokenLanguages.fixed(language)
    return SpokenLanguages([Span(0.0, samples.size / SAMPLE_RATE)])


def watched(batch: Batch) -> Iterator[list[float]]:
    """Measure the host's time from the results of one step to the next step."""
    step, ended, gaps = batch.slots.step, [0.0], []

    def timed(rows):
        if ended[0]:
            gaps.append(time.perf_counter() - ended[0])
        found = step(rows)
        # The host waits for the results here, as when it chooses tokens.
        found.ruled.best.tolist()
        ended[0] = time.perf_counter()
        return found

    batch.slots.step = timed
    yield gaps


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=VOICES)
    parser.add_argument("--model", default="base")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--beams", type=int)
    parser.add_argument("--language", default="en", help="a code, or auto")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    sounds = clips(arguments.folder, arguments.seconds, arguments.count)
    hours = sum(samples.size for samples in sounds) / SAMPLE_RATE / 3600
    language = None if arguments.language == "auto" else arguments.language
    options = SpeechOptions(model=arguments.model, language=language, beam_size=arguments.beams)
    if arguments.shape:
        options = SpeechOptions(model=arguments.shape, language="en", beam_size=arguments.beams, temperatures=(0.0,))
        model = random_model(arguments.shape, arguments.device)
    else:
        model = open_model(arguments.model, load_settings().models_folder, arguments.device)
    # Compilation and setup at first use are not measured.
    transcribed(model, sounds[:1], options)
    expected = transcribed(model, sounds, options)
    print(f"{len(sounds)} clips, {hours * 3600:.0f} s of audio, {options.model}, {arguments.device}", flush=True)
    print("| engine | seconds per hour of audio | ratio | texts a step | gap between steps | clips that differ |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| model.transcribe | {expected.seconds / hours:.0f} | 1.00 | | | |", flush=True)
    for slots in arguments.slots:
        found = together(model, sounds, options, slots)
        differ = sum(one != other for one, other in zip(found.words, expected.words, strict=True))
        speed = f"{found.seconds / hours:.0f} | {expected.seconds / found.seconds:.2f}"
        print(f"| {slots} slots | {speed} | {found.rows:.1f} | {1000 * found.gap:.2f} ms | {differ} |", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
