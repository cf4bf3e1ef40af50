"""The engine on a GPU against its goals, unattended.

    python -m benchmarks.gpu [--rehearse]

Speed: 40 recordings of 5 to 90 s through `model.transcribe` and through the engine, in half precision, with random
weights in the shapes of large-v3 (16 slots) and turbo (32), which need not be downloaded. The engine should be at least
8 times as fast, leave less than 0.3 ms between two steps, and keep the device busy for 95 % of the time.

Memory: the slots should take what the formula says, within 5 %, and 1,000 steps nothing more.

Words: of the demo's recordings with `base`, in half precision, the engine should get at most 0.1 points more wrong than
`model.transcribe`.

Independence: the same recordings, alone and together in two orders, should get the same bits: words, times and
probabilities.

Identity: the same recordings in single precision, without TF32: every token and time should be that of
`model.transcribe`, in three orders of arrival.

Exits with 1 if a goal is missed. `--rehearse` runs the same on a CPU with a model as small as can be: it shows that the
script runs, not how fast anything is.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from whisper.model import Whisper

from benchmarks import engine, identity
from benchmarks.accuracy import units
from benchmarks.arguments import argument_parser
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.errors import ModelUnavailable
from transcription_dagster.model import SpeechOptions
from transcription_dagster.settings import load_settings
from transcription_dagster.whisper.batching.decoder_slots import Text, TextRow
from transcription_dagster.whisper.devices import slot_bytes
from transcription_dagster.whisper.models.checkpoints import open_model

SLOTS = {"large-v3": 16, "turbo": 32}
RECORDINGS = 40
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 90.0

LEAST_RATIO, MOST_GAP_SECONDS, LEAST_BUSY = 8.0, 0.0003, 0.95
MEMORY_TOLERANCE = 0.05
MOST_POINTS = 0.1
STEPS = 1000


@dataclass(frozen=True)
class Goal:
    """A measured value, and whether it reaches the goal."""

    name: str
    found: str
    wanted: str
    reached: bool


def speed(model: Whisper, sounds: list[np.ndarray], name: str, slots: int) -> Iterator[Goal]:
    """Measure the speed-up over `model.transcribe`, and the bottleneck."""
    options = SpeechOptions(model=name, language="en", temperatures=(0.0,))
    # Compilation and capture at first use are not measured.
    engine.transcribed(model, sounds[:1], options)
    engine.together(model, sounds[:1], options, slots)
    expected = engine.transcribed(model, sounds, options)
    found = engine.together(model, sounds, options, slots)
    ratio = expected.seconds / found.seconds
    yield Goal(
        f"{name}, {slots} slots: times as fast", f"{ratio:.1f}", f"at least {LEAST_RATIO:.0f}", ratio >= LEAST_RATIO
    )
    gap = f"{1000 * found.gap:.2f} ms"
    yield Goal(
        f"{name}: between two steps", gap, f"below {1000 * MOST_GAP_SECONDS:.1f} ms", found.gap < MOST_GAP_SECONDS
    )
    yield Goal(f"{name}: device busy", f"{found.busy:.0%}", f"at least {LEAST_BUSY:.0%}", found.busy >= LEAST_BUSY)


@torch.inference_mode()
def memory(model: Whisper, name: str, slots: int) -> Iterator[Goal]:
    """Compare the slots' memory with the formula, and measure the memory of a thousand steps."""
    before = allocated(model)
    batch = engine.opened(model, slots, 1, fixed=True)
    item = model.decoder.token_embedding.weight.element_size()
    formula = batch.slots.count * slot_bytes(model.dims, 1, item)
    taken = allocated(model) - before if model.device.type == "cuda" else batch.slots.bytes
    off = taken / formula - 1
    yield Goal(
        f"{name}, {batch.slots.count} slots: memory against the formula",
        f"{taken / 1e6:.0f} MB, {off:+.1%}",
        f"{formula / 1e6:.0f} MB, within {MEMORY_TOLERANCE:.0%}",
        abs(off) <= MEMORY_TOLERANCE,
    )
    prompt = [50258, 50259, 50359]
    state = batch.slots.rules.start
    width = model.dims.n_audio_state
    for slot in range(batch.slots.count):
        batch.slots.put_window(slot, torch.randn((1500, width), device=model.device, dtype=batch.slots.dtype))
        batch.slots.read([Text(slot, prompt)])
    rows = [TextRow(slot, 0, 400, len(prompt), state) for slot in range(batch.slots.count)]
    # The first step is captured.
    batch.slots.step(rows)
    before = allocations(model)
    for number in range(STEPS):
        batch.slots.step([row._replace(position=len(prompt) + number % 400) for row in rows])
    made = allocations(model) - before
    yield Goal(f"{name}: allocations in {STEPS} steps", str(made), "none", made == 0)


def allocated(model: Whisper) -> int:
    """Return the bytes of the tensors on a GPU; 0 elsewhere."""
    if model.device.type != "cuda":
        return 0
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated(model.device)


def allocations(model: Whisper) -> int:
    """Return the number of tensors allocated on a GPU so far; 0 elsewhere."""
    return torch.cuda.memory_stats(model.device)["allocation.all.allocated"] if model.device.type == "cuda" else 0


