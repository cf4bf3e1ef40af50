"""Whole recordings through an engine, channel by channel."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.errors import OutOfMemory, TranscriptionAborted
from transcription_dagster.model import Segment, SpeechOptions, Transcript, Word
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.recordings import prepare_recording, transcribe_recording
from transcription_dagster_tests import corpus

SENTENCES = (("We", "leave", "at", "nine"), ("I", "come", "later"))


class Engine:
    """An engine that transcribes a sentence per channel, concurrently; its input is the channel's audio."""

    def __init__(self, sentences: tuple[tuple[str, ...], ...] = SENTENCES, fails: int | None = None) -> None:
        self.sentences, self.fails = sentences, fails
        self.meeting = threading.Barrier(2, timeout=30)

    def prepare(self, path: Path, channel: int | None = None) -> tuple[int | None, float]:
        loudest = max(float(np.abs(block).max()) for block in read_blocks(path, 10, channel))
        return channel, loudest

    def transcribe(self, audio: tuple[int | None, float], _options: SpeechOptions, **arguments: Any) -> Transcript:
        channel = audio[0]
        if channel is not None:
            # Both channels are transcribed at the same time.
            self.meeting.wait()
        if channel is not None and channel == self.fails:
            raise OutOfMemory("too large")
        arguments["on_progress"](0.5)
        if self.fails is not None:
            while not arguments["should_stop"]():
                pass
            raise TranscriptionAborted
        words = tuple(Word(text, float(n), n + 0.9) for n, text in enumerate(self.sentences[channel or 0]))
        return Transcript(arguments["recording"], words, (Segment(0.0, 4.0, 0, len(words)),), duration=4.0)


def run(tmp_path: Path, engine: Engine, *, channels: int, quiet: float = 1.0) -> tuple[Transcript, list[float]]:
    sound = np.stack([corpus.tone(4, level=0.5), corpus.tone(4, hertz=300, level=0.5 * quiet)], axis=1)[:, :channels]
    flac = tmp_path / "audio.flac"
    normalise(corpus.write_wav(tmp_path / "a.wav", sound), flac, max_seconds=60, channels="split")
    speech_engine = cast(SpeechEngine, engine)
    shares: list[float] = []
    transcript = transcribe_recording(
        speech_engine,
        prepare_recording(speech_engine, flac),
        SpeechOptions("base"),
        recording="",
        on_progress=shares.append,
        should_stop=lambda: False,
    )
    return transcript, shares


def test_a_single_channel_is_transcribed_unchanged(tmp_path):
    transcript, shares = run(tmp_path, Engine(), channels=1)
    assert [(word.text, word.speaker) for word in transcript.words] == [(text, None) for text in SENTENCES[0]]
    assert shares == [0.5]


def test_channels_are_transcribed_in_parallel_and_merged(tmp_path):
    transcript, shares = run(tmp_path, Engine(), channels=2)
    assert {word.speaker for word in transcript.words} == {"ch_0", "ch_1"}
    assert [word.text for word in transcript.words if word.speaker == "ch_1"] == list(SENTENCES[1])
    assert sorted(shares) == [0.25, 0.5]


def test_cross_talk_stays_where_its_channel_is_louder(tmp_path):
    transcript, _ = run(tmp_path, Engine((SENTENCES[0], SENTENCES[0])), channels=2, quiet=3.0 / 10)
    assert [(word.text, word.speaker) for word in transcript.words] == [(text, "ch_0") for text in SENTENCES[0]]


def test_a_channel_that_fails_stops_the_other_and_says_why(tmp_path):
    with pytest.raises(OutOfMemory):
        run(tmp_path, Engine(fails=1), channels=2)
