"""Amazon Transcribe's own documents become transcripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transcription_dagster.errors import InvalidRecordingId, InvalidTranscript
from transcription_dagster.model import Segment, Transcript, Word
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster_tests.transcripts.amazon_documents import RECORDING, amazon, mark, pronounced


def test_amazons_items_become_words_with_their_punctuation() -> None:
    items = [
        pronounced("I've", "4.87", "5.02", id=0, speaker_label="spk_0"),
        pronounced("been", "5.02", "5.17", id=1, speaker_label="spk_0"),
        mark(".", id=2, speaker_label="spk_0"),
        pronounced("Sorry", "8.49", "8.88", id=3, speaker_label="spk_1"),
    ]
    segments = [
        {"id": 0, "transcript": "I've been.", "start_time": "4.87", "end_time": "5.17", "items": [0, 1, 2]},
        {"id": 1, "transcript": "Sorry", "start_time": "8.49", "end_time": "8.88", "items": [3]},
    ]
    document = amazon(items, audio_segments=segments, language_code="en-GB")
    assert read_transcript(document, recording=RECORDING) == Transcript(
        RECORDING,
        (
            Word("I've", 4.87, 5.02, 0.9, speaker="spk_0"),
            Word("been.", 5.02, 5.17, 0.9, speaker="spk_0"),
            Word("Sorry", 8.49, 8.88, 0.9, speaker="spk_1"),
        ),
        segments=(Segment(4.87, 5.17, 0, 2), Segment(8.49, 8.88, 2, 3)),
        language="en-GB",
        duration=8.88,
    )


def test_speakers_of_the_older_layout_are_separate_from_the_items() -> None:
    labels = {
        "speakers": 2,
        "segments": [
            {"speaker_label": "spk_0", "items": [{"start_time": "0.5", "end_time": "1.0", "speaker_label": "spk_0"}]},
            {"speaker_label": "spk_1", "items": [{"start_time": "1.2", "end_time": "1.5", "speaker_label": "spk_1"}]},
        ],
    }
    document = amazon([pronounced("Open?", "0.50", "1.0"), pronounced("No", "1.2", "1.5")], speaker_labels=labels)
    assert [word.speaker for word in read_transcript(document, recording="").words] == ["spk_0", "spk_1"]


@pytest.mark.parametrize("listed", [{}, {"items": None}, {"items": [{"start_time": "0.5"}, {"start_time": "1.2"}]}])
def test_a_turn_names_the_speaker_of_words_that_it_does_not_name_one_by_one(listed: dict[str, Any]) -> None:
    turns = [("0.0", "1.1", "spk_0"), ("1.1", "1.6", "spk_1"), ("9.0", "9.5", "spk_0")]
    segments = [
        {"start_time": start, "end_time": end, "speaker_label": speaker, **listed} for start, end, speaker in turns[:1]
    ]
    segments += [{"start_time": start, "end_time": end, "speaker_label": speaker} for start, end, speaker in turns[1:]]
    document = amazon(
        [pronounced("Open?", "0.5", "1.0"), pronounced("No", "1.2", "1.5"), pronounced("so", "2.0", "2.1")],
        speaker_labels={"speakers": 2, "segments": segments},
    )
    expected = ["spk_0", "spk_0", None] if listed.get("items") else ["spk_0", "spk_1", None]
    assert [word.speaker for word in read_transcript(document, recording="").words] == expected


def test_channels_are_speakers() -> None:
    document = amazon([pronounced("Open?", "0.5", "1.0", channel_label="ch_1")])
    assert read_transcript(document, recording="").words[0].speaker == "ch_1"


def test_a_document_without_speakers_has_none() -> None:
    assert read_transcript(amazon([pronounced("Open?", "0.5", "1.0")]), recording="").words[0].speaker is None


def test_the_languages_that_were_spoken_are_written_with_their_seconds() -> None:
    words = (
        Word("Hello", 0, 1, language="en"),
        Word("liebe", 1, 2.5, language="de"),
        Word("Welt", 3, 4, language="de"),
    )
    document = json.loads(write_transcript(Transcript(RECORDING, words, language="de")))
    assert document["results"]["language_codes"] == [
        {"language_code": "de", "duration_in_seconds": 2.5},
        {"language_code": "en", "duration_in_seconds": 1.0},
    ]
    assert "language_code" not in document["results"]
    assert read_transcript(json.dumps(document)).words == words


def test_a_language_of_missing_words_is_refused() -> None:
    document = json.loads(write_transcript(Transcript(RECORDING, (Word("Hello", 0, 1, language="en"),))))
    document["whisper"]["languages"][0]["stop"] = 2
    with pytest.raises(InvalidTranscript, match=r"whisper\.languages\[0\]: words 0 to 2 are not among the 1 words"):
        read_transcript(json.dumps(document))


def test_the_language_with_most_speech_is_the_transcripts() -> None:
    items = [pronounced("Hello", "0.1", "0.4", language_code="en-US"), pronounced("oui", "1.0", "1.5")]
    codes: list[dict[str, Any]] = [{"language_code": "en-US", "duration_in_seconds": 2.5}]
    codes += [{"language_code": "fr-FR", "duration_in_seconds": "9.0"}, {"language_code": "es-US"}]
    transcript = read_transcript(amazon(items, language_codes=codes), recording="")
    assert (transcript.language, [word.language for word in transcript.words]) == ("fr-FR", ["en-US", None])
    assert read_transcript(amazon([], language_codes=codes), recording="").language == "fr-FR"


def test_words_without_times_are_placed_between_their_neighbours() -> None:
    items = [pronounced("one", "1.0", "1.5"), pronounced("two", None, None), pronounced("three", "2.0", "2.5")]
    word = read_transcript(amazon(items), recording="").words[1]
    assert 1.5 <= word.start < word.end <= 2.0


def test_a_document_without_any_times_gets_them() -> None:
    words = read_transcript(amazon([pronounced("one", None, None), pronounced("two", None, None)]), recording="").words
    assert 0 <= words[0].start < words[0].end <= words[1].start < words[1].end


def test_backward_and_overlapping_times_are_repaired() -> None:
    items = [pronounced("a", "3.0", "5.0"), pronounced("b", "4.0", "4.5"), pronounced("c", "1.0", "1.5")]
    words = read_transcript(amazon(items), recording="").words
    assert words[0].end <= words[1].start <= words[1].end <= words[2].start


@pytest.mark.parametrize(
    ("contents", "code", "text"),
    [
        ("今天 天气 很 好", "zh-CN", "今天天气很好"),
        ("今天 天气", None, "今天天气"),
        ("我 用 iPhone 和 Mac Pro", "zh-CN", "我用iPhone和Mac Pro"),
        ("今日 は", "ja-JP", "今日は"),
        ("สวัสดี ครับ", "th-TH", "สวัสดีครับ"),
        ("안녕하세요 여러분", "ko-KR", "안녕하세요 여러분"),
        ("the word 天气 means weather", "en-US", "the word 天气 means weather"),
    ],
)
def test_languages_without_spaces_are_written_without(contents: str, code: str | None, text: str) -> None:
    items = [pronounced(content, None, None) for content in contents.split()]
    document = amazon(items, **({"language_code": code} if code else {}))
    assert join_words(read_transcript(document, recording="").words) == text


@pytest.mark.parametrize(
    ("items", "texts"),
    [
        ([mark("¿"), pronounced("qué", "0", "1"), mark("?")], ["¿qué?"]),
        ([pronounced("sí", "0", "1"), mark(","), mark("¿"), pronounced("qué", "1", "2")], ["sí,", "¿qué"]),
        ([mark("."), pronounced("well", "0", "1")], [".well"]),
        ([pronounced("well", "0", "1"), mark("“")], ["well“"]),
        ([mark(".")], []),
        ([pronounced("", "0", "1"), pronounced("a\nb\x00", "1", "2")], ["a b"]),
        ([pronounced("[PII]", "0", "1")], ["[PII]"]),
    ],
)
def test_marks_are_never_lost_and_words_are_clean(items: list[dict[str, Any]], texts: list[str]) -> None:
    assert [word.text for word in read_transcript(amazon(items), recording="").words] == texts


def test_confidences_may_be_missing_or_beyond_their_range() -> None:
    items = [pronounced("a", "0", "1"), pronounced("b", "1", "2")]
    del items[0]["alternatives"][0]["confidence"]
    items[1]["alternatives"][0]["confidence"] = "1.2"
    assert [word.confidence for word in read_transcript(amazon(items), recording="").words] == [1.0, 1.0]


# --- which recording it is


def test_amazons_job_needs_a_recording() -> None:
    with pytest.raises(InvalidTranscript, match=r"jobName: 'my-first.*which recording"):
        read_transcript(amazon([]))


def test_a_recording_argument_overrides_the_document() -> None:
    argument = "2c63eda2-4ecd-5d4c-b915-98e162482c4b"
    assert read_transcript(write_transcript(Transcript(RECORDING, ())), recording=argument).recording == argument
    assert read_transcript(amazon([]), recording="").recording == ""


def test_a_recording_must_be_a_uuid() -> None:
    with pytest.raises(InvalidRecordingId):
        read_transcript(amazon([]), recording="../escape")
