"""Other documents of Amazon Transcribe: the output of Call Analytics jobs, and descriptions of jobs.

https://docs.aws.amazon.com/transcribe/latest/dg/tca-post-call.html and
https://docs.aws.amazon.com/transcribe/latest/APIReference/API_GetTranscriptionJob.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from transcription_dagster.errors import InvalidTranscript

#: Keys of the job description in responses and events of Amazon's API.
_DESCRIPTIONS = ("TranscriptionJob", "CallAnalyticsJob", "MedicalTranscriptionJob", "detail")
_STATUSES = ("TranscriptionJobStatus", "CallAnalyticsJobStatus", "JobStatus", "status")


def as_plain_transcript(raw: bytes) -> dict[str, Any] | None:
    """Convert the output of a Call Analytics job to a plain transcript; return None for any other document.

    Raises `InvalidTranscript` for a broken one, and for the description of a job.
    """
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if reason := why_no_transcript(content):
        raise InvalidTranscript(reason)
    if not _is_call_analytics(content):
        return None
    try:
        return _transcript_document(content)
    except KeyError as error:
        raise InvalidTranscript(f"Transcript: a turn or an item of Call Analytics has no {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidTranscript(
            f"Transcript: a turn or an item of Call Analytics has a wrong value: {error}"
        ) from error


def why_no_transcript(document: Any) -> str | None:
    """Return why a job description holds no transcript; None if the document is not a job description."""
    if not isinstance(document, dict):
        return None
    job = next((document[key] for key in _DESCRIPTIONS if isinstance(document.get(key), dict)), document)
    status = next((str(job[key]) for key in _STATUSES if isinstance(job.get(key), str)), None)
    if status is None:
        return None
    name = next((job[key] for key in job if key.lower().endswith("jobname") and isinstance(job[key], str)), "")
    if status != "COMPLETED":
        reason = job.get("FailureReason") or job.get("failureReason") or "the document gives no reason"
        state = f"the transcription job {name[:80]!r} is {status[:40]}"
        return f"{state}: {' '.join(str(reason).split())[:500]}" if status == "FAILED" else f"{state}, not COMPLETED"
    if job is document and ("results" in document or _is_call_analytics(document)):
        return None
    return (
        f"this is the description of the transcription job {name[:80]!r}, not its transcript: "
        "fetch the file that its TranscriptFileUri names"
    )


def _is_call_analytics(document: Any) -> bool:
    """Return whether a document is the output of a Call Analytics job."""
    return isinstance(document, dict) and isinstance(document.get("Transcript"), list)


def _transcript_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the output of a Call Analytics job to the layout of a plain transcript.

    Every participant becomes a channel. May raise KeyError, TypeError or ValueError for a broken document.
    """
    items: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    for number, turn in enumerate(document["Transcript"]):
        first = len(items)
        items += [{"id": index, **item} for index, item in enumerate(_turn_items(turn), start=first)]
        segments.append(
            {
                "id": number,
                "transcript": turn.get("Content") or "",
                "start_time": _seconds(turn["BeginOffsetMillis"]),
                "end_time": _seconds(turn["EndOffsetMillis"]),
                "items": list(range(first, len(items))),
            }
        )
    return {
        "jobName": document.get("JobName", ""),
        "accountId": document.get("AccountId", ""),
        "status": document.get("JobStatus", "COMPLETED"),
        "results": {
            "language_code": document.get("LanguageCode"),
            "items": items,
            "audio_segments": segments,
        },
    }


def _seconds(milliseconds: str | float) -> float:
    return float(milliseconds) / 1000


def _turn_items(turn: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the words and marks of a turn; if it only has text, the words share its time evenly."""
    speaker = {"channel_label": str(turn.get("ParticipantRole") or turn.get("ParticipantId") or "UNKNOWN")}
    if not turn.get("Items"):
        words = str(turn.get("Content") or "").split()
        start, end = _seconds(turn["BeginOffsetMillis"]), _seconds(turn["EndOffsetMillis"])
        step = (end - start) / max(1, len(words))
        for index, word in enumerate(words):
            times = {"start_time": start + index * step, "end_time": start + (index + 1) * step}
            yield {"type": "pronunciation", "alternatives": [{"content": word}], **times, **speaker}
        return
    for item in turn["Items"]:
        alternative = {"content": item["Content"], "confidence": item.get("Confidence")}
        times = {
            name: _seconds(item[key])
            for name, key in (("start_time", "BeginOffsetMillis"), ("end_time", "EndOffsetMillis"))
            if item.get(key) is not None
        }
        yield {"type": item["Type"], "alternatives": [alternative], **times, **speaker}
