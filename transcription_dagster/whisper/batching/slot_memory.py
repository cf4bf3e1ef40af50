"""How many windows a device decodes together."""

from __future__ import annotations

import logging

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


def slot_bytes(dims: ModelDimensions, beams: int, item: int) -> int:
    """Return the size of a slot: keys and values of the audio and of each beam's text, `item` bytes per number."""
    return 2 * item * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + beams * dims.n_text_ctx)


def pass_bytes(dims: ModelDimensions, item: int) -> int:
    """Return the peak memory of the pass over a window, which occurs during encoding."""
    attention = _ATTENTION_COPIES * dims.n_audio_head * dims.n_audio_ctx
    return item * dims.n_audio_ctx * (attention + _STATE_COPIES * dims.n_audio_state)


def slots_on(device: torch.device, dims: ModelDimensions, *, wanted: int, beams: int) -> int:
    """Return how many slots a device has memory for once the model is loaded: at most `wanted`, at least one."""
    if device.type == "cuda":
        # Memory that torch caches for future tensors counts as free.
        torch.cuda.empty_cache()
        free, item = torch.cuda.mem_get_info(device)[0] - _GPU_RESERVE, 2
    else:
        free, item = psutil.virtual_memory().available - _CPU_RESERVE, 4
    return slots_in(free, dims, wanted=wanted, beams=beams, item=item)


def slots_in(free: int, dims: ModelDimensions, *, wanted: int, beams: int, item: int) -> int:
    """Return how many slots fit into this many bytes beside a pass: at most `wanted`, at least one."""
    each = slot_bytes(dims, beams, item)
    fit = max(1, (free - pass_bytes(dims, item)) // each)
    if fit < wanted:
        _log.warning("%d slots instead of %d: %.1f GB are free, each takes %.2f", fit, wanted, free / _GB, each / _GB)
    return min(wanted, fit)
