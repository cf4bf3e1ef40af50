"""A recording's captions as chunks with the vectors of their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transcription_dagster.clients.embedder import Embedder
from transcription_dagster.model import Cue
from transcription_dagster.text.chunks import make_chunks

#: Tokens that neighbouring chunks share, so that a thought at a chunk's end is whole in one of them.
_OVERLAP = 32


def embed(embedder: Embedder, cues: Sequence[Cue]) -> dict[str, Any]:
    """Cut the captions into chunks that the model can read whole, and encode them.

    Returns JSON values: `model`, `dimensions`, and `chunks`, each with `text`, `start`, `end` (seconds) and
    `embedding`.
    """
    overlap = min(_OVERLAP, embedder.max_tokens // 4)
    chunks = make_chunks(cues, embedder.count_tokens, embedder.max_tokens, overlap)
    vectors = embedder.encode([chunk.text for chunk in chunks]) if chunks else []
    return {
        "model": embedder.model,
        "dimensions": embedder.dimensions,
        "chunks": [
            {"text": chunk.text, "start": chunk.start, "end": chunk.end, "embedding": vector}
            for chunk, vector in zip(chunks, vectors, strict=True)
        ],
    }
