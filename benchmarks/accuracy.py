"""Word errors of `model.transcribe` beside those of this program, by language, on recordings with reference texts.

    python -m benchmarks.accuracy [FOLDER] [--model base] [--language auto|given] [--only NAME ...]

FOLDER holds recordings and `references.json`: a list of {"file", "language", "reference"}; without it, the folder that
`TRANSCRIPTION_TEST_SPEECH` names is taken. Both columns come from the same weights with the same options. Texts are
compared as Whisper's authors do, through its own normalisers; Chinese, Japanese and Korean by character. A stretch of
speech counts as lost if a voice speaks for two seconds and no word stands near; recordings without a reference are
counted there too. The CPU time is that of recordings in which nothing was doubtful, lost or removed, so that both
ways do the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from whisper.model import Whisper
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from transcription_dagster.audio.decode import normalise, read_blocks
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.model import SpeechOptions, Transcript, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.lost import unheard
from transcription_dagster.whisper.models import open_model
from transcription_dagster.whisper.voice_activity import analyse

_BY_CHARACTER = frozenset({"zh", "ja", "ko", "th"})
_ENGLISH, _BASIC, _CHARACTERS = EnglishTextNormalizer(), BasicTextNormalizer(), BasicTextNormalizer(split_letters=True)

#: A stretch of speech this long (s) without a word is lost.
_LOST_SECONDS = 2.0

WAYS = ("model.transcribe", "this program")


@dataclass(frozen=True)
class Recording:
    """A normalised recording; `reference` is empty if there is no reference text."""

    name: str
    language: str
    reference: str
    flac: Path
    samples: np.ndarray


@dataclass
class Score:
    """What was counted for one language so far; the lists hold one number for each way to transcribe."""

    recordings: int = 0
    words: int = 0
    errors: list[int] = field(default_factory=lambda: [0, 0])
    #: Stretches of speech without a word.
    lost: list[int] = field(default_factory=lambda: [0, 0])


def units(text: str, language: str) -> list[str]:
    """The words, or characters, in which a text is compared."""
    language = language.partition("-")[0]
    normaliser = _ENGLISH if language == "en" else _CHARACTERS if language in _BY_CHARACTER else _BASIC
    return normaliser(text).split()


def recordings(folder: Path, scratch: Path, only: Collection[str] = ()) -> Iterator[Recording]:
    """Yield the recordings of a folder, in the order of its list; only those of these names, if there are any."""
    for number, entry in enumerate(json.loads((folder / "references.json").read_text(encoding="utf-8"))):
        if only and entry["file"] not in only:
            continue
        flac = scratch / f"{number}.flac"
        try:
            normalise(folder / entry["file"], flac, max_seconds=7200)
        except UnusableAudio as error:
            print(f"{entry['file']}: left out: {error}")
            continue
        samples = np.concatenate([*read_blocks(flac, 60)])
        yield Recording(entry["file"], entry["language"], entry.get("reference") or "", flac, samples)


def plain(model: Whisper, samples: np.ndarray, language: str | None, **options: Any) -> list[Word]:
    """Return the words that `model.transcribe` hears."""
    torch.manual_seed(0)
    heard: dict[str, Any] = model.transcribe(
        samples, language=language, fp16=False, word_timestamps=True, verbose=None, **options
    )
    words = [word for segment in heard["segments"] for word in segment["words"]]
    return [
        Word(word["word"].strip(), word["start"], word["end"], word["probability"], not word["word"][0].isspace())
        for word in words
        if word["word"].strip()
    ]


def repaired(engine: SpeechEngine, model: str, flac: Path, language: str | None) -> Transcript:
    """Return what this program hears."""
    return engine.transcribe(
        engine.prepare(flac),
        SpeechOptions(model=model, language=language),
        recording="",
        on_progress=lambda _: None,
        should_stop=lambda: False,
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and the CPU time that it took in seconds."""
    started = time.process_time()
    return work(), time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("TRANSCRIPTION_TEST_SPEECH"))
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", choices=["auto", "given"], default="auto")
    parser.add_argument("--only", nargs="*", default=())
    arguments = parser.parse_args()
    if not arguments.folder:
        print("nothing measured: name a folder of recordings, or set TRANSCRIPTION_TEST_SPEECH")
        return
    models_folder = load_settings().models_folder
    engine = SpeechEngine(threads=1, models_folder=models_folder)
    engine.load(arguments.model)
    model = open_model(arguments.model, models_folder, "cpu")
    scores: dict[str, Score] = defaultdict(Score)
    seconds = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as scratch:
        for recording in recordings(Path(arguments.folder), Path(scratch), arguments.only):
            language = recording.language.partition("-")[0] if arguments.language == "given" else None
            words, theirs = timed(lambda: plain(model, recording.samples, language))  # noqa: B023
            heard, ours = timed(lambda: repaired(engine, arguments.model, recording.flac, language))  # noqa: B023
            count(scores[recording.language], recording, [words, heard.words])
            if [word.text for word in words] == [word.text for word in heard.words] and not heard.doubtful:
                seconds = [seconds[0] + theirs, seconds[1] + ours]
            print(f"{recording.name}: {theirs:.1f} s, {ours:.1f} s", flush=True)
    show(scores, seconds)


def count(score: Score, recording: Recording, heard: list[Any]) -> None:
    """Add what both ways heard in a recording."""
    sound = analyse(recording.samples)
    wanted = units(recording.reference, recording.language)
    score.recordings += 1
    score.words += len(wanted)
    for way, words in enumerate(heard):
        score.lost[way] += len(unheard(words, sound, _LOST_SECONDS))
        if wanted:
            score.errors[way] += Levenshtein.distance(wanted, units(join_words(words), recording.language))


def show(scores: dict[str, Score], seconds: list[float]) -> None:
    """Print the table, and how much more time the program takes."""
    columns = [
        "language",
        "recordings",
        "words",
        *(f"errors, {way}" for way in WAYS),
        *(f"lost, {way}" for way in WAYS),
    ]
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for language, score in sorted(scores.items()):
        rates = [f"{100 * errors / score.words:.1f} %" if score.words else "-" for errors in score.errors]
        print("|", " | ".join(map(str, [language, score.recordings, score.words, *rates, *score.lost])), "|")
    if seconds[0]:
        print(f"\nCPU time where nothing was heard twice: {seconds[0]:.0f} s and {seconds[1]:.0f} s,", end=" ")
        print(f"{100 * (seconds[1] / seconds[0] - 1):+.1f} %")


if __name__ == "__main__":
    main()
