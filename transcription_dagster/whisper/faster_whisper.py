"""Whisper on CTranslate2, the library under faster-whisper: int8 on a CPU, float16 on a GPU.

Recordings pass through the same decoding loop as with openai-whisper; this module only answers its requests.
docs/engine.md says where the answers differ.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from whisper.audio import FRAMES_PER_SECOND, TOKENS_PER_SECOND
from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from transcription_dagster.errors import InvalidSetting, WorkerUnfit
from transcription_dagster.model import FASTER_WHISPER
from transcription_dagster.whisper.decoding.requests import (
    Align,
    AlignedWord,
    Decode,
    Decoded,
    Detect,
    Requests,
    Result,
    Vocabulary,
    Window,
    aligned_words,
    run_requests,
)
from transcription_dagster.whisper.devices import DeviceUse, device_errors
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster.whisper.models.ctranslate2_writer import write_model
from transcription_dagster.whisper.models.files import CTRANSLATE2_FILE, fetch_model

#: Tokens of the decoder's context, the prompt included.
_CONTEXT = 448

#: Frames of a spectrogram for each position of its encoding.
_FRAMES = FRAMES_PER_SECOND // TOKENS_PER_SECOND

#: Part of CTranslate2's error if NVIDIA's libraries are missing or not the version that it was built for.
_NO_LIBRARY = "is not found or cannot be loaded"


class FasterModel:
    """A model in CTranslate2, shared by recordings; it computes one request at a time."""

    def __init__(self, model: ctranslate2.models.Whisper) -> None:
        self.model = model
        self._lock = threading.Lock()
        #: Windows encoded so far.
        self.windows = 0
        #: Seconds of computing so far.
        self.worked = 0.0

    @property
    def busy(self) -> int:
        """Return 1 while it computes, else 0."""
        return int(self._lock.locked())

    @contextmanager
    def computing(self, use: DeviceUse) -> Iterator[None]:
        """Hold the model during the block, once it is free; the time of the block counts towards `use`."""
        with self._lock:
            started = time.perf_counter()
            try:
                yield
            finally:
                seconds = time.perf_counter() - started
                use.seconds += seconds
                self.worked += seconds

    def encode(self, window: Window) -> ctranslate2.StorageView:
        """Return a window's encoding, of shape (1, positions, width)."""
        self.windows += 1
        mel = np.ascontiguousarray(window.mel.numpy()[None])
        return self.model.encode(ctranslate2.StorageView.from_array(mel))

    def access(self, use: DeviceUse) -> FasterAccess:
        """Return one recording's access to the model."""
        return FasterAccess(self, use)


class FasterAccess:
    """A recording's access to a shared model in CTranslate2 (`SpeechModel`)."""

    def __init__(self, shared: FasterModel, use: DeviceUse) -> None:
        self._shared = shared
        self._use = use
        model = shared.model
        self.vocabulary = Vocabulary(model.is_multilingual, model.num_languages)
        #: Mel bands of the spectrograms that the model reads.
        self.mels: int = model.n_mels
        self.options_used: dict[str, Any] = {"engine": FASTER_WHISPER, "compute_type": model.compute_type}

    def run(
        self, requests: Requests[Result], before_each: Callable[[Decode | Align | Detect], None] = lambda _: None
    ) -> Result:
        """Run a computation to its end.

        Raises what `before_each` raises, `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`,
        and `WorkerUnfit` where this machine's CUDA is not the one that CTranslate2 needs.
        """
        answers = _Answers(self._shared)

        def timed(request: Decode | Align | Detect) -> object:
            before_each(request)
            self._use.check()
            with self._shared.computing(self._use):
                return answers.answer(request)

        with _ctranslate2_errors():
            return run_requests(requests, timed)


