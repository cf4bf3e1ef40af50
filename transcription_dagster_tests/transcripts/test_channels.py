"""Merging the transcripts of channels."""

from __future__ import annotations

import json
from dataclasses import replace

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.model import Gap, Segment, Transcript, Word
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.channels import merge_channels
from transcription_dagster.transcripts.turn_order import spread_turns

RECORDING = "00000000-0000-0000-0000-000000000001"


def channel_transcript(text: str, start: float, *, step: float = 0.3, gaps: tuple[Gap, ...] = ()) -> Transcript:
    """Return consecutive words, as one segment."""
    words = tuple(
        Word(word, round(start + step * number, 3), round(start + step * (number + 1), 3))
        for number, word in enumerate(text.split())
    )
    segments = (Segment(words[0].start, words[-1].end, 0, len(words)),) if words else ()
    return Transcript(RECORDING, words, segments, duration=20.0, model="base", gaps=gaps)


def joined(*transcripts: Transcript) -> Transcript:
    words = tuple(word for transcript in transcripts for word in transcript.words)
    first = 0
    segments = []
    for transcript in transcripts:
        segments.append(
            Segment(transcript.words[0].start, transcript.words[-1].end, first, first + len(transcript.words))
        )
        first += len(transcript.words)
    return Transcript(RECORDING, words, tuple(segments), duration=20.0, model="base")


def levels(*by_channel: float):
    return lambda channel, _start, _end: by_channel[channel]


def text(transcript: Transcript) -> list[tuple[str | None, str]]:
    return [(word.speaker, word.text) for word in transcript.words]


def test_turns_are_in_order_of_time_with_their_channel():
    merged = merge_channels(
        [
            joined(channel_transcript("Hello there.", 0), channel_transcript("Fine.", 5)),
            channel_transcript("How are you?", 2),
        ],
        levels(-20, -20),
    )
    assert " ".join(word.text for word in merged.words) == "Hello there. How are you? Fine."
    assert [word.speaker for word in merged.words] == ["ch_0"] * 2 + ["ch_1"] * 3 + ["ch_0"]
    assert [(segment.first, segment.stop) for segment in merged.segments] == [(0, 2), (2, 5), (5, 6)]
    assert merged.options["channels"] == 2


def test_simultaneous_speech_keeps_its_times_and_sentences():
    left, right = channel_transcript("He could rise and seem.", 0.3), channel_transcript("Nobody knows that yet.", 0.4)
    merged = merge_channels([left, right], levels(-20, -20))
    assert " ".join(word.text for word in merged.words) == "He could rise and seem. Nobody knows that yet."
    assert [word.start for word in merged.words] == [word.start for word in (*left.words, *right.words)]


def test_cross_talk_remains_only_on_the_louder_channel():
    echo = channel_transcript("I will send it tomorrow", 1.05)
    for quiet, loud in ((0, 1), (1, 0)):
        transcripts = [
            channel_transcript("I will send it tomorrow", 1.0),
            channel_transcript("I will send it tomorrow", 1.0),
        ]
        transcripts[quiet] = echo
        merged = merge_channels(transcripts, levels(*(-40 if channel == quiet else -20 for channel in (0, 1))))
        assert text(merged) == [(f"ch_{loud}", word) for word in ("I", "will", "send", "it", "tomorrow")]
        assert [(item.text, item.reason) for item in merged.removed] == [
            ("I will send it tomorrow", "it is louder on another channel")
        ]


def test_misheard_words_of_an_echo_are_removed_with_it():
    merged = merge_channels(
        [channel_transcript("I will send it tomorrow", 1), channel_transcript("I will mend it tomorrow", 1)],
        levels(-20, -40),
    )
    assert " ".join(word.text for word in merged.words) == "I will send it tomorrow"


def test_two_speakers_saying_yes_at_once_are_both_kept():
    merged = merge_channels([channel_transcript("Yes.", 1), channel_transcript("Yes.", 1.1)], levels(-20, -22))
    assert text(merged) == [("ch_0", "Yes."), ("ch_1", "Yes.")]


