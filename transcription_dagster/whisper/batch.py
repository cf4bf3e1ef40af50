"""Decode windows of many recordings together: each takes a free slot, and all slots step at once.

A recording has at most one slot, for one window at a time, and a finished slot is refilled at the next step. A failure
ends only its own recording. When memory runs out, the slots are halved and the interrupted windows start over, with the
same words as a result.
"""

from __future__ import annotations

import gc
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from whisper.audio import N_FRAMES
from whisper.model import Whisper

from transcription_dagster.errors import DeviceBroken, OutOfMemory, TimeLimitExceeded
from transcription_dagster.whisper.alignment import align
from transcription_dagster.whisper.decoder_slots import DecoderSlots, Row
from transcription_dagster.whisper.decoder_weights import DecoderWeights
from transcription_dagster.whisper.decoding_loop import Vocabulary
from transcription_dagster.whisper.device_errors import device_errors
from transcription_dagster.whisper.fixed_slots import FixedSlots
from transcription_dagster.whisper.requests import Align, Decode, Detect, Window
from transcription_dagster.whisper.token_rules import TokenRules
from transcription_dagster.whisper.window_texts import Choices, Limits, WindowText, begun, decoded

_log = logging.getLogger(__name__)

_numbers = itertools.count()


class DeviceTime:
    """A recording's use of a device in seconds: its own work, and its share of the steps it takes part in.

    The recording that began first gets the next free slot.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.number = next(_numbers)
        self.seconds = 0.0
        self.limit = limit

    def check(self) -> None:
        """Raise `TimeLimitExceeded` if the limit is used up."""
        if self.limit is not None and self.seconds > self.limit:
            raise TimeLimitExceeded(f"stopped after {self.seconds:.0f} s of work on the device")


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What was read before anything is sampled."""

    tokens: list[int]
    #: The decoder's logits at its end, shape (1, vocabulary).
    logits: Tensor
    no_speech_probability: float


@dataclass(slots=True, eq=False)
class _Hold:
    """A window in a slot."""

    slot: int
    window: Window
    prompt: _Prompt | None = None


@dataclass(frozen=True, slots=True)
class _Decoding:
    """A text, or several beams, on their way to an answer."""

    request: Decode
    hold: _Hold
    prompt: _Prompt
    text: WindowText
    #: State of the session's random numbers before the first of them was drawn.
    random_state: Tensor

    def rows(self) -> list[Row]:
        return self.text.rows(self.hold.slot)


@dataclass(slots=True, eq=False)
class Session:
    """One pass over a recording, and what it has on the device. It has one request at a time."""

    batch: Batch
    time: DeviceTime
    #: Draws the tokens above temperature 0. A fixed seed makes results independent of other recordings on the device.
    random: torch.Generator
    #: Holds the result of the current request.
    answer: Future[Any] = field(default_factory=Future)
    hold: _Hold | None = None
    decoding: _Decoding | None = None


