"""Whether recordings that share the engine get what `model.transcribe` gives each of them alone.

    python -m benchmarks.identity [FOLDER] [--model base] [--slots 8] [--orders 0] [--beams N] [--every 1]
                                  [--device cuda] [--known FILE]

Every recording of FOLDER (without one, of the demo) goes through `model.transcribe`, which finds its language, and then
through the engine, in single precision and without repairs. They go through the engine together and arrive in random
order; `--orders 0 1 2` are the seeds of three orders, each run for each number of slots. Tokens, text and times of
segments, temperatures and times of words must be equal. Probabilities differ by rounding: the largest difference is
shown, of the log probabilities of segments, the probabilities of no speech, and those of words. `--every 3` takes every
third recording. `--known` keeps the results of `model.transcribe` in a file for the next call.

Exits with 1 if a recording differs.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import Whisper

from benchmarks.arguments import argument_parser
from benchmarks.engine import SUFFIXES, VOICES, opened
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.settings import load_settings
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.segments import DecodedSegment
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster.whisper.models.checkpoints import open_model

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Transcript:
    """A recording's transcript, in types that survive a round trip through JSON."""

    language: str
    #: The window, start, end, text, tokens, temperature and timed words of each segment.
    segments: list[list[Any]]
    #: The log probability of each segment, the probability of no speech in it, and the probabilities of its words.
    probabilities: list[float]

    def differs(self, other: Transcript) -> bool:
        """Return True if the other transcript has another segment."""
        return self.segments != other.segments

    def distance(self, other: Transcript) -> float:
        """Return the largest difference between two probabilities; the segments must be the same."""
        pairs = zip(self.probabilities, other.probabilities, strict=True)
        return max((abs(one - another) for one, another in pairs), default=0.0)


def recordings(folder: Path) -> list[Path]:
    """The recordings in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def samples_of(path: Path) -> np.ndarray:
    """Return the audio of a recording."""
    with tempfile.TemporaryDirectory() as scratch:
        flac = Path(scratch) / "sound.flac"
        normalise(path, flac, max_seconds=7200)
        return np.concatenate([*read_blocks(flac, 60)])


def transcribed(model: Whisper, samples: np.ndarray, beams: int | None) -> Transcript:
    """Transcribe a recording with `model.transcribe`, which finds its language."""
    torch.manual_seed(0)
    result = model.transcribe(samples, temperature=TEMPERATURES, beam_size=beams, word_timestamps=True, fp16=False)
    segments: list[dict[str, Any]] = result["segments"]  # type: ignore[assignment]
    transcript = Transcript(
        str(result["language"]),
        [
            [
                *(segment[name] for name in ("seek", "start", "end", "text", "tokens", "temperature")),
                [[word["word"], float(word["start"]), float(word["end"])] for word in segment["words"]],
            ]
            for segment in segments
        ],
        [
            number
            for segment in segments
            for number in (
                *(segment["avg_logprob"], segment["no_speech_prob"]),
                *(word["probability"] for word in segment["words"]),
            )
        ],
    )
    return Transcript(**json.loads(json.dumps(asdict(transcript))))


def transcript_of(language: str, segments: Sequence[DecodedSegment]) -> Transcript:
    """Return the same of the engine's segments."""
    return Transcript(
        language,
        [
            [
                *(segment.window, segment.start, segment.end, segment.text, list(segment.tokens)),
                segment.decoded.temperature,
                [[word.text, word.start, word.end] for word in segment.words],
            ]
            for segment in segments
        ],
        [
            number
            for segment in segments
            for number in (
                *(segment.decoded.average_log_probability, segment.decoded.no_speech_probability),
                *(word.probability for word in segment.words),
            )
        ],
    )


def together(
    batch: Batch,
    sounds: Mapping[str, np.ndarray],
    languages: Mapping[str, str],
    order: Sequence[str],
    beams: int | None,
) -> dict[str, Transcript]:
    """Transcribe recordings that arrive in an order and share the engine's slots."""
    device = DeviceThread(batch.model.device)

    def transcribe(name: str) -> Transcript:
        access = ModelAccess(device, batch, DeviceUse())
        chosen = LoopOptions(
            languages=SpokenLanguages.fixed(languages[name]),
            temperatures=TEMPERATURES,
            beam_size=beams,
            condition_on_previous_text=True,
            initial_prompt=None,
        )
        spectrogram = log_mel_spectrogram(sounds[name], access.mels, padding=N_SAMPLES)
        return transcript_of(languages[name], access.run(transcription(spectrogram, access.vocabulary, chosen)))

    with ThreadPoolExecutor(batch.slots.count + 2) as threads:
        return dict(zip(order, threads.map(transcribe, order), strict=True))


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=VOICES)
    parser.add_argument("--model", default="base")
    parser.add_argument("--slots", type=int, nargs="+", default=[8])
    parser.add_argument("--orders", type=int, nargs="+", default=[0])
    parser.add_argument("--beams", type=int)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--known", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    numba.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = open_model(arguments.model, load_settings().models_folder, arguments.device).float()
    sounds = {path.name: samples_of(path) for path in recordings(arguments.folder)[:: arguments.every]}
    known = _known(model, sounds, arguments.beams, arguments.known)
    languages = {name: known[name].language for name in sounds}
    seconds = sum(samples.size for samples in sounds.values()) / SAMPLE_RATE
    words = sum(len(segment[-1]) for name in sounds for segment in known[name].segments)
    print(f"{len(sounds)} recordings, {seconds:.0f} s, {len(set(languages.values()))} languages, {words} words")
    print("| slots | order | texts a step | probabilities off by | recordings that differ |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    faults = 0
    for slots in arguments.slots:
        for seed in arguments.orders:
            order = random.Random(f"{slots} {seed}").sample(sorted(sounds), len(sounds))
            batch = opened(model, slots, arguments.beams or 1)
            found = together(batch, sounds, languages, order, arguments.beams)
            differ = [name for name in order if found[name].differs(known[name])]
            distances = {name: found[name].distance(known[name]) for name in order if name not in differ}
            faults += len(differ)
            most = max(distances.values(), default=0.0)
            print(
                f"| {slots} | {seed} | {batch.rows / batch.steps:.1f} | {most:.1g} | {len(differ)} {differ or ''} |",
                flush=True,
            )
    sys.exit(faults > 0)


def _known(
    model: Whisper, sounds: Mapping[str, np.ndarray], beams: int | None, file: Path | None
) -> dict[str, Transcript]:
    """Return the results of `model.transcribe` for each recording, from the file where possible."""
    stored = json.loads(file.read_text()) if file is not None and file.is_file() else {}
    known = {name: Transcript(**stored[name]) for name in sounds if name in stored}
    for name, samples in sounds.items():
        if name in known:
            continue
        known[name] = transcribed(model, samples, beams)
        if file is not None:
            file.write_text(json.dumps(stored | {each: asdict(transcript) for each, transcript in known.items()}))
    return known


if __name__ == "__main__":
    main()
