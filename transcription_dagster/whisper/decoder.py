"""The answers of a loaded Whisper model to the requests of the decoding loop."""

from __future__ import annotations

import torch
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper
from whisper.timing import find_alignment

from transcription_dagster.whisper.decoding_loop import Vocabulary
from transcription_dagster.whisper.requests import Align, AlignedWord, Decode, Decoded, Detect, Window


class Decoder:
    """Decodes one window at a time."""

    def __init__(self, model: Whisper) -> None:
        self._model = model
        self._dtype = torch.float16 if model.device.type == "cuda" else torch.float32

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self._model.is_multilingual, self._model.num_languages)

    def answer(self, request: Decode | Align | Detect) -> Decoded | list[AlignedWord] | str:
        """Answer a request with what its class says."""
        mel = self._mel(request.window)
        match request:
            case Decode():
                return self._decode(mel, request)
            case Align():
                return self._align(mel, request)
            case Detect():
                _, [probabilities] = self._model.detect_language(mel[None])
                return max(probabilities, key=lambda language: probabilities[language])

    def _mel(self, window: Window) -> torch.Tensor:
        return window.mel.to(self._model.device, self._dtype)

    def _decode(self, mel: torch.Tensor, request: Decode) -> Decoded:
        options = DecodingOptions(
            language=request.tokenizer.language or "en",
            temperature=request.temperature,
            beam_size=request.beam_size if request.temperature == 0 else None,
            prompt=list(request.prompt),
            fp16=self._dtype == torch.float16,
        )
        [result] = DecodingTask(self._model, options).run(mel[None])
        return Decoded(
            tuple(result.tokens),
            result.avg_logprob,
            result.no_speech_prob,
            result.compression_ratio,
            result.temperature,
        )

    def _align(self, mel: torch.Tensor, request: Align) -> list[AlignedWord]:
        try:
            words = find_alignment(self._model, request.tokenizer, list(request.tokens), mel, request.window.frames)
        finally:
            # When it fails half way, it leaves hooks behind, and the tensors that they hold.
            for block in self._model.decoder.blocks:
                if block.cross_attn is not None:
                    block.cross_attn._forward_hooks.clear()
        return [
            AlignedWord(word.word, tuple(word.tokens), float(word.start), float(word.end), float(word.probability))
            for word in words
        ]
