"""How many windows a device decodes together, and how many it encodes, reads or aligns in one pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil
import torch
from whisper.model import ModelDimensions

_log = logging.getLogger(__name__)

_GB = 1 << 30

#: Left free for what is computed on the way, and for the embedding model.
_GPU_RESERVE = 2 * _GB
_CPU_RESERVE = _GB // 2
#: While a window is encoded: copies of the attention of all heads, and of the state at all positions.
_ATTENTION_COPIES = 2
_STATE_COPIES = 14

#: So many windows in one pass keep a GPU busy. One keeps a core busy, whose cache holds no more.
_MOST_TOGETHER_ON_GPU = 8
_MOST_TOGETHER_ON_CPU = 1


@dataclass(frozen=True, slots=True)
class Room:
    """What a device has memory for."""

    slots: int
    #: Windows in one pass.
    together: int


def slot_bytes(dims: ModelDimensions, beams: int, item: int) -> int:
    """Return what a slot takes: keys and values of the sound, and of each beam's text, of `item` bytes each."""
    return 2 * item * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + beams * dims.n_text_ctx)


def pass_bytes(dims: ModelDimensions, item: int) -> int:
    """Return the most that a pass takes for each of its windows, which is while it is encoded."""
    attention = _ATTENTION_COPIES * dims.n_audio_head * dims.n_audio_ctx
    return item * dims.n_audio_ctx * (attention + _STATE_COPIES * dims.n_audio_state)


def room_on(device: torch.device, dims: ModelDimensions, *, wanted: int, beams: int) -> Room:
    """Return what there is room for on a device that holds the model: `wanted` slots at most."""
    if device.type == "cuda":
        # What torch keeps for tensors to come counts as free.
        torch.cuda.empty_cache()
        free, item = torch.cuda.mem_get_info(device)[0] - _GPU_RESERVE, 2
    else:
        free, item = psutil.virtual_memory().available - _CPU_RESERVE, 4
    most = _MOST_TOGETHER_ON_GPU if device.type == "cuda" else _MOST_TOGETHER_ON_CPU
    return room_in(free, dims, wanted=wanted, together=most, beams=beams, item=item)


def room_in(free: int, dims: ModelDimensions, *, wanted: int, together: int, beams: int, item: int) -> Room:
    """Return what fits into so many bytes: at most `wanted` slots, and `together` windows in a pass; at least one."""
    each, window = slot_bytes(dims, beams, item), pass_bytes(dims, item)
    fit = max(1, (free - window) // each)
    if fit < wanted:
        _log.warning("%d slots instead of %d: %.1f GB are free, each takes %.2f", fit, wanted, free / _GB, each / _GB)
    slots = min(wanted, fit)
    return Room(slots, max(1, min(together, slots, (free - slots * each) // window)))
