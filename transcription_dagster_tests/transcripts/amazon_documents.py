"""Documents as Amazon Transcribe writes them."""

from __future__ import annotations

import json
from typing import Any

RECORDING = "1151433a-eedf-527d-ac51-5ae7d4a6260b"


def pronounced(content: str, start: str | None, end: str | None, **more: Any) -> dict[str, Any]:
    """An item for a word."""
    times = {} if start is None else {"start_time": start, "end_time": end}
    return {"type": "pronunciation", "alternatives": [{"confidence": "0.9", "content": content}], **times, **more}


def mark(content: str, **more: Any) -> dict[str, Any]:
    """An item for a punctuation mark."""
    return {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": content}], **more}


def amazon(items: list[dict[str, Any]], **results: Any) -> str:
    """Amazon's document of these items."""
    return json.dumps(
        {
            "jobName": "my-first-transcription-job",
            "accountId": "111122223333",
            "results": {"transcripts": [{"transcript": "…"}], "items": items, **results},
            "status": "COMPLETED",
        }
    )
