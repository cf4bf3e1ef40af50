"""Align texts with the audio of their windows to find word times (`whisper.timing.find_alignment`)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from whisper.audio import TOKENS_PER_SECOND
from whisper.timing import dtw, median_filter

from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, Text
from transcription_dagster.whisper.decoding.requests import Align, AlignedWord, aligned_words

_MEDIAN_WIDTH = 7
#: Compare-and-swap steps that move the median of seven values to index 3.
_COMPARISONS = ((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4))


def compile_kernels(device: torch.device) -> None:
    """Compile the kernels now: at first use during a recording, that would take a second."""
    dtw(torch.zeros((2, 3), device=device))
    median(torch.zeros((1, 1, 8), device=device))


def align_with_audio(slots: DecoderSlots, slot: int, request: Align) -> list[AlignedWord]:
    """Return the words of a text, aligned with the audio of a slot."""
    tokenizer, text = request.tokenizer, list(request.tokens)
    first = len(tokenizer.sot_sequence)
    read = [*tokenizer.sot_sequence, tokenizer.no_timestamps, *text, tokenizer.eot]
    logits, scores = slots.align(Text(slot, read))
    likelihoods = logits[first : first + len(text), : tokenizer.eot].softmax(-1)
    probabilities = likelihoods.gather(1, torch.tensor(text, device=logits.device)[:, None])[:, 0].tolist()
    tokens, positions = dtw(-_attention(scores, request.window.frames)[first:-1])
    # A token starts at the first position that the path assigns to it.
    starts = positions[np.pad(np.diff(tokens), (1, 0), constant_values=1).astype(bool)] / TOKENS_PER_SECOND
    return aligned_words(tokenizer, text, starts.tolist(), probabilities)


def _attention(scores: Tensor, frames: int) -> Tensor:
    """Return the smoothed attention of each token to each audio position, shape (tokens, positions)."""
    weights = scores[:, :, : frames // 2].softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    return median((weights - mean) / deviation).mean(0)


def median(x: Tensor) -> Tensor:
    """Return the running median of seven along the last dimension of `x`, shape (heads, tokens, positions).

    On a CPU the values equal those of `whisper.timing.median_filter`. They come from element-wise minima and maxima of
    whole arrays instead of sorting each neighbourhood, in a fifteenth of the time.
    """
    reach = _MEDIAN_WIDTH // 2
    if x.is_cuda or x.shape[-1] <= reach:
        return median_filter(x, _MEDIAN_WIDTH)
    medians = torch.empty_like(x)
    padded = pad(x, (reach, reach), mode="reflect")
    for head, values in enumerate(padded):
        # One head at a time fits in the processor's cache.
        near = list(values.unfold(-1, x.shape[-1], 1).unbind(-2))
        for low, high in _COMPARISONS:
            near[low], near[high] = torch.minimum(near[low], near[high]), torch.maximum(near[low], near[high])
        medians[head] = near[reach]
    return medians
