"""How many windows a device decodes together."""

from __future__ import annotations

import logging

import psutil
import torch
from whisper.model import ModelDimensions

_log = logging.getLogger(__name__)

_GB = 1 << 30

#: Left free for what is computed on the way, and for the embedding model.
_GPU_RESERVE = 2 * _GB
_CPU_RESERVE = _GB // 2
#: Copies of the attention of the encoder's heads to one window.
_ATTENTION_COPIES = 2


def slot_bytes(dims: ModelDimensions, beams: int, item: int) -> int:
    """Return what a slot takes: keys and values of the sound, and of each beam's text, of `item` bytes each."""
    return 2 * item * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + beams * dims.n_text_ctx)


def slots_on(device: torch.device, dims: ModelDimensions, *, wanted: int, beams: int) -> int:
    """Return how many slots to open for a model that is loaded, `wanted` at most."""
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    return slots_that_fit(
        wanted,
        free - (_GPU_RESERVE if on_gpu else _CPU_RESERVE),
        dims,
        beams=beams,
        item=2 if on_gpu else 4,
    )


def slots_that_fit(wanted: int, free: int, dims: ModelDimensions, *, beams: int, item: int) -> int:
    """Return how many slots, `wanted` at most, fit into so many bytes beside the encoder's work; at least one."""
    encoder = _ATTENTION_COPIES * item * dims.n_audio_head * dims.n_audio_ctx**2
    each = slot_bytes(dims, beams, item)
    fit = max(1, (free - encoder) // each)
    if fit < wanted:
        _log.warning("%d slots instead of %d: %.1f GB are free, each takes %.2f", fit, wanted, free / _GB, each / _GB)
    return min(wanted, fit)
