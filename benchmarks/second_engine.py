"""CPU time and word errors of the two speech engines, on recordings with reference texts.

    python -m benchmarks.second_engine [FOLDER] [--model base] [--limit N] [--languages en,de] [--repair]

FOLDER holds recordings and `references.json`: a list of {"file", "language", "reference"} or, as in the demo's folder,
{"file", "text"} in English. The default is the demo's folder. Each recording goes through openai-whisper in single
precision and then, in the same process, through faster-whisper in int8, on one thread, with the language given. Times
are CPU seconds of the whole transcription, including decoding the file and, with --repair, voice activity and second
passes.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rapidfuzz.distance import Levenshtein

import transcription_dagster
from benchmarks.accuracy import units
from benchmarks.arguments import argument_parser
from transcription_dagster.audio.decode import normalise
from transcription_dagster.model import SpeechEngineName, SpeechOptions
from transcription_dagster.settings import load_settings
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.engine import SpeechEngine

ENGINES = get_args(SpeechEngineName)
DEMO = Path(transcription_dagster.__file__).parent / "demo" / "recordings"
#: Resamples for the interval of the difference in word errors.
DRAWS = 2000


@dataclass(frozen=True)
class Result:
    """The result of one engine on one recording."""

    audio_seconds: float
    cpu_seconds: float
    #: Words, or characters, of the reference and of the transcript.
    wanted: list[str]
    heard: list[str]

    @property
    def errors(self) -> int:
        return Levenshtein.distance(self.wanted, self.heard)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--model", default="base")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--languages", type=lambda names: names.split(","))
    parser.add_argument("--repair", action="store_true", help="with the program's repairs, as in the pool")
    arguments = parser.parse_args()
    entries = [
        entry
        for entry in _entries(arguments.folder)
        if not arguments.languages or entry["language"] in arguments.languages
    ]
    engine = SpeechEngine(threads=1, models_folder=load_settings().models_folder)
    for name in ENGINES:
        engine.load(arguments.model, name)
    results: dict[str, list[Result]] = {name: [] for name in ENGINES}
    for entry in entries[: arguments.limit]:
        for name in ENGINES:
            options = SpeechOptions(
                arguments.model, language=entry["language"], remove_invented_speech=arguments.repair, engine=name
            )
            results[name].append(_transcribe(engine, arguments.folder / entry["file"], options, entry["reference"]))
    show(results)


def _entries(folder: Path) -> list[dict[str, str]]:
    found = json.loads((folder / "references.json").read_text(encoding="utf-8"))
    entries = [
        {
            "file": entry["file"],
            "language": entry.get("language", "en").partition("-")[0],
            "reference": entry.get("reference") or entry.get("text") or "",
        }
        for entry in found
    ]
    return [entry for entry in entries if entry["reference"]]


def _transcribe(engine: SpeechEngine, path: Path, options: SpeechOptions, reference: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        flac = Path(folder) / "audio.flac"
        normalise(path, flac, max_seconds=7200)
        started = time.process_time()
        transcript = engine.transcribe(
            engine.prepare(flac), options, recording="", on_progress=lambda _: None, should_stop=lambda: False
        )
        seconds = time.process_time() - started
    language = options.language or "en"
    return Result(
        transcript.duration, seconds, units(reference, language), units(join_words(transcript.words), language)
    )


def show(results: dict[str, list[Result]]) -> None:
    """Print the table and the confidence interval of the difference in word errors."""
    print("| engine | recordings | audio | CPU s per minute of audio | times as fast | word errors |")
    print("| --- | --- | --- | --- | --- | --- |")
    slowest = sum(result.cpu_seconds for result in results[ENGINES[0]])
    for name, found in results.items():
        audio, cpu = (sum(getattr(result, part) for result in found) for part in ("audio_seconds", "cpu_seconds"))
        errors, words = sum(result.errors for result in found), sum(len(result.wanted) for result in found)
        print(
            f"| {name} | {len(found)} | {audio:.0f} s | {60 * cpu / audio:.1f} | {slowest / cpu:.2f} "
            f"| {errors} of {words}, {100 * errors / words:.2f} % |"
        )
    low, high = _interval(results)
    print(f"\nDifference in word errors, 95 % interval over recordings: {low:+.2f} to {high:+.2f} points.")


def _interval(results: dict[str, list[Result]]) -> tuple[float, float]:
    """Return the interval that holds the difference in 95 % of resamples with replacement."""
    pairs = list(zip(*results.values(), strict=True))
    chance = random.Random(0)
    differences = []
    for _ in range(DRAWS):
        drawn = chance.choices(pairs, k=len(pairs))
        words = sum(len(first.wanted) for first, _ in drawn)
        differences.append(100 * sum(second.errors - first.errors for first, second in drawn) / words)
    differences.sort()
    return differences[DRAWS // 40], differences[-DRAWS // 40]


if __name__ == "__main__":
    main()
