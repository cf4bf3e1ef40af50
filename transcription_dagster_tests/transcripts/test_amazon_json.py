"""Transcripts in Amazon's layout: ours round-trip, and invalid ones are refused with the position."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Segment, Transcript, Word
from transcription_dagster.transcripts import amazon_json
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster_tests.captions.speech import any_text, say, spoken_words
from transcription_dagster_tests.transcripts.amazon_documents import RECORDING, amazon, pronounced

measure = st.none() | st.floats(-100, 100)
option = st.recursive(
    st.none() | st.booleans() | st.floats(-10, 10) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3).map(tuple),
    max_leaves=5,
)


moment = st.floats(0, 9)
witnesses = st.lists(st.text(max_size=5), max_size=2).map(tuple)
removed_speech = st.builds(RemovedSpeech, moment, moment, st.text(), st.text(), witnesses, st.text())
doubtful_speech = st.builds(DoubtfulSpeech, moment, moment, st.text(), witnesses)
gaps = st.builds(Gap, moment, moment)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Return transcripts as a model makes them."""
    words = draw(spoken_words(speakers=True))
    glued = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    spoken = st.sampled_from([None, "en", "de"])
    languages = draw(st.lists(spoken, min_size=len(words), max_size=len(words)))
    words = [
        Word(draw(st.just(word.text) | any_text), word.start, word.end, word.confidence, glue, word.speaker, language)
        for word, glue, language in zip(words, glued, languages, strict=True)
    ]
    edges = sorted(draw(st.lists(st.integers(0, len(words)), max_size=4)))
    segments = [
        Segment(first * 1.1, stop * 1.3, first, stop, *(draw(measure) for _ in range(4)))
        for first, stop in pairwise(edges)
    ]
    return Transcript(
        recording=RECORDING,
        words=tuple(words),
        segments=tuple(segments),
        language=draw(st.sampled_from(["en", "zh", "pt-BR"])),
        duration=draw(st.floats(0, 1e5)),
        model=draw(st.sampled_from(["medium", ""])),
        options=MappingProxyType(draw(st.dictionaries(st.text(max_size=5), option, max_size=3))),
        removed=tuple(draw(st.lists(removed_speech, max_size=2))),
        doubtful=tuple(draw(st.lists(doubtful_speech, max_size=2))),
        gaps=tuple(draw(st.lists(gaps, max_size=2))),
    )


@given(transcripts())
def test_a_transcript_round_trips(transcript: Transcript) -> None:
    assert read_transcript(write_transcript(transcript)) == transcript


def written(words: list[Word], **fields: Any) -> dict[str, Any]:
    """Return the document of a transcript of these words."""
    return json.loads(write_transcript(Transcript(RECORDING, tuple(words), **fields)))


# --- what is written


def test_the_layout_matches_amazons() -> None:
    words = [Word("Hello,", 0.0, 0.4, 0.75), Word("world!", 0.4, 1.0, 0.5, speaker="spk_0")]
    document = written(words, segments=(Segment(0.0, 1.0, 0, 2, average_log_probability=-0.25),), duration=2.5)
    assert document["jobName"] == RECORDING
    assert (document["accountId"], document["status"]) == ("", "COMPLETED")
    assert document["results"] == {
        "transcripts": [{"transcript": "Hello, world!"}],
        "items": [
            {
                "id": 0,
                "type": "pronunciation",
                "alternatives": [{"content": "Hello", "confidence": "0.75"}],
                "start_time": "0.0",
                "end_time": "0.4",
            },
            {"id": 1, "type": "punctuation", "alternatives": [{"content": ",", "confidence": "0.0"}]},
            {
                "id": 2,
                "type": "pronunciation",
                "alternatives": [{"content": "world", "confidence": "0.5"}],
                "start_time": "0.4",
                "end_time": "1.0",
                "speaker_label": "spk_0",
            },
            {
                "id": 3,
                "type": "punctuation",
                "alternatives": [{"content": "!", "confidence": "0.0"}],
                "speaker_label": "spk_0",
            },
        ],
        "audio_segments": [
            {"id": 0, "transcript": "Hello, world!", "start_time": "0.0", "end_time": "1.0", "items": [0, 1, 2, 3]}
        ],
        "language_code": "en",
        "speaker_labels": {
            "speakers": 1,
            "segments": [
                {
                    "start_time": "0.4",
                    "end_time": "1.0",
                    "speaker_label": "spk_0",
                    "items": [{"start_time": "0.4", "end_time": "1.0", "speaker_label": "spk_0"}],
                }
            ],
        },
    }
    assert document["whisper"]["segments"][0]["average_log_probability"] == -0.25


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("hello", ["hello"]),
        ("hello.", ["hello", "."]),
        ('said."', ["said", ".", '"']),
        ('"hello', ['"hello']),
        ("what?!", ["what", "?", "!"]),
        ("¿qué?", ["¿qué", "?"]),
        ("3.5", ["3.5"]),
        ("50%", ["50%"]),
        ("C#", ["C#"]),
        ("dogs'", ["dogs'"]),
        ("U.S.", ["U.S", "."]),
        ("…", ["…"]),
        ("—", ["—"]),
        ("😀!", ["😀!"]),
        ("好。", ["好", "。"]),
    ],
)
def test_only_the_punctuation_at_a_words_end_is_split_off(text: str, contents: list[str]) -> None:
    items = written([Word(text, 0.0, 1.0)])["results"]["items"]
    assert [item["alternatives"][0]["content"] for item in items] == contents
    assert [item["type"] for item in items] == ["pronunciation"] + ["punctuation"] * (len(contents) - 1)


