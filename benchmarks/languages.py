"""Recordings in several languages: which language each word is taken for, beside `model.transcribe`.

    python -m benchmarks.languages [FOLDER] [--model base] [--count 16] [--seed 1] [--only NAME ...] [--kept FILE]

FOLDER holds recordings and `references.json`: a list of {"file", "language", "reference"}; without it, the folder that
`TRANSCRIPTION_TEST_SPEECH` names is taken. Each mix joins four recordings of 2 to 15 s, drawn from two or three
languages, with pauses of 0.2 to 1.5 s, all equally loud. After the mixes, the recordings themselves are heard: in each
of them every word should be in its one language. `model.transcribe` takes the language of the first 30 s for all.
What is heard is kept in FILE, with which an interrupted run goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from benchmarks.accuracy import recordings, units
from benchmarks.arguments import argument_parser, parse_speech_arguments
from benchmarks.sounds import RATE
from benchmarks.transcripts import PLAIN, PROGRAM, Recording, Transcriber, write_wav
from transcription_dagster.model import Word
from transcription_dagster.transcripts.plain_text import join_words

_PARTS = 4
_SECONDS = (2.0, 15.0)
_PAUSES = (0.2, 0.4, 0.7, 1.0, 1.5)
#: The level of each part (root mean square).
_LEVEL = 0.05


@dataclass(frozen=True)
class Part:
    """A recording inside a mix, in seconds from its start."""

    start: float
    end: float
    recording: Recording

    @property
    def language(self) -> str:
        return self.recording.language.partition("-")[0]

    def words(self, heard: Sequence[Word]) -> list[Word]:
        """Return the words whose middle lies in this part."""
        return [word for word in heard if self.start <= (word.start + word.end) / 2 < self.end]

    def is_heard_in_its_language(self, heard: Sequence[Word]) -> bool:
        """Return whether most of its words have its language."""
        words = self.words(heard)
        return 2 * sum(word.language == self.language for word in words) > len(words)


Mix = tuple[Recording, list[Part]]


def mixes(spoken: Sequence[Recording], count: int, seed: int, scratch: Path) -> Iterator[Mix]:
    """Yield recordings that are joined from others, at random but the same for the same seed."""
    chance = np.random.default_rng(seed)
    by_language = {language: list(found) for language, found in groupby(sorted(spoken, key=_language), key=_language)}
    if len(by_language) < 3:
        raise SystemExit("nothing measured: a mix needs recordings of 2 to 15 s with a reference in three languages")
    for number in range(count):
        languages = chance.choice(sorted(by_language), 2 + number % 2, replace=False)
        chosen: list[Recording] = []
        for place in range(_PARTS):
            pool = by_language[languages[place % len(languages)]]
            chosen.append(pool[chance.integers(len(pool))])
        pauses = chance.choice(_PAUSES, _PARTS).tolist()
        yield _joined(f"mix {seed}.{number}", chosen, pauses, scratch / "mix.wav")


def _language(recording: Recording) -> str:
    return recording.language.partition("-")[0]


def _joined(name: str, chosen: Sequence[Recording], pauses: Sequence[float], path: Path) -> Mix:
    sounds, parts, place = [], [], 0.0
    for recording, pause in zip(chosen, pauses, strict=True):
        samples = recording.samples * (_LEVEL / np.sqrt(np.mean(np.square(recording.samples))))
        silence = np.zeros(round(pause * RATE), np.float32)
        end = place + (samples.size + silence.size) / RATE
        parts.append(Part(place, end, recording))
        sounds += [samples, silence]
        place = end
    whole = np.clip(np.concatenate(sounds), -1, 1).astype(np.float32)
    write_wav(path, whole)
    return Recording(name, "mul", "", path, whole), parts


def errors(words: Sequence[Word], parts: Sequence[Part]) -> int:
    """Return the edit distance in words (characters in Chinese, Japanese and Korean), part by part."""
    return sum(
        Levenshtein.distance(
            units(part.recording.reference, part.language), units(join_words(part.words(words)), part.language)
        )
        for part in parts
    )


def show_mix(name: str, parts: Sequence[Part], words: Sequence[Word], wrong: Sequence[int]) -> int:
    """Print a line of the table; return how many parts have most of their words in their language."""
    right = sum(part.is_heard_in_its_language(words) for part in parts)
    languages = " ".join(part.language for part in parts)
    taken = " ".join(language or "?" for language, _ in groupby(word.language for word in words))
    print(f"| {name} | {languages} | {taken} | {right} of {len(parts)} | {wrong[0]} | {wrong[1]} |", flush=True)
    return right


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parse_speech_arguments(parser)
    transcriber = Transcriber(arguments.model, arguments.kept)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        every = [recording for recording in recordings(arguments.folder, scratch) if recording.reference]
        spoken = [one for one in every if _SECONDS[0] <= one.samples.size / RATE <= _SECONDS[1]]
        print("| mix | spoken | heard as | parts in their language | errors, model.transcribe | errors, this program |")
        print("| --- | --- | --- | --- | --- | --- |")
        parts_right = parts_all = 0
        wrong = [0, 0]
        for mix, parts in mixes(spoken, arguments.count, arguments.seed, scratch):
            if arguments.only and mix.name not in arguments.only:
                continue
            heard = [transcriber.transcribe(mix, way).words for way in (PLAIN, PROGRAM)]
            counts = [errors(words, parts) for words in heard]
            wrong = [total + count for total, count in zip(wrong, counts, strict=True)]
            parts_right += show_mix(mix.name, parts, heard[1], counts)
            parts_all += len(parts)
        print(f"\nall: {parts_right} of {parts_all} parts in their language; errors: {wrong[0]} and {wrong[1]}\n")
        if not arguments.only:
            show_alone(transcriber, every)


def show_alone(transcriber: Transcriber, spoken: Sequence[Recording]) -> None:
    """Print which recordings in one language have words of another."""
    astray = 0
    for recording in spoken:
        words = transcriber.transcribe(recording, PROGRAM).words
        others = {word.language for word in words} - {_language(recording)}
        astray += bool(others)
        if others:
            print(f"{recording.name}: {_language(recording)}, heard as {' '.join(sorted(map(str, others)))}")
    print(f"{len(spoken)} recordings in one language: {astray} with words in another")


if __name__ == "__main__":
    main()