def open_faster_whisper(
    model: str, folder: Path, device: str, *, threads: int | None = None, compute_type: str | None = None
) -> FasterModel:
    """Load a model given by name or path, in any layout, into CTranslate2.

    `device` is `cpu` or `cuda:N`. None for `threads` leaves the number to CTranslate2; None for `compute_type` means
    int8 on a CPU and float16 on a GPU. Raises what `open_model` raises, and `InvalidSetting` if the device does not
    support the compute type.
    """
    kind, _, index = device.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    # Our own readers come first: they name what is wrong with a file, and know the alignment heads.
    network = open_model(model, folder, "cpu")
    weights = fetch_model(model, folder) / CTRANSLATE2_FILE
    tokenizer = Vocabulary(network.is_multilingual, network.num_languages).tokenizer("en")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".ctranslate2-") as converted, _ctranslate2_errors():
        write_model(network, tokenizer, Path(converted), weights=weights if weights.is_file() else None)
        del network
        try:
            loaded = ctranslate2.models.Whisper(
                converted,
                device=kind,
                device_index=int(index or 0),
                compute_type=compute_type or ("int8" if kind == "cpu" else "float16"),
                intra_threads=threads or 0,
            )
        except ValueError as error:
            raise InvalidSetting(f"the engine {FASTER_WHISPER} cannot use {device}: {error}") from error
    return FasterModel(loaded)


class _Answers:
    """Answers one recording's requests; the last window stays encoded."""

    def __init__(self, shared: FasterModel) -> None:
        self._shared = shared
        self._model = shared.model
        self._window: Window | None = None
        self._encoded: ctranslate2.StorageView | None = None

    def answer(self, request: Decode | Align | Detect) -> Decoded | list[AlignedWord] | list[dict[str, float]]:
        """Return the answer that the request's class describes."""
        encoded = self._encode(request.window)
        match request:
            case Decode():
                return self._decode(encoded, request)
            case Align():
                return self._align(encoded, request)
            case Detect():
                return [self._languages(encoded, part) for part in request.parts]

    def _encode(self, window: Window) -> ctranslate2.StorageView:
        if self._encoded is None or self._window is not window:
            self._window, self._encoded = window, self._shared.encode(window)
        return self._encoded

    def _languages(self, encoded: ctranslate2.StorageView, part: tuple[int, int]) -> dict[str, float]:
        """Return the probability of each language in a range of frames, from those frames of the window's encoding."""
        positions = slice(part[0] // _FRAMES, -(-part[1] // _FRAMES))
        sound = np.ascontiguousarray(np.array(encoded)[:, positions])
        [likely] = self._model.detect_language(ctranslate2.StorageView.from_array(sound))
        return {token.strip("<|>"): probability for token, probability in likely}

    def _decode(self, encoded: ctranslate2.StorageView, request: Decode) -> Decoded:
        samples = request.temperature > 0
        tokenizer = request.tokenizer
        [result] = self._model.generate(
            encoded,
            [request.prompt_tokens(_CONTEXT)],
            beam_size=1 if samples else request.beam_size or 1,
            sampling_topk=0 if samples else 1,
            sampling_temperature=request.temperature or 1,
            max_length=_CONTEXT,
            suppress_tokens=_suppressed(tokenizer),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = tuple(result.sequences_ids[0])
        return Decoded(
            tokens,
            # CTranslate2 divides by the length without the end-of-text token, although the sum includes its
            # probability.
            average_log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
            compression_ratio=compression_ratio(tokenizer.decode(list(tokens)).strip()),
            temperature=request.temperature,
        )

    def _align(self, encoded: ctranslate2.StorageView, request: Align) -> list[AlignedWord]:
        tokenizer, tokens = request.tokenizer, list(request.tokens)
        [result] = self._model.align(encoded, list(tokenizer.sot_sequence), [tokens], request.window.frames)
        # Each token, and the end of text, starts at the first position aligned to it.
        positions: dict[int, int] = {}
        for token, position in result.alignments:
            positions.setdefault(token, position)
        starts = [positions[token] / TOKENS_PER_SECOND for token in range(len(tokens) + 1)]
        return aligned_words(tokenizer, tokens, starts, result.text_token_probs)


def _suppressed(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that openai-whisper suppresses by default."""
    special = (tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm)
    return sorted({*tokenizer.non_speech_tokens, *special, tokenizer.no_speech})


@contextmanager
def _ctranslate2_errors() -> Iterator[None]:
    """Raise CTranslate2's device errors as the program's own."""
    try:
        with device_errors():
            yield
    except RuntimeError as error:
        if _NO_LIBRARY in str(error):
            raise WorkerUnfit(f"CTranslate2 cannot use this machine's CUDA: {error}") from error
        raise
