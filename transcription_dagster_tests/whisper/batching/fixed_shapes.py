"""Whether a recording gets the same bits alone and beside others, in fixed shapes. `test_batch.py` runs it.

    MKL_CBWR=COMPATIBLE python -m transcription_dagster_tests.whisper.batching.fixed_shapes

Exits with the recordings that differ: in a word, a time or a probability.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence

import torch
import whisper

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.decoding.segments import DecodedSegment
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS
from transcription_dagster_tests.whisper.batches import loop_of, run_together
from transcription_dagster_tests.whisper.decoding.test_loop import options

SECONDS = 9
CHOSEN = {
    "detected": options(languages=SpokenLanguages([Span(0.0, SECONDS)])),
    "beams": options(beam_size=3),
    "prompted": options(initial_prompt="Walker, Carter, Brooks"),
    "sampled": options(temperatures=(0.7,)),
}


def main() -> None:
    torch.set_num_threads(1)
    model = whisper.load_model(str(CHECKPOINT), "cpu")
    flac = next(path for path in DEMO_RECORDINGS if path.suffix == ".flac")
    [samples, *_] = read_blocks(flac, SECONDS * len(CHOSEN))
    parts = dict(zip(CHOSEN, torch.from_numpy(samples).split(SECONDS * SAMPLE_RATE), strict=True))

    def found(names: Sequence[str], seed: int) -> dict[str, list[DecodedSegment]]:
        # A processor computes the rows that are left over from a multiple of eight in another way than the others.
        batch = Batch(model, 4, beams=4, fixed=True)
        loops = {name: loop_of(model, parts[name].numpy(), CHOSEN[name]) for name in names}
        return run_together(batch, loops, order=random.Random(seed))

    alone = {name: found([name], 0)[name] for name in CHOSEN}
    if not all(any(segment.words for segment in segments) for segments in alone.values()):
        sys.exit("a recording has no words")
    shared = [found([*CHOSEN], seed) for seed in range(2)]
    differ = [name for name in CHOSEN if any(each[name] != alone[name] for each in shared)]
    sys.exit(f"beside others, these get other bits than alone: {differ}" if differ else 0)


if __name__ == "__main__":
    main()