def test_times_are_written_to_the_millisecond() -> None:
    item = written([Word("hello", 0.1 + 0.2, 1.00049)])["results"]["items"][0]
    assert (item["start_time"], item["end_time"]) == ("0.3", "1.0")


def test_a_transcript_without_words_is_valid() -> None:
    empty = Transcript(RECORDING, ())
    assert read_transcript(write_transcript(empty)) == empty


# --- what is refused


def broken(change: dict[str, Any]) -> str:
    """Return a document with this change in one item."""
    return amazon([pronounced("one", "0.0", "1.0"), {**pronounced("two", "1.0", "2.0"), **change}])


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("", "document: Invalid JSON"),
        ("not json", "document: Invalid JSON"),
        ('{"results": {"items": [', "document: Invalid JSON"),
        (b"\xff\xfe{}", "document: Invalid JSON"),
        ("[]", "document: Input should be"),
        ("{}", "results: Field required"),
        ('{"results": {}}', r"results\.items: Field required"),
        ('{"results": {"items": null}}', r"results\.items: Field required"),
        ('{"text": "Hi", "segments": []}', "the document is not an output of .* it has 'text', 'segments'"),
        ('{"results": {"items": [], "transcripts": [{"transcript": "Hi"}]}}', r"results\.items: the words of 'Hi'"),
        ('{"results": {"items": {}}}', r"results\.items: Input should be a valid array"),
        ("[" * 100_000, "document: Invalid JSON"),
        (broken({"start_time": "soon"}), r"results\.items\[1\]\.start_time: "),
        (broken({"start_time": "NaN"}), r"results\.items\[1\]\.start_time: "),
        (broken({"end_time": {}}), r"results\.items\[1\]\.end_time: "),
        (broken({"alternatives": []}), r"results\.items\[1\]\.alternatives: "),
        (broken({"alternatives": [{"content": 7}]}), r"results\.items\[1\]\.alternatives\[0\]\.content: "),
        (broken({"type": "music"}), r"results\.items\[1\]\.type: 'music'"),
        ('{"status": "FAILED", "results": {"items": []}}', "the transcription job .*FAILED"),
        ('{"results": {"items": []}, "whisper": {}}', r"whisper\.model: Field required \(and 6 more\)"),
    ],
)
def test_an_invalid_document_is_refused_with_the_place(document: str | bytes, place: str) -> None:
    with pytest.raises(InvalidTranscript, match=f"^{place}"):
        read_transcript(document, recording="")


def test_segments_must_refer_to_existing_words() -> None:
    document = written(say("one two"), segments=(Segment(0.0, 1.0, 0, 2),))
    document["whisper"]["segments"][0]["stop"] = 3
    with pytest.raises(InvalidTranscript, match=r"whisper\.segments\[0\]: words 0 to 3 are not among the 2 words"):
        read_transcript(json.dumps(document))


def test_a_byte_order_mark_is_ignored() -> None:
    document = write_transcript(Transcript(RECORDING, ()))
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        assert read_transcript(document.encode(encoding)) == read_transcript(document)


@pytest.mark.parametrize(
    "results",
    [
        {"speaker_labels": {"speakers": None, "segments": None}},
        {"speaker_labels": {"segments": [{"start_time": None, "end_time": None, "items": None}]}},
        {"channel_labels": {"channels": None, "number_of_channels": None}},
        {"channel_labels": {"channels": [{"channel_label": "ch_0", "items": None}]}},
        {"audio_segments": [{"id": None, "transcript": None, "start_time": "0", "end_time": "1", "items": None}]},
        {"language_codes": [{"language_code": "en-US", "duration_in_seconds": None}]},
    ],
)
def test_optional_fields_may_be_null(results: dict[str, Any]) -> None:
    transcript = read_transcript(amazon([pronounced("one", "0.0", "1.0")], **results), recording="")
    assert [word.text for word in transcript.words] == ["one"]


def test_missing_or_numeric_names_are_accepted() -> None:
    document = json.loads(amazon([pronounced("one", "0.0", "1.0")])) | {"jobName": None, "accountId": 1, "status": None}
    assert len(read_transcript(json.dumps(document), recording="").words) == 1


@given(st.text(alphabet="a1 é.,。)]'’\"”¿", max_size=12))
def test_trailing_punctuation_is_split_as_by_a_search_from_the_start(text: str) -> None:
    pattern = r"""(?<=\S)[.,;:!?…。、，．！？；：؟،؛۔।॥\]})"”»」』）】〉》]['’.,;:!?…"”»\]})]*$"""
    marks = re.search(pattern, text)
    expected_parts = (text[: marks.start()], marks.group()) if marks else (text, "")
    expected = expected_parts if any(character.isalnum() for character in text) else (text, "")
    assert amazon_json._split_punctuation(text) == expected


def test_a_long_run_of_punctuation_is_processed_in_linear_time() -> None:
    word = "." * 1_000_000 + "a"
    assert amazon_json._split_punctuation(word) == (word, "")


def test_a_document_without_gaps_is_read() -> None:
    document = written([Word("Hello", 0.0, 0.4)])
    document["whisper"]["removed"] = [{"start": 1.0, "end": 2.0, "text": "a", "reason": "b"}]
    del document["whisper"]["doubtful"], document["whisper"]["gaps"]
    transcript = read_transcript(json.dumps(document))
    assert transcript.removed == (RemovedSpeech(1.0, 2.0, "a", "b"),)
    assert (transcript.doubtful, transcript.gaps) == ((), ())
