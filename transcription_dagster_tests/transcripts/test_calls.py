"""Amazon Transcribe's documents of calls: by channel, by Call Analytics, and jobs without a transcript."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import Transcript
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.turn_order import order_by_turns


def items_of(text: str, start: float, step: float = 0.3, **more: Any) -> list[dict[str, Any]]:
    """Return the items of a sentence with consecutive words."""
    items: list[dict[str, Any]] = []
    for number, part in enumerate(text.split()):
        times = {"start_time": f"{start + number * step:.3f}", "end_time": f"{start + (number + 1) * step:.3f}"}
        alternatives = [{"content": part.rstrip(".?"), "confidence": "0.9"}]
        items.append({"type": "pronunciation", "alternatives": alternatives, **times, **more})
        if part[-1] in ".?":
            alternatives = [{"content": part[-1], "confidence": "0.0"}]
            items.append({"type": "punctuation", "alternatives": alternatives, **more})
    return items


def read(results: dict[str, Any]) -> Transcript:
    return read_transcript(json.dumps({"jobName": "j", "results": results}), recording="")


def turns(transcript: Transcript) -> list[tuple[str | None, str]]:
    """Return each speaker's consecutive words as text."""
    grouped: list[tuple[str | None, list[Any]]] = []
    for word in transcript.words:
        if not grouped or grouped[-1][0] != word.speaker:
            grouped.append((word.speaker, []))
        grouped[-1][1].append(word)
    return [(speaker, join_words(words)) for speaker, words in grouped]


FIRST = items_of("When does the ferry leave?", 1.0)
SECOND = items_of("At ten past nine.", 3.0)


def test_in_older_documents_channels_are_speakers() -> None:
    channels = [{"channel_label": "ch_0", "items": FIRST}, {"channel_label": "ch_1", "items": SECOND}]
    labels = {"number_of_channels": 2, "channels": channels}
    for results in ({"items": FIRST + SECOND, "channel_labels": labels}, {"channel_labels": labels}):
        assert turns(read(results)) == [("ch_0", "When does the ferry leave?"), ("ch_1", "At ten past nine.")]


def test_people_who_talk_at_once_keep_their_sentences() -> None:
    items = items_of("I would like to cancel my order", 1.0, channel_label="ch_0")
    items += items_of("sure let me look that up now", 1.1, channel_label="ch_1")
    items.sort(key=lambda item: float(item["start_time"]))
    transcript = read({"items": items})
    assert turns(transcript) == [("ch_0", "I would like to cancel my order"), ("ch_1", "sure let me look that up now")]
    assert all(before.end <= after.start for before, after in pairwise(transcript.words))
    assert transcript.words[-1].end == pytest.approx(3.2, abs=0.01)
    assert all(cue.end_ms - cue.start_ms > 800 for cue in make_cues(transcript.words))


def test_a_short_turn_within_a_longer_one_shares_the_time_of_the_longer_one() -> None:
    spans = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (1.0, 1.5), (1.5, 2.0)]
    order, ordered = order_by_turns(["a", "b", "c", "d", "e"], spans, ["x", "x", "x", "y", "y"])
    assert order == [0, 1, 2, 3, 4]
    assert ordered == [(0.0, 0.8), (0.8, 1.6), (1.6, 3.2), (3.2, 3.6), (3.6, 4.0)]


@pytest.mark.parametrize("closing", ["nine.", "nine.”"])
def test_an_answer_between_two_sentences_is_placed_between_them(closing: str) -> None:
    items = items_of(f"We leave at {closing} Bring your own lunch.", 0.0, channel_label="ch_0")
    items += items_of("Fine.", 1.0, channel_label="ch_1")
    assert [text for _, text in turns(read({"items": items}))] == [
        f"We leave at {closing}",
        "Fine.",
        "Bring your own lunch.",
    ]


def test_speakers_are_numbered_per_channel() -> None:
    items = items_of("One here.", 0, channel_label="ch_0", speaker_label="spk_0")
    items += items_of("Another there.", 2, channel_label="ch_1", speaker_label="spk_0")
    assert [speaker for speaker, _ in turns(read({"items": items}))] == ["ch_0/spk_0", "ch_1/spk_0"]


def test_segments_keep_their_words() -> None:
    first = items_of("Good morning everybody.", 1.0, channel_label="ch_0")
    second = items_of("Hello.", 1.1, channel_label="ch_1")
    items = [{**item, "id": number} for number, item in enumerate(first + second)]
    segments = [
        {"id": 0, "start_time": "1.0", "end_time": "1.9", "items": [0, 1, 2, 3]},
        {"id": 1, "start_time": "1.1", "end_time": "1.4", "items": [4, 5]},
    ]
    transcript = read({"items": items, "audio_segments": segments})
    texts = [join_words(transcript.words[segment.first : segment.stop]) for segment in transcript.segments]
    assert texts == ["Good morning everybody.", "Hello."]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 50), st.integers(1, 8)), min_size=1, max_size=12))
