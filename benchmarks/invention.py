"""Words invented without speech, and real words that the repair removes.

    python -m benchmarks.invention [--model base] [--speech FOLDER] [--only NAME ...]

Three ways to transcribe, all with the same weights: `model.transcribe` as it is, `model.transcribe` with its own remedy
(`hallucination_silence_threshold=2`), and this program. The sounds in which nobody speaks are made on the spot
(`benchmarks/sounds.py`), and so is speech that looks invented and was said (`benchmarks/spoken.py`). FOLDER adds
recordings with `references.json`: a list of {"file", "reference", "language"}.

A word counts as removed if `model.transcribe` heard it where the reference has it, and the other way to transcribe does
not. It counts as found if it is the other way round.
"""

from __future__ import annotations

import argparse
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein
from whisper.model import Whisper

from benchmarks.accuracy import plain, recordings, repaired, units
from benchmarks.sounds import NO_SPEECH, RATE
from benchmarks.spoken import SPOKEN
from transcription_dagster.settings import load_settings
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.models import open_model

#: The seconds of silence around a doubtful segment that make Whisper's own remedy skip it.
_THRESHOLD_SECONDS = 2.0

WAYS = ("model.transcribe", "hallucination_silence_threshold", "this program")


@dataclass(frozen=True)
class Case:
    """A recording and what is said in it: nothing, where `reference` is empty."""

    name: str
    samples: np.ndarray
    reference: str
    language: str = "en"

    @property
    def hours(self) -> float:
        return self.samples.size / RATE / 3600


@dataclass
class Count:
    """What one way to transcribe did, over all cases."""

    invented: int = 0
    removed: int = 0
    found: int = 0


@dataclass
class Tally:
    """The counts, and the time they go by."""

    silent_hours: float = 0.0
    spoken_hours: float = 0.0
    counts: list[Count] = field(default_factory=lambda: [Count() for _ in WAYS])

    def add(self, case: Case, texts: list[str]) -> None:
        """Count what each way made of a case."""
        wanted = units(case.reference, case.language)
        heard = [units(text, case.language) for text in texts]
        if not wanted:
            self.silent_hours += case.hours
            for count, words in zip(self.counts, heard, strict=True):
                count.invented += len(words)
            return
        self.spoken_hours += case.hours
        plain = _matched(wanted, heard[0])
        for count, words in zip(self.counts, heard, strict=True):
            count.removed += len(plain - _matched(wanted, words))
            count.found += len(_matched(wanted, words) - plain)


def _matched(wanted: list[str], heard: list[str]) -> set[int]:
    """Return which words of a reference were heard, by their places."""
    blocks = Levenshtein.opcodes(wanted, heard)
    return {place for block in blocks if block.tag == "equal" for place in range(block.src_start, block.src_end)}


def cases(speech: Path | None) -> Iterator[Case]:
    """Yield sounds without speech, speech that looks invented, and the recordings of a folder."""
    for name, make in NO_SPEECH.items():
        yield Case(name, make(), "")
    for name, speak in SPOKEN.items():
        samples, words = speak()
        yield Case(name, samples, words)
    if speech is not None:
        with tempfile.TemporaryDirectory() as scratch:
            for recording in recordings(speech, Path(scratch)):
                if recording.reference:
                    yield Case(recording.name, recording.samples, recording.reference, recording.language)


def heard(engine: SpeechEngine, model: Whisper, name: str, samples: np.ndarray) -> list[str]:
    """Return what each way to transcribe hears."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        ours = repaired(engine, name, path, None).words
    remedied = plain(model, samples, None, hallucination_silence_threshold=_THRESHOLD_SECONDS)
    return [join_words(words) for words in (plain(model, samples, None), remedied, ours)]


def show(tally: Tally) -> None:
    """Print the table."""
    print(f"\n{60 * tally.silent_hours:.0f} minutes without speech, {60 * tally.spoken_hours:.0f} minutes of speech\n")
    print("| | words invented in an hour without speech | words removed in an hour of speech | found |")
    print("| --- | --- | --- | --- |")
    for way, count in zip(WAYS, tally.counts, strict=True):
        invented = count.invented / max(1e-9, tally.silent_hours)
        removed, found = (number / max(1e-9, tally.spoken_hours) for number in (count.removed, count.found))
        print(f"| {way} | {invented:.0f} | {removed:.0f} | {found:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    folder = load_settings().models_folder
    engine = SpeechEngine(threads=1, models_folder=folder)
    engine.load(arguments.model)
    model = open_model(arguments.model, folder, "cpu")
    tally = Tally()
    for case in cases(arguments.speech):
        if arguments.only and case.name not in arguments.only:
            continue
        texts = heard(engine, model, arguments.model, case.samples)
        tally.add(case, texts)
        for way, text in zip(WAYS, texts, strict=True):
            print(f"{case.name}: {way}: {text.strip() or '-'}", flush=True)
    show(tally)


if __name__ == "__main__":
    main()
