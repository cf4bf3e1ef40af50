"""Audio degraded by telephones, faults and distance, with the real Whisper `base`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.model import Transcript
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster_tests import corpus
from transcription_dagster_tests.corpus import RATE, write_headerless, write_media, write_wav
from transcription_dagster_tests.whisper.helpers import text_of, transcribe, word_errors

pytestmark = pytest.mark.slow

TEXT = "The road is hot in summer, it floods in winter, and trees would help with both."
SECONDS = 4.8

#: Sample rate of a telephone, in hertz.
NARROW = 8_000

#: The sentence.
_GSM = Path(__file__).with_name("sentence.gsm")


@pytest.fixture(scope="module")
def sentence(voices) -> np.ndarray:
    """Return 4.8 s of speech, `TEXT`, at about -25 dBFS."""
    return _cut(voices["Council meeting, item seven"].samples, 9.1, 13.9)


@pytest.fixture(scope="module")
def word(voices) -> np.ndarray:
    """Return the word "Carried", about half a second."""
    return _cut(voices["Council meeting, item seven"].samples, 72.9, 73.5)


def _cut(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    return samples[round(start * RATE) : round(end * RATE)].copy()


def _narrow(samples: np.ndarray) -> np.ndarray:
    """Return the lower half of the spectrum, at half the rate."""
    return np.fft.irfft(np.fft.rfft(samples)[: samples.size // 4 + 1], samples.size // 2) / 2


def mu_law(folder: Path, samples: np.ndarray) -> Path:
    return write_headerless(folder / "call.ulaw", _narrow(samples), "pcm_mulaw", NARROW)


def gsm(folder: Path, _: np.ndarray) -> Path:
    """GSM 06.10 at 13 kbit/s, as telephone exchanges store announcements. Written by SoX, because FFmpeg cannot."""
    return Path(shutil.copy(_GSM, folder / "call.gsm"))


def mobile(folder: Path, samples: np.ndarray) -> Path:
    """AMR, the codec of mobile telephones, at its lowest rate."""
    path = folder / "call.amr"
    write_headerless(path, _narrow(samples), "libopencore_amrnb", NARROW)
    path.write_bytes(b"#!AMR\n" + path.read_bytes())
    return path


def whispered(folder: Path, samples: np.ndarray) -> Path:
    """Peaks of a few hundred 16-bit steps."""
    return write_wav(folder / "whispered.wav", samples * 10 ** (-38 / 20))


def clipped(folder: Path, samples: np.ndarray) -> Path:
    return write_wav(folder / "clipped.wav", samples * 20)


def offset(folder: Path, samples: np.ndarray) -> Path:
    """A constant offset, as from a faulty microphone."""
    return write_wav(folder / "offset.wav", 0.5 * samples + 0.4)


def opposite(folder: Path, samples: np.ndarray) -> Path:
    """One of two channels is inverted, so that their sum is silent."""
    return write_media(folder / "stereo.flac", _stereo(samples, -samples), form="flac", layout="stereo", rate=RATE)


def one_side(folder: Path, samples: np.ndarray) -> Path:
    """The voice is on one channel only, and noise on the other."""
    noise = corpus.noise(samples.size / RATE, level=0.0005)
    return write_media(folder / "stereo.flac", _stereo(samples, noise), form="flac", layout="stereo", rate=RATE)


def _stereo(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([left, right[: left.size]], axis=1)


def hear(engine, source: Path) -> Transcript:
    flac = source.with_name("audio.flac")
    normalise(source, flac, max_seconds=7200)
    return transcribe(engine, flac, model="base")


@pytest.mark.parametrize(
    "make",
    [
        gsm,
        offset,
        one_side,
        # The others are samples.
        *(pytest.param(make, marks=pytest.mark.exhaustive) for make in (mu_law, mobile, whispered, clipped, opposite)),
    ],
    ids=lambda make: make.__name__,
)
def test_a_sentence_is_transcribed_despite_degraded_audio(
    base_engine, sentence, tmp_path, make: Callable[[Path, np.ndarray], Path]
):
    transcript = hear(base_engine, make(tmp_path, sentence))
    assert word_errors(TEXT, text_of(transcript)) <= 1
    assert (transcript.removed, transcript.gaps) == ((), ())
    assert transcript.words[-1].end <= SECONDS + 0.1


def test_a_word_between_long_silences_is_transcribed_in_place(base_engine, word, tmp_path):
    # The word is at the edge of a block.
    engine = SpeechEngine(threads=1, models_folder=base_engine.models_folder, block_seconds=120)
    before, after = np.zeros(120 * RATE, np.float32), np.zeros(60 * RATE, np.float32)
    source = write_wav(tmp_path / "long.wav", np.concatenate([before, word, after]))
    flac = tmp_path / "audio.flac"
    normalise(source, flac, max_seconds=7200)
    transcript = transcribe(engine, flac, model="base")
    assert word_errors("Carried", text_of(transcript)) == 0
    assert transcript.words[0].start == pytest.approx(120.1, abs=0.2)
    assert transcript.words[0].end == pytest.approx(120.55, abs=0.2)
    assert transcript.language == "en"
    # The word itself, once or twice. Whisper alone decodes 43 words.
    assert engine.usage().windows <= 2