class Batch:
    """At most `slots` windows at once. Not thread-safe: a `Device` calls it from its own thread."""

    def __init__(self, model: Whisper, slots: int, *, beams: int = 1, fixed: bool = False) -> None:
        """`beams`: for how many there is room from the start. `fixed`: all steps have the same shapes."""
        self.model = model
        self.mels = model.dims.n_mels
        self.vocabulary = Vocabulary(model.is_multilingual, model.num_languages)
        self.half_precision = model.decoder.token_embedding.weight.dtype == torch.float16
        self._tokenizer = self.vocabulary.tokenizer("en")
        self._rules = TokenRules(self._tokenizer, model.dims, model.device)
        self._limits = Limits(length=model.dims.n_text_ctx, sampled=model.dims.n_text_ctx // 2)
        self._weights = DecoderWeights(model)
        self._slots_class = FixedSlots if fixed else DecoderSlots
        self._open(slots, beams)
        #: The requests that are not begun.
        self._waiting: dict[Session, Decode | Align | Detect] = {}
        self._holding: list[Session] = []
        #: Windows that were encoded, steps that were taken, and texts that they continued.
        self.windows = self.steps = self.rows = 0

    def _open(self, slots: int, beams: int) -> None:
        self.slots = self._slots_class(self._weights, slots, self._rules, beams=beams)
        self._free = list(range(slots))

    def session(self, used: DeviceTime) -> Session:
        """Begin a pass over a recording."""
        return Session(self, used, torch.Generator(self.model.device).manual_seed(0))

    @property
    def busy(self) -> int:
        """Return the number of slots that hold a window."""
        return len(self._holding)

    @property
    def has_work(self) -> bool:
        """Return whether `advance` has anything to do."""
        return bool(self._decodings()) or any(map(self._may_begin, self._waiting))

    def add(self, session: Session, request: Decode | Align | Detect) -> None:
        """Queue a session's request."""
        self._waiting[session] = request

    def remove(self, session: Session) -> None:
        """End a session and free its slot."""
        self._leave(session)
        self._waiting.pop(session, None)

    def fail_all(self, error: Exception) -> None:
        """Answer all requests with an error."""
        for session in {*self._waiting, *(session for session, _ in self._decodings())}:
            self._fail(session, error)

    def advance(self) -> None:
        """Begin the requests that have a slot, then take one step with every text. Raises `DeviceBroken`."""
        short: OutOfMemory | None = None
        try:
            with device_errors():
                for session in sorted(self._waiting, key=lambda session: session.time.number):
                    if self._may_begin(session):
                        self._begin(session, self._waiting[session])
                self._step(self._decodings())
        except OutOfMemory as error:
            short = OutOfMemory(str(error))
        if short is not None:
            # Only here, outside of the handler, is the traceback gone that kept the tensors alive.
            self._halve(short)

    def _may_begin(self, session: Session) -> bool:
        return bool(self._free) or session.hold is not None

    def _decodings(self) -> list[tuple[Session, _Decoding]]:
        return [(session, session.decoding) for session in self._holding if session.decoding is not None]

    # --- the requests

    def _begin(self, session: Session, request: Decode | Align | Detect) -> None:
        started = time.perf_counter()
        with self._alone(session):
            session.time.check()
            hold = session.hold
            if hold is None or hold.window is not request.window:
                self._leave(session)
                hold = self._hear(session, request.window)
            match request:
                case Decode():
                    self._decode(session, hold, request)
                case Align():
                    words = align(self.slots, hold.slot, request)
                    # Nothing more is asked of a window whose words are timed.
                    self._leave(session)
                    session.answer.set_result(words)
                case Detect():
                    session.answer.set_result([self._languages(hold, part) for part in request.parts])
        self._waiting.pop(session, None)
        session.time.seconds += time.perf_counter() - started

    @contextmanager
    def _alone(self, session: Session) -> Iterator[None]:
        """What goes wrong in here ends this recording, unless it is the device itself."""
        try:
            with device_errors():
                yield
        except (OutOfMemory, DeviceBroken):
            raise
        except Exception as error:  # noqa: BLE001  raised in the recording's own thread
            self._fail(session, error)

    def _hear(self, session: Session, window: Window) -> _Hold:
        """Put a window into a free slot. The windows are encoded one by one, so that none changes another."""
        session.hold = hold = _Hold(self._free.pop(), window)
        self._holding.append(session)
        mel = window.mel[None].to(self.model.device, self.slots.dtype)
        self.slots.hear(hold.slot, self.model.encoder(mel)[0])
        self.windows += 1
        return hold

    def _decode(self, session: Session, hold: _Hold, request: Decode) -> None:
        """Read the prompt, unless an earlier decoding did, and choose the first token of each text."""
        tokens = self._prompt(request)
        if hold.prompt is None or hold.prompt.tokens != tokens:
            hold.prompt = self._read(hold.slot, tokens)
        random_state = session.random.get_state()
        text = begun(request, len(tokens), self._rules, self._limits, session.random)
        if text.beams > self.slots.beams:
            self.slots.widen(text.beams)
        self.slots.spread(hold.slot, text.beams, len(tokens))
        start = torch.full((text.beams,), self._rules.start.last, device=hold.prompt.logits.device)
        ruled = self._rules.apply(
            hold.prompt.logits.repeat(text.beams, 1), start, torch.full_like(start, self._rules.start.lowest)
        )
        # The texts are the same so far: it does not matter which one each goes on from.
        text.choose(ruled, 0, Choices.of(ruled))
        session.decoding = decoding = _Decoding(request, hold, hold.prompt, text, random_state)
        if text.complete:
            self._finish(session, decoding)

    def _prompt(self, request: Decode) -> list[int]:
        """Return what the decoder reads before it samples: the end of the text before, and what is wanted of it."""
        before = list(request.prompt[-(self._limits.length // 2 - 1) :])
        return [*([self._tokenizer.sot_prev, *before] if before else []), *request.tokenizer.sot_sequence]

    def _read(self, slot: int, tokens: list[int]) -> _Prompt:
        state = self.slots.read(slot, tokens)
        logits = self.slots.logits(state[[tokens.index(self._tokenizer.sot), len(tokens) - 1]])
        no_speech = self._tokenizer.no_speech
        silent = float("nan") if no_speech is None else float(logits[0].softmax(-1)[no_speech])
        return _Prompt(tokens, logits[1:], silent)

    def _languages(self, hold: _Hold, part: tuple[int, int]) -> dict[str, float]:
        """Return how likely each language is in some frames of a window (`whisper.decoding.detect_language`)."""
        frames = N_FRAMES // self.model.dims.n_audio_ctx
        positions = slice(part[0] // frames, -(-part[1] // frames))
        state = self.slots.read(hold.slot, [self._tokenizer.sot], positions)
        hold.prompt = None
        logits = self.slots.logits(state)[0, list(self._tokenizer.all_language_tokens)]
        return dict(zip(self._tokenizer.all_language_codes, logits.softmax(-1).tolist(), strict=True))

    # --- the texts

    def _step(self, decodings: Sequence[tuple[Session, _Decoding]]) -> None:
        if not decodings:
            return
        started = time.perf_counter()
        rows = [decoding.rows() for _, decoding in decodings]
        step = self.slots.step([row for texts in rows for row in texts])
        chosen = Choices.of(step.ruled)
        first = 0
        for (session, decoding), texts in zip(decodings, rows, strict=True):
            with self._alone(session):
                session.time.check()
                sources = decoding.text.choose(step.ruled, step.places[first], chosen)
                if decoding.text.complete:
                    self._finish(session, decoding)
                else:
                    self.slots.follow(decoding.hold.slot, sources, texts[0].position + 1)
            first += len(texts)
        seconds = (time.perf_counter() - started) / first
        for session, decoding in decodings:
            session.time.seconds += seconds * decoding.text.beams
        self.steps += 1
        self.rows += first

    def _finish(self, session: Session, decoding: _Decoding) -> None:
        session.decoding = None
        session.answer.set_result(decoded(decoding.text, decoding.request, decoding.prompt.no_speech_probability))

    # --- the ends

    def _fail(self, session: Session, error: Exception) -> None:
        self.remove(session)
        session.answer.set_exception(error)

    def _leave(self, session: Session) -> None:
        if session.hold is not None:
            self._free.append(session.hold.slot)
            self._holding.remove(session)
        session.hold = session.decoding = None

    def _halve(self, error: OutOfMemory) -> None:
        """Go on with half the slots; what was under way starts over. With one slot left its recording fails."""
        slots, beams = self.slots.count, self.slots.beams
        for session in list(self._holding):
            decoding = session.decoding
            self._leave(session)
            if decoding is not None:
                session.random.set_state(decoding.random_state)
                self._waiting[session] = decoding.request
            if slots == 1 and session in self._waiting:
                self._fail(session, error)
        if slots == 1:
            return
        del self.slots
        gc.collect()
        torch.cuda.empty_cache()
        while slots > 1:
            slots //= 2
            _log.warning("%s: going on with %d slots", error, slots)
            with suppress(OutOfMemory), device_errors():
                self._open(slots, beams)
                return
        raise DeviceBroken("the device has no memory left for a single window")
