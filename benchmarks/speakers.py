"""How well speakers are told apart: diarization error, speakers that are not there, speakers of words, time and memory.

    python -m benchmarks.speakers [FOLDER] [--hours N]

FOLDER holds recordings and `references.json`: a list of {"file", "kind"} with `rttm` (lines of an RTTM file) where it
is known who speaks when. Recordings of one reader must show one speaker. Speakers of words are judged on the
recordings of the demo, whose words have exact times. `--hours` repeats the demo's conversations until they last that
long.

The diarization error rate (DER) has no collar, and counts overlapped speech: missed, false and confused speech by the
speech of all speakers in the reference, under the best one-to-one mapping of labels. The threshold of the clusters is
chosen on every other file, and the rate on the rest is what is reported. The baseline is one speaker for all speech.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import transcription_dagster
from benchmarks.arguments import argument_parser
from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.settings import load_settings
from transcription_dagster.speakers.built_in import BuiltInDiarizer
from transcription_dagster.speakers.clustering import THRESHOLD
from transcription_dagster.speakers.turns import NetworkResults, assign_speakers
from transcription_dagster.speakers.weights import fetch_speaker_models
from transcription_dagster_tests.speakers.scoring import (
    ONE_VOICE,
    Errors,
    diarization_errors,
    network_results,
    read_rttm,
    word_accuracy,
)

THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55)
_DEMO = Path(transcription_dagster.__file__).parent / "demo" / "recordings"


def best_threshold(results: Sequence[tuple[Sequence[SpeakerTurn], NetworkResults]]) -> float:
    """Return the threshold with the least error; the middle one of several."""
    rates = [total_errors(results, threshold).rate for threshold in THRESHOLDS]
    best = [threshold for threshold, rate in zip(THRESHOLDS, rates, strict=True) if rate <= min(rates) + 0.001]
    return best[len(best) // 2]


def total_errors(results: Sequence[tuple[Sequence[SpeakerTurn], NetworkResults]], threshold: float) -> Errors:
    return sum(
        (diarization_errors(turns, _turns(one, threshold)) for turns, one in results),
        start=Errors(),
    )


def _turns(
    results: NetworkResults, threshold: float = THRESHOLD, limits: SpeakerLimits | None = None
) -> Sequence[SpeakerTurn]:
    return assign_speakers(results, limits or SpeakerLimits(), threshold=threshold).turns


def report_error(folder: Path, diarizer: BuiltInDiarizer) -> None:
    references = json.loads((folder / "references.json").read_text(encoding="utf-8"))
    known = [(entry["file"], read_rttm(entry["rttm"])) for entry in references if entry.get("rttm")]
    known = [(file, turns) for file, turns in known if turns]
    results = [(turns, network_results(folder / file, diarizer)) for file, turns in known]
    for (file, turns), (_, one) in zip(known, results, strict=True):
        found = _turns(one)
        speakers = f"{len({turn.speaker for turn in found})} of {len({turn.speaker for turn in turns})} speakers"
        baseline = diarization_errors(turns, [SpeakerTurn(t.start, t.end, "all") for t in found])
        print(f"{file:<34} {diarization_errors(turns, found)}  {speakers}; one speaker: {100 * baseline.rate:.1f} %")
    for threshold in THRESHOLDS:
        print(f"threshold {threshold:.2f}: {total_errors(results, threshold)}")
    for chosen, judged in ((results[::2], results[1::2]), (results[1::2], results[::2])):
        threshold = best_threshold(chosen)
        print(
            f"threshold {threshold:.2f}, chosen on {len(chosen)} files; on the others {total_errors(judged, threshold)}"
        )
    print(f"shipped threshold {THRESHOLD:.2f}, all files: {total_errors(results, THRESHOLD)}")
    report_false_speakers(folder, [entry for entry in references if entry["kind"].startswith(ONE_VOICE)], diarizer)


def report_false_speakers(folder: Path, entries: Sequence[dict[str, Any]], diarizer: BuiltInDiarizer) -> None:
    counts: Counter[int] = Counter()
    for entry in entries:
        try:
            found = {turn.speaker for turn in _turns(network_results(folder / entry["file"], diarizer))}
        except UnusableAudio as error:
            print(f"  {entry['file']}: {error}")
            continue
        counts[len(found)] += 1
        if len(found) != 1:
            print(f"  {entry['file']}: {len(found)} speakers")
    print(f"recordings of one voice, by the number of speakers found: {dict(sorted(counts.items()))}")


def report_words(diarizer: BuiltInDiarizer) -> None:
    right = total = 0
    for entry in json.loads((_DEMO / "references.json").read_text(encoding="utf-8")):
        turns = _turns(network_results(_DEMO / entry["file"], diarizer))
        speakers = {turn["speaker"] for turn in entry["turns"]}
        found = len({turn.speaker for turn in turns})
        if entry.get("words"):
            good, words = word_accuracy(entry["words"], turns)
            right, total = right + good, total + words
            print(f"{entry['title']:<32} {good} of {words} words, {found} of {len(speakers)} speakers")
    print(f"words with the right speaker: {100 * right / total:.1f} %")


def report_time(diarizer: BuiltInDiarizer, hours: float) -> None:
    demo = json.loads((_DEMO / "references.json").read_text(encoding="utf-8"))
    talks = [entry["file"] for entry in demo if len({turn["speaker"] for turn in entry["turns"]}) > 1]

    def blocks() -> Iterator[np.ndarray]:
        left = round(hours * 3600 * 16_000)
        with tempfile.TemporaryDirectory() as folder:
            for number in range(1 << 30):
                flac = Path(folder) / f"{number % len(talks)}.flac"
                if number < len(talks):
                    normalise(_DEMO / talks[number], flac, max_seconds=7200)
                for block in read_blocks(flac, 60):
                    yield block[:left]
                    left -= min(left, block.size)
                    if left == 0:
                        return

    started = time.process_time()
    diarizer.diarize(blocks(), SpeakerLimits(), lambda _: None)
    minutes = (time.process_time() - started) / 60
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{hours:g} hours: {minutes:.1f} minutes of CPU time, {memory:.2f} GB")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--hours", type=float)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    diarizer = BuiltInDiarizer(fetch_speaker_models(load_settings().models_folder), "cpu")
    if arguments.folder:
        report_error(arguments.folder, diarizer)
    report_words(diarizer)
    if arguments.hours:
        report_time(diarizer, arguments.hours)


if __name__ == "__main__":
    main()