def with_base(device: str, *, rehearsed: bool) -> Iterator[Goal]:
    """Run the goals that need real weights: word errors in half precision, and identity in single precision."""
    try:
        model = open_model("base", load_settings().models_folder, device)
    except ModelUnavailable as error:
        print(f"left out: {error}")
        return
    seconds = 8 if rehearsed else 600
    sounds, texts = {}, {}
    for entry in json.loads((engine.VOICES / "references.json").read_text(encoding="utf-8"))[
        : 2 if rehearsed else None
    ]:
        sounds[entry["file"]] = identity.samples_of(engine.VOICES / entry["file"])[: seconds * SAMPLE_RATE]
        texts[entry["file"]] = entry["text"]
    yield errors(model, list(sounds.values()), list(texts.values()))
    yield independent(model, sounds)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield from same(model.float(), sounds, orders=1 if rehearsed else 3)


def errors(model: Whisper, sounds: list[np.ndarray], texts: list[str]) -> Goal:
    """Return the additional word errors of the engine compared with `model.transcribe`, in percentage points."""
    options = SpeechOptions(model="base", language="en")
    wanted = [units(text, "en") for text in texts]
    rates = []
    for found in (engine.transcribed(model, sounds, options), engine.together(model, sounds, options, 4)):
        heard = [units(" ".join(words), "en") for words in found.words]
        wrong = sum(Levenshtein.distance(one, other) for one, other in zip(wanted, heard, strict=True))
        rates.append(100 * wrong / sum(map(len, wanted)))
    more = rates[1] - rates[0]
    name = f"base: word errors of model.transcribe and the engine, {rates[0]:.2f} and {rates[1]:.2f} %"
    return Goal(name, f"{more:+.2f} points", f"at most {MOST_POINTS} more", more <= MOST_POINTS)


def independent(model: Whisper, sounds: dict[str, np.ndarray]) -> Goal:
    """How many recordings get other bits, of words, times or probabilities, beside others than alone."""
    languages = dict.fromkeys(sounds, "en")

    def found(order: list[str]) -> dict[str, identity.Transcript]:
        return identity.together(engine.opened(model, 4, 1, fixed=True), sounds, languages, order, None)

    alone = {name: found([name])[name] for name in sounds}
    orders = [random.Random(number).sample(sorted(sounds), len(sounds)) for number in range(2)]
    shared = [found(order) for order in orders]
    differ = sum(any(each[name] != alone[name] for each in shared) for name in sounds)
    return Goal("base: recordings whose bits depend on those beside them", str(differ), "none", not differ)


def same(model: Whisper, sounds: dict[str, np.ndarray], *, orders: int) -> Iterator[Goal]:
    """Return whether recordings that share the device get the results of `model.transcribe`, in single precision."""
    known = {name: identity.transcribed(model, samples, None) for name, samples in sounds.items()}
    languages = {name: transcript.language for name, transcript in known.items()}
    for number in range(orders):
        order = random.Random(number).sample(sorted(sounds), len(sounds))
        found = identity.together(engine.opened(model, 4, 1, fixed=True), sounds, languages, order, None)
        differ = sum(found[name].differs(known[name]) for name in sounds)
        yield Goal(f"base in single precision, order {number}: recordings that differ", str(differ), "none", not differ)


def mixed(count: int, longest: float) -> list[np.ndarray]:
    """Return recordings of various lengths, made from the demo's voices."""
    lengths = np.geomspace(SHORTEST_SECONDS, longest, count)
    voices = np.concatenate(engine.clips(engine.VOICES, 60.0, 9))
    starts = random.Random(0).sample(range(voices.size), count)
    return [
        np.roll(voices, -start)[: round(seconds * SAMPLE_RATE)] for start, seconds in zip(starts, lengths, strict=True)
    ]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rehearse", action="store_true")
    rehearsed = parser.parse_args().rehearse
    if not rehearsed and not torch.cuda.is_available():
        print("no GPU is here; --rehearse runs the script on a CPU")
        return
    numba.set_num_threads(1)
    device = "cpu" if rehearsed else "cuda"
    sounds = mixed(3, 6.0) if rehearsed else mixed(RECORDINGS, LONGEST_SECONDS)
    shapes = {"tiny": 2} if rehearsed else SLOTS
    if not rehearsed:
        print(torch.cuda.get_device_name())
    print("| | found | wanted | |\n| --- | --- | --- | --- |")
    reached = [told(goal) for goal in goals(device, sounds, shapes, rehearsed=rehearsed)]
    if not rehearsed and not all(reached):
        sys.exit(1)


def goals(device: str, sounds: list[np.ndarray], shapes: dict[str, int], *, rehearsed: bool) -> Iterator[Goal]:
    for name, slots in shapes.items():
        model = engine.random_model(name, device)
        yield from speed(model, sounds, name, slots)
        yield from memory(model, name, slots)
        del model
        gc.collect()
        torch.cuda.empty_cache()
    yield from with_base(device, rehearsed=rehearsed)


def told(goal: Goal) -> bool:
    """Print a goal; return whether it is reached."""
    print(f"| {goal.name} | {goal.found} | {goal.wanted} | {'reached' if goal.reached else 'MISSED'} |", flush=True)
    return goal.reached


if __name__ == "__main__":
    main()
