"""Amazon Transcribe's other documents: Call Analytics output and job descriptions.

Formats: https://docs.aws.amazon.com/transcribe/latest/dg/tca-post-call.html and
https://docs.aws.amazon.com/transcribe/latest/APIReference/API_GetTranscriptionJob.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Keys of the job description in responses and events of Amazon's API.
_DESCRIPTIONS = ("TranscriptionJob", "CallAnalyticsJob", "MedicalTranscriptionJob", "detail")
_STATUSES = ("TranscriptionJobStatus", "CallAnalyticsJobStatus", "JobStatus", "status")


def is_call_analytics(document: Any) -> bool:
    """Return whether a document is the output of a Call Analytics job."""
    return isinstance(document, dict) and isinstance(document.get("Transcript"), list)


def as_transcript_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the output of a Call Analytics job to the layout of a plain transcript.

    Every participant becomes a channel. May raise KeyError, TypeError or ValueError for a broken document.
    """
    items: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    for number, turn in enumerate(document["Transcript"]):
        spoken = list(_items(turn))
        segment = {
            "id": number,
            "transcript": turn.get("Content") or "",
            "start_time": _seconds(turn["BeginOffsetMillis"]),
        }
        segment |= {"end_time": _seconds(turn["EndOffsetMillis"])}
        segments.append({**segment, "items": list(range(len(items), len(items) + len(spoken)))})
        items += [{"id": len(items) + place, **item} for place, item in enumerate(spoken)]
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
        what = f"the transcription job {name[:80]!r} is {status[:40]}"
        return f"{what}: {' '.join(str(reason).split())[:500]}" if status == "FAILED" else f"{what}, not COMPLETED"
    if job is document and ("results" in document or is_call_analytics(document)):
        return None
    return (
        f"this is the description of the transcription job {name[:80]!r}, not its transcript: "
        "fetch the file that its TranscriptFileUri names"
    )


def _seconds(milliseconds: str | float) -> float:
    return float(milliseconds) / 1000


def _items(turn: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the words and marks of a turn; if it only has text, the words share its time evenly."""
    speaker = {"channel_label": str(turn.get("ParticipantRole") or turn.get("ParticipantId") or "UNKNOWN")}
    if not turn.get("Items"):
        words = str(turn.get("Content") or "").split()
        start, end = _seconds(turn["BeginOffsetMillis"]), _seconds(turn["EndOffsetMillis"])
        step = (end - start) / max(1, len(words))
        for place, word in enumerate(words):
            times = {"start_time": start + place * step, "end_time": start + (place + 1) * step}
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