def test_three_equal_words_at_once_are_no_coincidence():
    for words, speakers in [("I will go", ["ch_0"] * 3), ("I will", ["ch_0"] * 2 + ["ch_1"] * 2)]:
        merged = merge_channels([channel_transcript(words, 1), channel_transcript(words, 1)], levels(-20, -22))
        assert [word.speaker for word in merged.words] == speakers


def test_the_same_words_a_second_later_are_not_an_echo():
    merged = merge_channels(
        [channel_transcript("We leave at nine", 1), channel_transcript("We leave at nine", 2.5)], levels(-20, -40)
    )
    assert len(merged.words) == 8


def test_one_voice_on_two_equal_channels_is_written_once():
    merged = merge_channels(
        [channel_transcript("We leave at nine", 1), channel_transcript("We leave at nine", 1)], levels(-20, -20)
    )
    assert text(merged) == [("ch_0", word) for word in ("We", "leave", "at", "nine")]


def test_speech_with_words_on_another_channel_is_not_a_gap():
    covered, own, open_gap = Gap(0.0, 1.2), Gap(5.0, 5.3), Gap(8.0, 9.0)
    merged = merge_channels(
        [channel_transcript("We leave at nine", 0), channel_transcript("Good.", 5, gaps=(covered, own, open_gap))],
        levels(-20, -20),
    )
    assert merged.gaps == (own, open_gap)


def test_an_interrupted_segment_is_split_at_its_words_and_a_whole_one_keeps_its_times():
    words = (*channel_transcript("Hello there.", 0).words, *channel_transcript("Fine.", 5).words)
    interrupted = Transcript(RECORDING, words, (Segment(0.0, 5.5, 0, 3),), duration=20.0, model="base")
    answer = channel_transcript("How are you?", 2)
    whole = replace(answer, segments=(replace(answer.segments[0], start=1.9, end=3.0),))
    merged = merge_channels([interrupted, whole], levels(-20, -20))
    spans = [(segment.start, segment.end, segment.first, segment.stop) for segment in merged.segments]
    assert spans == [(0.0, 0.6, 0, 2), (1.9, 3.0, 2, 5), (5.0, 5.3, 5, 6)]


def test_the_language_is_that_of_most_words_and_other_words_keep_theirs():
    few = replace(channel_transcript("Guten Morgen.", 0), language="de")
    few = replace(few, words=(few.words[0], replace(few.words[1], language="fr")))
    many = replace(channel_transcript("Good morning to all of you.", 2), language="en")
    merged = merge_channels([few, many], levels(-20, -20))
    assert merged.language == "en"
    assert [word.language for word in merged.words] == ["de", "fr", *[None] * 6]


def test_the_first_word_is_not_attached_to_the_last():
    glued = channel_transcript("Good ness.", 0)
    glued = replace(glued, words=tuple(replace(word, glued=True) for word in glued.words))
    merged = merge_channels([glued, channel_transcript("", 0)], levels(-20, -20))
    assert [word.glued for word in merged.words] == [False, True]


def test_a_merged_transcript_reads_back_as_it_was_and_has_amazons_channel_labels():
    merged = merge_channels(
        [channel_transcript("He could rise and seem.", 0.3), channel_transcript("Nobody knows that yet.", 0.4)],
        levels(-20, -20),
    )
    document = write_transcript(merged)
    assert read_transcript(document) == merged
    labels = json.loads(document)["results"]["channel_labels"]
    assert labels["number_of_channels"] == 2
    spoken = [
        " ".join(item["alternatives"][0]["content"] for item in channel["items"] if item["type"] == "pronunciation")
        for channel in labels["channels"]
    ]
    assert spoken == ["He could rise and seem", "Nobody knows that yet"]


def test_captions_of_people_who_talk_at_once_go_forward():
    merged = merge_channels(
        [
            channel_transcript("He could rise and seem to complain.", 0.3),
            channel_transcript("Nobody knows that yet at all.", 0.4),
        ],
        levels(-20, -20),
    )
    (cue,) = make_cues(merged.words, duration=20)
    assert cue.lines == ("- He could rise and seem to complain.", "- Nobody knows that yet at all.")
    starts = [word.start for word in spread_turns(merged.words)]
    assert starts == sorted(starts)
