"""Word errors of `model.transcribe` beside those of this program, by language, on recordings with reference texts.

    python -m benchmarks.accuracy [FOLDER] [--model base] [--language auto|given] [--only NAME ...] [--kept FILE]

FOLDER holds recordings and `references.json`: a list of {"file", "language", "reference"}; without it, the folder that
`TRANSCRIPTION_TEST_SPEECH` names is taken. Both columns come from the same weights with the same options. Texts are
compared as Whisper's authors do, through its own normalisers; Chinese, Japanese and Korean by character. A stretch of
speech counts as lost if a voice speaks for two seconds and no word stands near; recordings without a reference are
counted there too. The CPU time is that of recordings in which nothing was doubtful, lost or removed, so that both
ways do the same work. What is heard is kept in FILE, with which an interrupted run goes on.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from benchmarks.arguments import argument_parser, parse_speech_arguments
from benchmarks.transcripts import PLAIN, PROGRAM, Recording, Transcriber
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.model import Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.repair.lost_speech import speech_without_words
from transcription_dagster.whisper.voice_activity import analyse

_BY_CHARACTER = frozenset({"zh", "ja", "ko", "th"})
_ENGLISH, _BASIC, _CHARACTERS = EnglishTextNormalizer(), BasicTextNormalizer(), BasicTextNormalizer(split_letters=True)

#: A stretch of speech this long (s) without a word is lost.
_LOST_SECONDS = 2.0

WAYS = (PLAIN, PROGRAM)


@dataclass
class Score:
    """The counts for one language so far; lists have one number per way to transcribe."""

    recordings: int = 0
    words: int = 0
    errors: list[int] = field(default_factory=lambda: [0, 0])
    #: Stretches of speech without a word.
    lost: list[int] = field(default_factory=lambda: [0, 0])
    #: Recordings in which both ways hear the same words.
    alike: int = 0


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


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--language", choices=["auto", "given"], default="auto")
    arguments = parse_speech_arguments(parser)
    transcriber = Transcriber(arguments.model, arguments.kept)
    scores: dict[str, Score] = defaultdict(Score)
    seconds = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as scratch:
        for recording in recordings(arguments.folder, Path(scratch), arguments.only):
            language = recording.language.partition("-")[0] if arguments.language == "given" else None
            theirs, ours = (transcriber.transcribe(recording, way, language) for way in WAYS)
            errors = count(scores[recording.language.partition("-")[0]], recording, theirs.words, ours.words)
            if [word.text for word in theirs.words] == [word.text for word in ours.words] and ours.untouched:
                seconds = [seconds[0] + theirs.seconds, seconds[1] + ours.seconds]
            took = f"{theirs.seconds:.1f} s and {ours.seconds:.1f} s"
            print(f"{recording.name}: {errors[0]} and {errors[1]} errors, {took}", flush=True)
    show(scores, seconds)


def count(score: Score, recording: Recording, *heard: Sequence[Word]) -> list[int]:
    """Add what both ways heard in a recording; return the errors of each."""
    sound = analyse(recording.samples)
    wanted = units(recording.reference, recording.language)
    score.recordings += 1
    score.words += len(wanted)
    score.alike += len({tuple(word.text for word in words) for words in heard}) == 1
    errors = [0, 0]
    for way, words in enumerate(heard):
        score.lost[way] += len(speech_without_words(words, sound, _LOST_SECONDS))
        if wanted:
            errors[way] = Levenshtein.distance(wanted, units(join_words(words), recording.language))
            score.errors[way] += errors[way]
    return errors


def total(scores: Iterable[Score]) -> Score:
    """Return the sums of all scores."""
    found = Score()
    for score in scores:
        found.recordings += score.recordings
        found.words += score.words
        found.errors = [one + other for one, other in zip(found.errors, score.errors, strict=True)]
        found.lost = [one + other for one, other in zip(found.lost, score.lost, strict=True)]
        found.alike += score.alike
    return found


def show(scores: dict[str, Score], seconds: list[float]) -> None:
    """Print the table, and how much more time the program takes."""
    columns = [
        "language",
        "recordings",
        "words",
        *(f"errors, {way}" for way in WAYS),
        *(f"lost, {way}" for way in WAYS),
        "alike",
    ]
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for language, score in [*sorted(scores.items()), ("all", total(scores.values()))]:
        rates = [f"{100 * errors / score.words:.1f} %" if score.words else "-" for errors in score.errors]
        print(
            "|", " | ".join(map(str, [language, score.recordings, score.words, *rates, *score.lost, score.alike])), "|"
        )
    if seconds[0]:
        print(f"\nCPU time where nothing was heard twice: {seconds[0]:.0f} s and {seconds[1]:.0f} s,", end=" ")
        print(f"{100 * (seconds[1] / seconds[0] - 1):+.1f} %")


if __name__ == "__main__":
    main()
