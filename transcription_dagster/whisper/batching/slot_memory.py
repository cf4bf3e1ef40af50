"""How many windows a device decodes together, and how many it encodes, reads or aligns in one pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil
import torch
from whisper.model import ModelDimensions

_log = logging.getLogger(__name__)

_GB = 1 << 30

#: Memory left free for intermediate results and the embedding model.
_GPU_RESERVE = 2 * _GB
_CPU_RESERVE = _GB // 2
#: Memory while a window is encoded: copies of all heads' attention, and of the state at all positions.
_ATTENTION_COPIES = 2
_STATE_COPIES = 14

#: This many windows per pass keep a GPU busy. On a CPU one is enough; its cache cannot hold more.
_MOST_TOGETHER_ON_GPU = 8
_MOST_TOGETHER_ON_CPU = 1


@dataclass(frozen=True, slots=True)
class Room:
    """The number of windows that fit into a device's memory."""

    slots: int
    #: Windows in one pass.
    together: int


def slot_bytes(dims: ModelDimensions, beams: int, item: int) -> int:
    """Return the size of a slot: keys and values of the audio and of each beam's text, `item` bytes per number."""
    return 2 * item * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + beams * dims.n_text_ctx)


def pass_bytes(dims: ModelDimensions, item: int) -> int:
    """Return the peak memory of a pass for each of its windows, which occurs during encoding."""
    attention = _ATTENTION_COPIES * dims.n_audio_head * dims.n_audio_ctx
    return item * dims.n_audio_ctx * (attention + _STATE_COPIES * dims.n_audio_state)


def room_on(device: torch.device, dims: ModelDimensions, *, wanted: int, beams: int) -> Room:
    """Return the room on a device on which the model is loaded: at most `wanted` slots."""
    if device.type == "cuda":
        # Memory that torch caches for future tensors counts as free.
        torch.cuda.empty_cache()
        free, item = torch.cuda.mem_get_info(device)[0] - _GPU_RESERVE, 2
    else:
        free, item = psutil.virtual_memory().available - _CPU_RESERVE, 4
    most = _MOST_TOGETHER_ON_GPU if device.type == "cuda" else _MOST_TOGETHER_ON_CPU
    return room_in(free, dims, wanted=wanted, together=most, beams=beams, item=item)


def room_in(free: int, dims: ModelDimensions, *, wanted: int, together: int, beams: int, item: int) -> Room:
    """Return what fits into this many bytes: at most `wanted` slots and `together` windows per pass, at least one."""
    each, window = slot_bytes(dims, beams, item), pass_bytes(dims, item)
    fit = max(1, (free - window) // each)
    if fit < wanted:
        _log.warning("%d slots instead of %d: %.1f GB are free, each takes %.2f", fit, wanted, free / _GB, each / _GB)
    slots = min(wanted, fit)
    return Room(slots, max(1, min(together, slots, (free - slots * each) // window)))