def test_no_word_is_lost_and_times_increase(sentences: list[tuple[str, float, int]]) -> None:
    texts: list[str] = []
    spans: list[tuple[float, float]] = []
    channels: list[str] = []
    for channel in "ab":
        clock = 0.0
        for _, start, count in sorted(sentence for sentence in sentences if sentence[0] == channel):
            clock = max(clock, start)
            for _ in range(count):
                texts.append(f"{channel}{len(texts)}")
                spans.append((clock, clock + 0.3))
                channels.append(channel)
                clock += 0.3
    order, ordered = order_by_turns(texts, spans, channels)
    assert sorted(order) == list(range(len(texts)))
    assert all(before[0] <= after[0] + 0.001 for before, after in pairwise(ordered))
    for channel in "ab":
        own_order = [number for number in order if channels[number] == channel]
        assert own_order == sorted(own_order)


def analytics_turn(role: str, start: int, text: str, *, items: bool = True) -> dict[str, Any]:
    words = text.rstrip("?.").split()
    begins = range(start, start + 300 * len(words), 300)
    listed = [
        {"Type": "pronunciation", "Content": word, "BeginOffsetMillis": begin, "EndOffsetMillis": begin + 300}
        for word, begin in zip(words, begins, strict=True)
    ]
    listed.append({"Type": "punctuation", "Content": text[-1], "Confidence": "0.0"})
    times = {"BeginOffsetMillis": start, "EndOffsetMillis": start + 300 * len(words)}
    return {"Content": text, "ParticipantRole": role, **times, **({"Items": listed} if items else {})}


def test_call_analytics_becomes_a_transcript_of_its_participants() -> None:
    spoken = [
        analytics_turn("AGENT", 500, "How can I help?"),
        analytics_turn("CUSTOMER", 1700, "My parcel is lost."),
        analytics_turn("AGENT", 3000, "Let me look.", items=False),
    ]
    document = {"JobStatus": "COMPLETED", "LanguageCode": "en-US", "JobName": "calls", "Transcript": spoken}
    transcript = read_transcript(json.dumps(document), recording="")
    assert transcript.language == "en-US"
    expected = [("AGENT", "How can I help?"), ("CUSTOMER", "My parcel is lost."), ("AGENT", "Let me look.")]
    assert turns(transcript) == expected
    assert (transcript.words[0].start, transcript.words[-1].end) == (0.5, 3.9)
    assert len(transcript.segments) == 3


def test_call_analytics_may_write_milliseconds_as_texts() -> None:
    turn = {"BeginOffsetMillis": "1600", "EndOffsetMillis": "2000", "ParticipantRole": "AGENT", "Content": "[PII] ok"}
    transcript = read_transcript(json.dumps({"JobStatus": "COMPLETED", "Transcript": [turn]}), recording="")
    assert [(word.text, word.start) for word in transcript.words] == [("[PII]", 1.6), ("ok", 1.8)]


FAILED = {"TranscriptionJobStatus": "FAILED", "FailureReason": "No audio"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"jobName": "x", "status": "FAILED", "results": {"items": []}}, "'x' is FAILED: the document gives no reason"),
        ({"jobName": "x", "status": "FAILED", "FailureReason": "Bad\nmedia"}, "FAILED: Bad media"),
        ({"TranscriptionJob": {"TranscriptionJobName": "y", **FAILED}}, "'y' is FAILED: No audio"),
        ({"JobStatus": "FAILED", "JobName": "z", "FailureReason": "Too short", "Transcript": []}, "'z' is FAILED: Too"),
        ({"TranscriptionJob": {"TranscriptionJobStatus": "IN_PROGRESS"}}, "IN_PROGRESS, not COMPLETED"),
        ({"TranscriptionJob": {"TranscriptionJobStatus": "COMPLETED"}}, "not its transcript: fetch"),
        ({"detail-type": "Transcribe Job State Change", "detail": FAILED}, "FAILED: No audio"),
        ({"results": {}}, "results.items: Field required"),
        (
            {"Transcript": [{"Content": "no times"}], "JobStatus": "COMPLETED"},
            "Call Analytics has no 'BeginOffsetMillis'",
        ),
        ({"Transcript": ["x"], "JobStatus": "COMPLETED"}, "Call Analytics has a wrong value"),
        ([], "should be an object"),
    ],
)
def test_a_document_without_a_transcript_says_why(document: Any, reason: str) -> None:
    with pytest.raises(InvalidTranscript, match=reason):
        read_transcript(json.dumps(document), recording="")


def test_invalid_json_is_reported() -> None:
    with pytest.raises(InvalidTranscript, match="Invalid JSON"):
        read_transcript("WEBVTT", recording="")
