"""Embed a recording's captions, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transcription_dagster.model import Cue
from transcription_dagster.search.chunks import make_chunks
from transcription_dagster.search.embedder import Embedder

#: Tokens of about half a minute of speech. Models can read more, but a hit should be a moment to jump to.
_TOKENS = 96
#: Tokens that adjacent chunks share, so that a thought at a chunk's edge is whole in one of them.
_OVERLAP = 16


def embed(embedder: Embedder, cues: Sequence[Cue]) -> dict[str, Any]:
    """Split the captions into chunks of about half a minute, and embed them.

    Returns JSON values: `model`, `dimensions`, and `chunks`, each with `text`, `start`, `end` (seconds),
    `speakers` and `embedding`.
    """
    chunks = make_chunks(cues, embedder.count_tokens, min(_TOKENS, embedder.max_tokens), _OVERLAP)
    vectors = embedder.encode([chunk.text for chunk in chunks]) if chunks else []
    return {
        "model": embedder.model,
        "dimensions": embedder.dimensions,
        "chunks": [
            {
                "text": chunk.text,
                "start": chunk.start,
                "end": chunk.end,
                "speakers": list(chunk.speakers),
                "embedding": vector,
            }
            for chunk, vector in zip(chunks, vectors, strict=True)
        ],
    }
