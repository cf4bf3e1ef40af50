"""The weights of Whisper's text decoder, arranged for decoding many texts at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear
from torch.nn.functional import gelu, layer_norm, linear
from whisper.model import ResidualAttentionBlock, Whisper


class _Linear:
    """Linear layers joined into one. The layers keep views of the joined matrix, so nothing is stored twice."""

    def __init__(self, *layers: Linear) -> None:
        with torch.no_grad():
            self.weight = torch.cat([layer.weight for layer in layers]).detach()
            # The key projection of an attention has no bias.
            self.bias = None if len(layers) == 1 and layers[0].bias is None else _joined_biases(layers)
            first = 0
            for layer in layers:
                size = len(layer.weight)
                layer.weight.data = self.weight[first : first + size]
                if layer.bias is not None and self.bias is not None:
                    layer.bias.data = self.bias[first : first + size]
                first += size

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def _joined_biases(layers: Sequence[Linear]) -> Tensor:
    biases = [layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers]
    return torch.cat(biases).detach()


class Layer:
    """One block of the decoder."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        own, cross = block.attn, block.cross_attn
        if cross is None:
            raise ValueError("a decoder's block attends to sound")
        self.own_norm: LayerNorm = block.attn_ln
        self.cross_norm: LayerNorm = block.cross_attn_ln  # type: ignore[assignment]  # there, as the attention is
        self.mlp_norm: LayerNorm = block.mlp_ln
        self.own, self.own_out = _Linear(own.query, own.key, own.value), _Linear(own.out)
        self.query, self.key, self.value = _Linear(cross.query), _Linear(cross.key), _Linear(cross.value)
        self.cross_out = _Linear(cross.out)
        first, _, second = block.mlp
        self.inner, self.outer = _Linear(first), _Linear(second)  # type: ignore[arg-type]  # it says Module

    def mlp(self, x: Tensor) -> Tensor:
        return self.outer(gelu(self.inner(normed(self.mlp_norm, x))))


def normed(norm: LayerNorm, x: Tensor) -> Tensor:
    """Normalise in float32, as Whisper does."""
    normalised = layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normalised.to(x.dtype)


class DecoderWeights:
    """A decoder's weights, in the type of its embeddings."""

    def __init__(self, model: Whisper) -> None:
        self.dims = model.dims
        self.embedding = model.decoder.token_embedding.weight.detach()
        self.positions = model.decoder.positional_embedding.detach()
        self.norm = model.decoder.ln
        self.layers = [Layer(block) for block in model.decoder.blocks]
        #: Layer and head of each alignment head, ordered by layer.
        self.alignment_heads: list[tuple[int, int]] = [
            (layer, head)
            for layer, head in model.alignment_heads.indices().T.tolist()  # type: ignore[operator]
        ]
