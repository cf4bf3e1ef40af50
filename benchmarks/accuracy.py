"""Word errors of the program beside those of `model.transcribe`, by language, on recordings with reference texts.

    python -m benchmarks.accuracy FOLDER [--model base] [--language auto|given] [--limit N]

FOLDER holds recordings and `references.json`: a list of {"file", "language", "reference"}. Texts are compared as
Whisper's authors do, through its own normalisers; Chinese, Japanese and Korean by character. Both columns come from the
same model with the same options: without its repairs the program's words are those of `model.transcribe`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from rapidfuzz.distance import Levenshtein
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from transcription_dagster.audio.decode import normalise
from transcription_dagster.model import SpeechOptions
from transcription_dagster.settings import load_settings
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.engine import SpeechEngine

_BY_CHARACTER = frozenset({"zh", "ja", "ko", "th"})
_ENGLISH, _BASIC, _CHARACTERS = EnglishTextNormalizer(), BasicTextNormalizer(), BasicTextNormalizer(split_letters=True)


@dataclass
class Score:
    """What was counted so far, for one language."""

    words: int = 0
    #: Errors and seconds, without and with the program's repairs.
    errors: list[int] = field(default_factory=lambda: [0, 0])
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])


def units(text: str, language: str) -> list[str]:
    """The words, or characters, in which a text is compared."""
    normaliser = _ENGLISH if language == "en" else _CHARACTERS if language in _BY_CHARACTER else _BASIC
    return normaliser(text).split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", choices=["auto", "given"], default="auto")
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    references = json.loads((arguments.folder / "references.json").read_text(encoding="utf-8"))
    entries = [entry for entry in references if entry.get("reference")][: arguments.limit]
    engine = SpeechEngine(threads=1, models_folder=load_settings().models_folder)
    engine.load(arguments.model)
    scores: dict[str, Score] = defaultdict(Score)
    with tempfile.TemporaryDirectory() as folder:
        for number, entry in enumerate(entries):
            flac = Path(folder) / f"{number}.flac"
            normalise(arguments.folder / entry["file"], flac, max_seconds=7200)
            language = entry["language"]
            wanted = units(entry["reference"], language)
            score = scores[language]
            score.words += len(wanted)
            for column, repair in enumerate((False, True)):
                started = time.process_time()
                options = SpeechOptions(
                    model=arguments.model,
                    language=language if arguments.language == "given" else None,
                    remove_invented_speech=repair,
                )
                heard = engine.transcribe(
                    engine.prepare(flac), options, recording="", on_progress=lambda _: None, should_stop=lambda: False
                )
                score.seconds[column] += time.process_time() - started
                score.errors[column] += Levenshtein.distance(wanted, units(join_words(heard.words), language))
    show(scores)


def show(scores: dict[str, Score]) -> None:
    """Print the table."""
    print("| language | words | model.transcribe | with repairs | CPU time |\n| --- | --- | --- | --- | --- |")
    for language, score in sorted(scores.items()):
        rates = [f"{100 * errors / max(1, score.words):.1f} %" for errors in score.errors]
        ratio = score.seconds[1] / score.seconds[0] if score.seconds[0] else 1.0
        print(f"| {language} | {score.words} | {rates[0]} | {rates[1]} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
