"""The cost of the text code for a long recording, compared with a straightforward or existing implementation.

    python -m benchmarks.text --hours 10

The speech is synthetic: sentences of words drawn from a Zipf distribution, with names, numbers, commas and pauses, at
2.8 words a second. All times are CPU seconds of this process on one core; a ratio below 1 means less than the baseline.
The captions also show how many break a limit or end inside a name or number.
"""

from __future__ import annotations

import io
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.arguments import argument_parser
from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import CaptionLimits, break_lines, display_width
from transcription_dagster.captions.quality import caption_findings
from transcription_dagster.captions.subtitles import read_srt, to_srt
from transcription_dagster.language.alignment import align
from transcription_dagster.language.boundaries import INSIDE_NAME_OR_NUMBER, break_cost
from transcription_dagster.model import Cue, Transcript, Word
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.plain_text import join_words

Result = TypeVar("Result")

WORDS_PER_HOUR = 10_000
LIMITS = CaptionLimits()
FREQUENT = [
    "the",
    "of",
    "and",
    "to",
    "a",
    "in",
    "that",
    "is",
    "was",
    "he",
    "for",
    "it",
    "with",
    "as",
    "his",
    "on",
    "be",
]
#: difflib is quadratic: both get only this many words where they are compared.
DIFFLIB_WORDS = 20_000


@dataclass(frozen=True)
class Row:
    """One measurement and its baseline."""

    task: str
    seconds: float
    baseline: str
    baseline_seconds: float
    note: str = ""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--hours", type=float, default=10.0)
    hours = parser.parse_args().hours
    words = speech(int(hours * WORDS_PER_HOUR))
    table = Table("task", "CPU s", "baseline", "CPU s", "ratio", "", title=f"{len(words):,} words, {hours:g} hours")
    for row in [*caption_rows(words), *correction_rows(words), *json_rows(words), *growth_rows(hours)]:
        ratio = f"{row.seconds / row.baseline_seconds:.3g}"
        table.add_row(row.task, f"{row.seconds:.2f}", row.baseline, f"{row.baseline_seconds:.2f}", ratio, row.note)
    Console(width=150).print(table)


def speech(count: int) -> list[Word]:
    """Return this many words of synthetic speech with their times."""
    chance = random.Random(7)
    letters = "etaoinshrdlucmfwypvbgk"
    lexicon = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(8000)]
    lexicon[: len(FREQUENT)] = FREQUENT
    weights = [1 / (rank + 3) for rank in range(len(lexicon))]
    words: list[Word] = []
    now = 0.5
    length = 0
    for text in chance.choices(lexicon, weights, k=count):
        length = length or chance.randint(4, 30)
        length -= 1
        if chance.random() < 0.03:
            text = chance.choice(["New", "York", "Dr.", "3.5", "million", "percent", "Mary", "Smith"])
        text += "." if length == 0 else "," if chance.random() < 0.08 else ""
        end = now + max(0.08, 0.062 * len(text) * chance.uniform(0.7, 1.3))
        words.append(Word(text, round(now, 2), round(end, 2), 0.9))
        now = end + (chance.uniform(0.2, 1.5) if length == 0 else chance.choice([0.0, 0.0, 0.0, 0.3]))
    return words


def measured(task: Callable[[], Result]) -> tuple[Result, float]:
    """Return a task's result and its CPU seconds."""
    started = time.process_time()
    result = task()
    return result, time.process_time() - started


def caption_rows(words: Sequence[Word]) -> list[Row]:
    """Our captions compared with greedy cutting and with openai-whisper's writer."""
    cues, seconds = measured(lambda: make_cues(words, LIMITS))
    greedy, greedy_seconds = measured(lambda: greedy_cues(words))
    theirs, their_seconds = measured(whisper_writer(words))
    their_cues = read_srt(theirs)
    ours = flaws(cues, words)
    return [
        Row("captions", seconds, "greedy cut", greedy_seconds, f"{ours}; greedy: {flaws(greedy, words)}"),
        Row("captions", seconds, "whisper's writer", their_seconds, f"{ours}; whisper: {flaws(their_cues, words)}"),
    ]


def greedy_cues(words: Sequence[Word]) -> list[Cue]:
    """Greedy cutting: cues filled up to two lines or seven seconds, or to the end of a sentence."""
    cues: list[Cue] = []
    first = 0
    for stop in range(1, len(words) + 1):
        taken = words[first : stop + 1]
        full = display_width(join_words(taken)) > 80 or taken[-1].end - taken[0].start > LIMITS.max_seconds
        if stop == len(words) or full or words[stop - 1].text.endswith("."):
            lines = break_lines(words[first:stop], LIMITS.max_lines, LIMITS.max_line_characters)
            cues.append(Cue(round(words[first].start * 1000), round(words[stop - 1].end * 1000), lines, first, stop))
            first = stop
    return cues


