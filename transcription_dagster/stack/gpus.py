"""List this machine's GPUs with the driver's own tool, which avoids importing torch."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from transcription_dagster.errors import StackError

#: Waking a GPU takes seconds; a broken one can block the tool forever.
_ANSWER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, numbered as child processes number it."""

    index: int
    uuid: str
    name: str


def find_gpus(visible: str | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs that child processes can use; none without an NVIDIA driver.

    `visible` is the value of CUDA_VISIBLE_DEVICES, which selects and renumbers GPUs; None if it is unset. Raises
    `StackError` if there is a driver but it does not work: falling back to the CPU would hide the fault.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True)
    except FileNotFoundError:
        return ()
    except subprocess.TimeoutExpired:
        raise StackError(f"nvidia-smi did not answer within {_ANSWER_SECONDS} s: a GPU or its driver hangs") from None
    except subprocess.CalledProcessError as error:
        reason = " ".join((error.stdout + error.stderr).split())
        if "No devices were found" in reason:
            return ()
        raise StackError(f"nvidia-smi failed: {reason}; set TRANSCRIPTION_GPUS=none to work without a GPU") from None
    return select_visible(parse_gpus(answer.stdout), visible)


def parse_gpus(table: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's table of index, UUID and name."""
    rows = csv.reader(table.splitlines(), skipinitialspace=True)
    return tuple(Gpu(int(index), uuid, name) for index, uuid, name in rows)


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES selects, renumbered in its order, as CUDA does.

    An entry is an index or a UUID prefix, and the first entry that matches no GPU ends the list:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables
    """
    if visible is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in map(str.strip, visible.split(",")):
        match = next((gpu for gpu in gpus if _names(entry, gpu)), None)
        if match is None:
            break
        chosen.append(Gpu(len(chosen), match.uuid, match.name))
    return tuple(chosen)


def _names(entry: str, gpu: Gpu) -> bool:
    return entry == str(gpu.index) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))
