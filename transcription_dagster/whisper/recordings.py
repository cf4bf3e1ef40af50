"""Transcribe whole recordings and files: mixed, or channel by channel if several channels are kept apart."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from transcription_dagster.audio.decode import AudioFacts, normalise
from transcription_dagster.audio.flac import FLOOR_DBFS, channels_of, read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.errors import TranscriptionAborted
from transcription_dagster.model import ChannelMode, SpeechOptions, Transcript
from transcription_dagster.transcripts.channels import Level, merge_channels
from transcription_dagster.whisper.engine import PreparedAudio, SpeechEngine
from transcription_dagster.whisper.voice_activity import voice_probabilities

#: Samples per measurement of a channel's level: 32 ms.
_FRAME = 512
_PIECE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PreparedRecording:
    """A recording ready to be transcribed, once."""

    path: Path
    channels: tuple[PreparedAudio, ...]


def prepare_recording(engine: SpeechEngine, path: Path) -> PreparedRecording:
    """Decode the beginning of each channel of a FLAC written by `normalise`. Raises what `engine.prepare` raises."""
    count = channels_of(path)
    channels = [engine.prepare(path, channel) for channel in range(count)] if count > 1 else [engine.prepare(path)]
    return PreparedRecording(path, tuple(channels))


def transcribe_recording(
    engine: SpeechEngine,
    prepared: PreparedRecording,
    options: SpeechOptions,
    *,
    recording: str,
    on_progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    device_limit: float | None = None,
) -> Transcript:
    """Transcribe a recording, its channels in parallel; parameters and errors are those of `engine.transcribe`.

    In a recording with several channels, the speaker of each word is its channel (`merge_channels`).
    """
    shares = [0.0] * len(prepared.channels)
    failed = threading.Event()

    def transcribe(channel: int) -> Transcript:
        def progressed(share: float) -> None:
            shares[channel] = share
            on_progress(sum(shares) / len(shares))

        try:
            return engine.transcribe(
                prepared.channels[channel],
                options,
                recording=recording,
                on_progress=progressed,
                should_stop=lambda: failed.is_set() or should_stop(),
                device_limit=device_limit,
            )
        except BaseException:
            failed.set()
            raise

    if len(shares) == 1:
        return transcribe(0)
    with ThreadPoolExecutor(len(shares), thread_name_prefix="channel") as threads:
        futures = [threads.submit(transcribe, channel) for channel in range(len(shares))]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        # A failing channel stops the others with `TranscriptionAborted`, which says less than the original error.
        raise next((error for error in errors if not isinstance(error, TranscriptionAborted)), errors[0])
    return merge_channels([future.result() for future in futures], _levels(prepared.path))


def transcribe_file(
    engine: SpeechEngine,
    source: Path,
    options: SpeechOptions,
    *,
    recording: str,
    name: str,
    channels: ChannelMode,
    max_seconds: float,
    on_progress: Callable[[float], None],
) -> tuple[Transcript, AudioFacts]:
    """Decode a file in any format and transcribe it; return the transcript and the facts about the file.

    `name`, `channels` and `max_seconds` are those of `normalise`, the other parameters those of `engine.transcribe`.
    Raises the errors of both.
    """
    with tempfile.TemporaryDirectory(prefix="transcription-") as folder:
        flac = Path(folder) / "audio.flac"
        facts = normalise(
            source,
            flac,
            max_seconds=max_seconds,
            name=name,
            language=options.language,
            channels=channels,
            detect_voice=voice_probabilities,
        )
        transcript = transcribe_recording(
            engine,
            prepare_recording(engine, flac),
            options,
            recording=recording,
            on_progress=on_progress,
            should_stop=lambda: False,
        )
    return transcript, facts


def _levels(path: Path) -> Level:
    """Return a function for the levels of a recording's channels, each measured on first use."""

    @cache
    def powers(channel: int) -> np.ndarray:
        pieces = [_frame_powers(piece) for piece in read_blocks(path, _PIECE_SECONDS, channel)]
        return np.concatenate([np.zeros(0), *pieces])

    def level(channel: int, start: float, end: float) -> float:
        first, last = (int(moment * SAMPLE_RATE / _FRAME) for moment in (start, end))
        power = powers(channel)[first : last + 1]
        return max(FLOOR_DBFS, float(10 * np.log10(power.mean()))) if power.any() else FLOOR_DBFS

    return level


def _frame_powers(samples: np.ndarray) -> np.ndarray:
    padded = np.pad(samples, (0, -samples.size % _FRAME))
    return np.square(padded.reshape(-1, _FRAME), dtype=np.float64).mean(axis=1)
