"""Word times compared with exact ones: how far from the voice words and captions begin and end.

    python -m benchmarks.word_times [FOLDER] [--model base] [--prompts LANGUAGE=FOLDER ...] [--only TITLE ...]
                                    [--kept FILE]

FOLDER holds recordings and `references.json`, a list of {"file", "title", "language", "words": [{"text", "start",
"end"}]}; the default is the demo's recordings. A folder of prompts has one spoken sentence per file, such as those of
Debian's asterisk-core-sounds packages. Ten of them are joined with pauses of 0.6 to 3 s; each begins and ends with the
audio that is within 40 dB of its loudest part.

Both ways to transcribe use the same weights: plain `model.transcribe`, and this program. Errors are absolute, in
milliseconds. A caption is off if it begins more than three frames (25 a second) from its words. Transcripts are kept in
FILE, so that an interrupted run can continue.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

import transcription_dagster
from benchmarks.arguments import add_transcription_arguments, argument_parser
from benchmarks.sounds import RATE
from benchmarks.transcripts import PLAIN, PROGRAM, Recording, Transcriber, write_wav
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.language.alignment import align
from transcription_dagster.model import Word

_DEMO = Path(transcription_dagster.__file__).parent / "demo" / "recordings"
#: A pause between two phrases, in seconds.
_PAUSE_SECONDS = 0.5
#: Three frames of 40 ms.
FRAMES_SECONDS = 0.12

_PROMPTS = 10
_PAUSES = (0.6, 1.0, 1.5, 2.2, 3.0)
#: Audio this much below the loudest (dB) is not part of a prompt's speech; measured in steps of 10 ms.
_QUIET_DB = 40.0
_STEP = RATE // 100

WAYS = (PLAIN, PROGRAM)


#: A recording and its exact times: its words or, without text, its phrases.
Case = tuple[Recording, Sequence[Word]]


@dataclass
class Errors:
    """Differences in seconds; positive: too late."""

    word_starts: list[float] = field(default_factory=list)
    word_ends: list[float] = field(default_factory=list)
    #: Of the words after a pause, and of those before one.
    phrase_starts: list[float] = field(default_factory=list)
    phrase_ends: list[float] = field(default_factory=list)
    cue_starts: list[float] = field(default_factory=list)

    def add(self, other: Errors) -> None:
        for name, found in vars(other).items():
            getattr(self, name).extend(found)


def errors(heard: Sequence[Word], reference: Sequence[Word], *, duration: float) -> Errors:
    """Compare the words that are equal in both; without a text, phrases with the words in them."""
    if not any(word.text for word in reference):
        return _phrase_errors(heard, reference, duration)
    pairs = _pairs(heard, reference)
    firsts = {0, *(number for number, (one, other) in enumerate(pairwise(reference), 1) if _apart(one, other))}
    found = Errors()
    for number, word in pairs.items():
        wanted = reference[word]
        start, end = heard[number].start - wanted.start, heard[number].end - wanted.end
        found.word_starts.append(start)
        found.word_ends.append(end)
        if word in firsts:
            found.phrase_starts.append(start)
        if word + 1 in firsts or word + 1 == len(reference):
            found.phrase_ends.append(end)
    for cue in make_cues(heard, duration=duration):
        if cue.first in pairs:
            found.cue_starts.append(cue.start_ms / 1000 - reference[pairs[cue.first]].start)
    return found


def _pairs(heard: Sequence[Word], reference: Sequence[Word]) -> Mapping[int, int]:
    """Return the pairs of equal words in the reference and the transcript."""
    blocks = align([word.text for word in heard], [word.text for word in reference])
    return {
        number: block.new_first + number - block.old_first
        for block in blocks
        if block.same
        for number in range(block.old_first, block.old_stop)
    }


def _phrase_errors(heard: Sequence[Word], phrases: Sequence[Word], duration: float) -> Errors:
    """Compare the start and end of phrases with the nearest first and last words."""
    edges = [0.0, *((one.end + other.start) / 2 for one, other in pairwise(phrases)), duration]
    starts = {cue.first: cue.start_ms / 1000 for cue in make_cues(heard, duration=duration)}
    found = Errors()
    for phrase, (begin, stop) in zip(phrases, pairwise(edges), strict=True):
        near = [number for number, word in enumerate(heard) if begin <= (word.start + word.end) / 2 < stop]
        if near:
            found.phrase_starts.append(heard[near[0]].start - phrase.start)
            found.phrase_ends.append(heard[near[-1]].end - phrase.end)
            if near[0] in starts:
                found.cue_starts.append(starts[near[0]] - phrase.start)
    return found


def _apart(one: Word, other: Word) -> bool:
    return other.start - one.end >= _PAUSE_SECONDS


def recordings(folder: Path, scratch: Path) -> Iterator[Case]:
    """Yield the recordings of a folder whose words have times."""
    for number, entry in enumerate(json.loads((folder / "references.json").read_text(encoding="utf-8"))):
        if entry.get("words"):
            flac, samples = _decoded(folder / entry["file"], scratch / f"{number}.flac")
            words = [Word(word["text"], word["start"], word["end"]) for word in entry["words"]]
            yield Recording(entry["title"], entry["language"], "", flac, samples), words


def prompts(language: str, folder: Path, scratch: Path) -> Case:
    """Join some prompts with pauses of known length."""
    files = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: -file.stat().st_size)
    longer = files[len(files) // 20 : len(files) // 4]
    chosen = np.random.default_rng(1).choice(len(longer), _PROMPTS, replace=False)
    parts, phrases, place = [np.zeros(RATE, np.float32)], [], 1.0
    for number, index in enumerate(chosen):
        _, samples = _decoded(longer[index], scratch / f"{language}-{number}.flac")
        start, end = _speech(samples)
        phrases.append(Word("", place + start, place + end))
        pause = np.zeros(round(_PAUSES[number % len(_PAUSES)] * RATE), np.float32)
        parts += [samples, pause]
        place += (samples.size + pause.size) / RATE
    whole = np.concatenate(parts)
    write_wav(scratch / f"{language}.wav", whole)
    flac, samples = _decoded(scratch / f"{language}.wav", scratch / f"{language}.flac")
    return Recording(f"prompts, {language}", language, "", flac, samples), phrases


def _speech(samples: np.ndarray) -> tuple[float, float]:
    """Return where a prompt's speech begins and ends, in seconds."""
    power = np.square(samples[: samples.size // _STEP * _STEP]).reshape(-1, _STEP).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-_QUIET_DB / 10))
    return loud[0] * _STEP / RATE, (loud[-1] + 1) * _STEP / RATE


def _decoded(source: Path, flac: Path) -> tuple[Path, np.ndarray]:
    normalise(source, flac, max_seconds=7200)
    return flac, np.concatenate([*read_blocks(flac, 60)])


def row(name: str, found: Errors) -> str:
    """Return one line of the table: median and 95th percentile of each error, and the captions that are off."""
    cells = [f"{name:<34}"]
    for values in (found.word_starts, found.word_ends, found.phrase_starts, found.phrase_ends):
        sizes = np.abs(values) * 1000
        cells.append(f"{np.median(sizes):6.0f} /{np.percentile(sizes, 95):5.0f}" if sizes.size else f"{'-':>13}")
    off = sum(abs(error) > FRAMES_SECONDS for error in found.cue_starts)
    return "  ".join([*cells, f"{off:>3} of {len(found.cue_starts)}"])


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=_DEMO)
    parser.add_argument("--prompts", nargs="*", default=[], metavar="LANGUAGE=FOLDER")
    add_transcription_arguments(parser)
    arguments = parser.parse_args()
    transcriber = Transcriber(arguments.model, arguments.kept)
    print(f"{'median / 95 % (ms)':<34}  {'word starts':>13}  {'word ends':>13}  {'after pauses':>13}  "
          f"{'before pauses':>13}  captions off")  # fmt: skip
    totals = [Errors(), Errors()]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        folders = (named.partition("=") for named in arguments.prompts)
        joined = (prompts(language, Path(place), scratch) for language, _, place in folders)
        for case, reference in [*recordings(arguments.folder, scratch), *joined]:
            if arguments.only and case.name not in arguments.only:
                continue
            for total, way in zip(totals, WAYS, strict=True):
                words = transcriber.transcribe(case, way, case.language).words
                found = errors(words, reference, duration=case.samples.size / RATE)
                total.add(found)
                print(row(f"{case.name[:14]}: {way}", found), flush=True)
    for total, way in zip(totals, WAYS, strict=True):
        print(row(f"all: {way}", total))


if __name__ == "__main__":
    main()