def whisper_writer(words: Sequence[Word]) -> Callable[[], str]:
    """The captions of openai-whisper's own SRT writer, with the same width and number of lines."""
    from whisper.utils import WriteSRT

    timed = [{"word": f" {word.text}", "start": word.start, "end": word.end} for word in words]
    segments = [{"start": words[0].start, "end": words[-1].end, "words": timed}]
    options = {"max_line_width": LIMITS.max_line_characters, "max_line_count": LIMITS.max_lines}

    def write() -> str:
        file = io.StringIO()
        WriteSRT("").write_result({"segments": segments}, file, options)
        return file.getvalue()

    return write


def flaws(cues: Sequence[Cue], words: Sequence[Word]) -> str:
    """Count the cues that break a limit, and those that end inside a name or number."""
    found = len({finding.place for finding in caption_findings(cues, LIMITS)})
    position = inside = 0
    for cue in cues[:-1]:
        position += sum(len(line.split()) for line in cue.lines)
        inside += break_cost(words[position - 1], words[position]) >= INSIDE_NAME_OR_NUMBER
    return f"{found / len(cues):.1%} off limits, {inside} cut names"


def correction_rows(words: Sequence[Word]) -> list[Row]:
    """Applying a corrected text to captions, and the alignment alone compared with difflib."""
    cues = make_cues(words, LIMITS)
    text = corrected(words)
    _, seconds = measured(lambda: correct_cues(cues, text))
    few = words[:DIFFLIB_WORDS]
    few_cues, few_text = make_cues(few, LIMITS), corrected(few)
    _, few_seconds = measured(lambda: correct_cues(few_cues, few_text))
    old, new = [word.text for word in few], few_text.split()
    _, difflib_seconds = measured(lambda: SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    fewer = f"ours, {DIFFLIB_WORDS:,} words"
    return [
        Row("corrections", seconds, fewer, few_seconds, "grows with the square, by 64 words at once"),
        Row(f"corrections, {DIFFLIB_WORDS:,} words", few_seconds, "difflib's alignment alone", difflib_seconds),
    ]


def corrected(words: Sequence[Word]) -> str:
    """Return the words with one in ten changed, added or removed."""
    chance = random.Random(11)
    texts: list[str] = []
    for word in words:
        change = chance.choices(["keep", "change", "add", "drop"], [90, 5, 2.5, 2.5])[0]
        texts += [word.text] if change in ("keep", "add") else []
        texts += [f"new{len(texts)}"] if change in ("change", "add") else []
    return " ".join(texts)


def json_rows(words: Sequence[Word]) -> list[Row]:
    """Writing and reading the transcript's document, compared with the standard library's parser without validation."""
    transcript = Transcript("", tuple(words))
    document, write_seconds = measured(lambda: write_transcript(transcript))
    _, read_seconds = measured(lambda: read_transcript(document, recording=""))
    content, loads_seconds = measured(lambda: json.loads(document))
    _, dumps_seconds = measured(lambda: json.dumps(content))
    _, srt_seconds = measured(lambda: to_srt(make_cues(words, LIMITS)))
    return [
        Row("read transcript.json", read_seconds, "json.loads", loads_seconds),
        Row("write transcript.json", write_seconds, "json.dumps", dumps_seconds),
        Row("transcript.json to SRT", read_seconds + srt_seconds, "json.loads", loads_seconds),
    ]


def growth_rows(hours: float) -> list[Row]:
    """The whole compared with a tenth of it: time must grow with the length, memory only with the words."""
    lengths = (hours, hours / 10)
    rows = []
    for name, new in (("corrected", corrected), ("unrelated", unrelated)):
        seconds = []
        for length in lengths:
            words = speech(int(length * WORDS_PER_HOUR))
            old, other = [word.text for word in words], new(words).split()
            seconds.append(measured(lambda old=old, other=other: align(old, other))[1])
        rows.append(Row(f"alignment, {name}", seconds[0], "a tenth of it", seconds[1]))
    chinese = [chinese_speech(int(length * 3600 * 4)) for length in lengths]
    cue_seconds = [measured(lambda words=words: make_cues(words, LIMITS))[1] for words in chinese]
    tracemalloc.start()
    make_cues(chinese[1], LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    note = f"a tenth: peak {peak / 1e6:.0f} MB"
    return [*rows, Row("captions, Chinese", cue_seconds[0], "a tenth of it", cue_seconds[1], note)]


def unrelated(words: Sequence[Word]) -> str:
    """Return as many words, almost all of them different."""
    chance = random.Random(13)
    return " ".join(f"x{chance.randrange(8_000)}" for _ in words)


def chinese_speech(count: int) -> list[Word]:
    """Return this many characters, four a second, with punctuation."""
    chance = random.Random(17)
    characters = chance.choices(range(0x4E00, 0x5A00), [1 / (rank + 3) for rank in range(0xC00)], k=count)
    return [
        Word(chr(code) + ("。" if place % 17 == 16 else ""), place / 4, place / 4 + 0.22, 0.9, glued=place > 0)
        for place, code in enumerate(characters)
    ]


if __name__ == "__main__":
    main()
