"""A recording's captions as chunks with the vectors of their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transcription_dagster.model import Cue
from transcription_dagster.search.chunks import make_chunks
from transcription_dagster.search.embedder import Embedder

#: About half a minute of speech: a model could read more at once, but an answer is a time to jump to.
_TOKENS = 96
#: Tokens that neighbouring chunks share, so that a thought at a chunk's end is whole in one of them.
_OVERLAP = 16


def embed(embedder: Embedder, cues: Sequence[Cue]) -> dict[str, Any]:
    """Cut the captions into chunks of about half a minute, and encode them.

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
