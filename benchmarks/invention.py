"""Hallucinated words on audio without speech, and real words that the repair removes.

    python -m benchmarks.invention [--model base] [--speech FOLDER] [--only NAME ...] [--kept FILE]

Three ways to transcribe, all with the same weights: plain `model.transcribe`, `model.transcribe` with its own remedy
(`hallucination_silence_threshold=2`), and this program. The sounds without speech are synthesised
(`benchmarks/sounds.py`); speech that resembles hallucinations is cut from real recordings (`benchmarks/spoken.py`).
FOLDER adds recordings with `references.json`: a list of {"file", "reference", "language"}. Transcripts are kept in
FILE, so that an interrupted run can continue; those kept there by `benchmarks.accuracy` are reused.

A word counts as removed if `model.transcribe` has it where the reference does, and the other way to transcribe does
not. In the opposite case it counts as found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from benchmarks.accuracy import recordings, units
from benchmarks.arguments import add_transcription_arguments, argument_parser
from benchmarks.sounds import NO_SPEECH
from benchmarks.spoken import SPOKEN, Spoken
from benchmarks.transcripts import PLAIN, PROGRAM, REMEDIED, Recording, Transcriber, write_wav
from transcription_dagster.transcripts.plain_text import join_words

WAYS = (PLAIN, REMEDIED, PROGRAM)


@dataclass
class Count:
    """The counts of one way to transcribe, over all cases."""

    invented: int = 0
    removed: int = 0
    found: int = 0


@dataclass
class Tally:
    """The counts and the durations to which they relate."""

    silent_hours: float = 0.0
    spoken_hours: float = 0.0
    counts: list[Count] = field(default_factory=lambda: [Count() for _ in WAYS])

    def add(self, case: Recording, texts: list[str]) -> None:
        """Count the results of each way for a recording; one without a reference is without speech."""
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
    """Return the indices of the words of a reference that the transcript has."""
    blocks = Levenshtein.opcodes(wanted, heard)
    return {place for block in blocks if block.tag == "equal" for place in range(block.src_start, block.src_end)}


def cases(speech: Path | None, scratch: Path) -> Iterator[Recording]:
    """Yield sounds without speech, speech that resembles hallucinations, and the recordings of a folder."""
    made = chain(((name, (make(), "")) for name, make in NO_SPEECH.items()), _spoken())
    for name, (samples, words) in made:
        path = scratch / "made.wav"
        write_wav(path, samples)
        yield Recording(name, "en", words, path, samples)
    if speech is not None:
        yield from (recording for recording in recordings(speech, scratch) if recording.reference)


def _spoken() -> Iterator[tuple[str, Spoken]]:
    return ((name, speak()) for name, speak in SPOKEN.items())


def show(tally: Tally) -> None:
    """Print the table."""
    print(f"\n{60 * tally.silent_hours:.0f} minutes without speech, {60 * tally.spoken_hours:.0f} minutes of speech\n")
    print("| | words hallucinated in an hour without speech | words removed in an hour of speech | found |")
    print("| --- | --- | --- | --- |")
    for way, count in zip(WAYS, tally.counts, strict=True):
        invented = count.invented / max(1e-9, tally.silent_hours)
        removed, found = (number / max(1e-9, tally.spoken_hours) for number in (count.removed, count.found))
        print(f"| {way} | {invented:.0f} | {removed:.0f} | {found:.0f} |")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--speech", type=Path)
    add_transcription_arguments(parser)
    arguments = parser.parse_args()
    transcriber = Transcriber(arguments.model, arguments.kept)
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(arguments.speech, Path(scratch)):
            if arguments.only and case.name not in arguments.only:
                continue
            texts = [join_words(transcriber.transcribe(case, way).words) for way in WAYS]
            tally.add(case, texts)
            for way, text in zip(WAYS, texts, strict=True):
                print(f"{case.name}: {way}: {text.strip() or '-'}", flush=True)
    show(tally)


if __name__ == "__main__":
    main()
