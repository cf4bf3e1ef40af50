"""Decode windows of many recordings together: each window occupies a slot, and all slots step at once.

A recording occupies at most one slot, with one window at a time; a free slot is refilled at the next step. A window is
encoded, read and aligned in passes of its own, so that with fixed shapes no bit of its results depends on the windows
in other slots. A failure ends only the recording it belongs to. When memory runs out, the number of slots is halved and
the interrupted windows start over; their words come out the same.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from whisper.audio import N_FRAMES
from whisper.model import Whisper

from transcription_dagster.errors import DeviceBroken, OutOfMemory
from transcription_dagster.whisper.batching.alignment import align_with_audio
from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, DecoderWeights, Move, Text, TextRow
from transcription_dagster.whisper.batching.fixed_slots import FixedSlots
from transcription_dagster.whisper.batching.token_rules import TokenRules
from transcription_dagster.whisper.batching.window_texts import Choices, Limits, WindowText, decoded, new_text
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, Vocabulary, Window
from transcription_dagster.whisper.devices import DeviceUse, device_error, device_errors

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The result of running the decoder over a prompt, before any token is sampled."""

    tokens: list[int]
    #: The decoder's logits at the last token of the prompt, shape (1, vocabulary).
    logits: Tensor
    no_speech_probability: float


@dataclass(slots=True, eq=False)
class OccupiedSlot:
    """A slot with the window that occupies it."""

    number: int
    window: Window
    #: Whether its encoded audio is in the slot.
    encoded: bool = False
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decoding in progress: one text or several beams."""

    request: Decode
    slot: OccupiedSlot
    prompt: Prompt
    text: WindowText

    def rows(self) -> list[TextRow]:
        return self.text.rows(self.slot.number)


@dataclass(slots=True, eq=False)
class Session:
    """One pass over a recording and its state on the device. A session has one request at a time."""

    use: DeviceUse
    #: Samples tokens at temperatures above 0. A fixed seed keeps results independent of other recordings on the device.
    random: torch.Generator
    #: State of the random generator when the current request arrived.
    random_state: Tensor
    #: Holds the result of the current request.
    answer: Future[Any] = field(default_factory=Future)
    slot: OccupiedSlot | None = None
    decoding: Decoding | None = None


class Batch:
    """Decodes up to `slots` windows at once. Not thread-safe: `DeviceThread` calls it from its own thread."""

    def __init__(self, model: Whisper, slots: int, *, beams: int = 1, fixed: bool = False) -> None:
        """`beams`: beams per slot to allocate initially. `fixed`: use the same tensor shapes in every step."""
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
        #: Requests that have not started.
        self._waiting: dict[Session, Decode | Align | Detect] = {}
        self._in_slots: list[Session] = []
        #: Counters: windows encoded, decoder steps, and rows (texts) continued in them.
        self.windows = self.steps = self.rows = 0

    def _open(self, slots: int, beams: int) -> None:
        self.slots = self._slots_class(self._weights, slots, self._rules, beams=beams)
        self._free = list(range(slots))

    def session(self, use: DeviceUse) -> Session:
        """Begin a pass over a recording."""
        random = torch.Generator(self.model.device).manual_seed(0)
        return Session(use, random, random.get_state())

    @property
    def busy(self) -> int:
        """Return the number of slots that hold a window."""
        return len(self._in_slots)

    @property
    def has_work(self) -> bool:
        """Return whether `advance` has anything to do."""
        return bool(self._decodings()) or any(map(self._may_begin, self._waiting))

    def add(self, session: Session, request: Decode | Align | Detect) -> None:
        """Queue a session's request."""
        session.random_state = session.random.get_state()
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
        """Start the requests that can get a slot, then run one step for all texts. Raises `DeviceBroken`."""
        shortage = _shortage(self._begin_waiting) or _shortage(self._step)
        if shortage is not None:
            self._halve(shortage)

    def _may_begin(self, session: Session) -> bool:
        return bool(self._free) or session.slot is not None

    def _decodings(self) -> list[tuple[Session, Decoding]]:
        return [(session, session.decoding) for session in self._in_slots if session.decoding is not None]

    # --- requests

    def _begin_waiting(self) -> None:
        """Start the requests that have a slot."""
        for session, slot in self._placed():
            started = time.perf_counter()
            with self._confined(session):
                self._begin(session, slot, self._waiting[session])
            session.use.seconds += time.perf_counter() - started

    def _begin(self, session: Session, slot: OccupiedSlot, request: Decode | Align | Detect) -> None:
        if not slot.encoded:
            self._encode(slot)
        match request:
            case Decode():
                self._decode(session, slot, request)
            case Align():
                self._align(session, slot, request)
            case Detect():
                self._detect(session, slot, request)

    def _placed(self) -> list[tuple[Session, OccupiedSlot]]:
        """Assign free slots to the windows of waiting requests, and end recordings that should stop."""
        placed: list[tuple[Session, OccupiedSlot]] = []
        for session in sorted(self._waiting, key=lambda session: session.use.number):
            with self._confined(session):
                session.use.check()
                if not self._may_begin(session):
                    continue
                request = self._waiting[session]
                if session.slot is None or session.slot.window is not request.window:
                    self._leave(session)
                    session.slot = OccupiedSlot(self._free.pop(), request.window)
                    self._in_slots.append(session)
                placed.append((session, session.slot))
        return placed

    @contextmanager
    def _confined(self, session: Session) -> Iterator[None]:
        """Confine an error to this session, unless the device itself failed."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised in the recording's own thread
            self._end(session, error)

    def _end(self, session: Session, error: Exception) -> None:
        """End a recording with its error, or raise the error if the device itself failed."""
        known = device_error(error)
        if known is not None:
            raise known
        self._fail(session, error)

    def _encode(self, slot: OccupiedSlot) -> None:
        """Encode the window of a slot."""
        mel = slot.window.mel.to(self.model.device, self.slots.dtype)
        self.slots.put_window(slot.number, self.model.encoder(mel[None])[0])
        slot.encoded = True
        self.windows += 1

    def _read(self, slot: OccupiedSlot, prompt: list[int]) -> Prompt:
        """Read a prompt, unless the previous decoding of the window read the same one."""
        if slot.prompt is not None and slot.prompt.tokens == prompt:
            return slot.prompt
        [state] = self.slots.read([Text(slot.number, prompt)])
        logits = self.slots.prompt_logits(state)
        # The logits at the start-of-transcript token give the probability of no speech; the last ones give the first
        # token.
        start = logits[prompt.index(self._tokenizer.sot) - len(prompt)]
        no_speech = self._tokenizer.no_speech
        no_speech_probability = float("nan") if no_speech is None else start.softmax(-1)[no_speech].item()
        slot.prompt = Prompt(prompt, logits[-1:], no_speech_probability)
        return slot.prompt

    def _decode(self, session: Session, slot: OccupiedSlot, request: Decode) -> None:
        """Choose the first token of each text of a window."""
        prompt = self._read(slot, request.prompt_tokens(self._limits.length))
        # This may be a retry of the same request.
        session.random.set_state(session.random_state)
        length = len(prompt.tokens)
        text = new_text(request, length, self._rules, self._limits, session.random)
        if text.beams > self.slots.beams:
            self.slots.widen(text.beams)
        self.slots.spread(slot.number, text.beams, length)
        start = torch.full((text.beams,), self._rules.start.last, device=prompt.logits.device)
        ruled = self._rules.apply(
            prompt.logits.repeat(text.beams, 1), start, torch.full_like(start, self._rules.start.lowest)
        )
        # All texts are still identical, so the sources that `choose` returns do not matter.
        text.choose(ruled, 0, Choices.of(ruled))
        session.decoding = decoding = Decoding(request, slot, prompt, text)
        del self._waiting[session]
        if text.complete:
            self._finish(session, decoding)

    def _align(self, session: Session, slot: OccupiedSlot, request: Align) -> None:
        words = align_with_audio(self.slots, slot.number, request)
        # Once the words of a window are timed, no further request needs it.
        self._leave(session)
        self._answer(session, words)

    def _detect(self, session: Session, slot: OccupiedSlot, request: Detect) -> None:
        """Return the probability of each language in frames of a window (`whisper.decoding.detect_language`)."""
        frames = N_FRAMES // self.model.dims.n_audio_ctx
        texts = [
            Text(slot.number, [self._tokenizer.sot], slice(first // frames, -(-stop // frames)))
            for first, stop in request.parts
        ]
        states = torch.cat([*self.slots.read(texts)])
        probabilities = self.slots.logits(states, self._tokenizer.all_language_tokens).softmax(-1).tolist()
        slot.prompt = None
        codes = self._tokenizer.all_language_codes
        self._answer(session, [dict(zip(codes, row, strict=True)) for row in probabilities])

    def _answer(self, session: Session, answer: object) -> None:
        del self._waiting[session]
        session.answer.set_result(answer)

    # --- texts

    def _step(self) -> None:
        decodings = self._decodings()
        if not decodings:
            return
        started = time.perf_counter()
        rows = [decoding.rows() for _, decoding in decodings]
        step = self.slots.step([row for texts in rows for row in texts])
        chosen = Choices.of(step.ruled)
        moves: list[Move] = []
        first = 0
        for (session, decoding), texts in zip(decodings, rows, strict=True):
            try:
                session.use.check()
                sources = decoding.text.choose(step.ruled, step.places[first], chosen)
                if decoding.text.complete:
                    self._finish(session, decoding)
                elif [*sources] != [*range(len(sources))]:
                    moves.append(Move(decoding.slot.number, sources, texts[0].position + 1))
            except Exception as error:  # noqa: BLE001  a context manager, 32 times a step, would keep a GPU waiting
                self._end(session, error)
            first += len(texts)
        self.slots.follow(moves)
        seconds = (time.perf_counter() - started) / first
        for session, decoding in decodings:
            session.use.seconds += seconds * decoding.text.beams
        self.steps += 1
        self.rows += first

    def _finish(self, session: Session, decoding: Decoding) -> None:
        session.decoding = None
        session.answer.set_result(decoded(decoding.text, decoding.request, decoding.prompt.no_speech_probability))

    # --- endings

    def _fail(self, session: Session, error: Exception) -> None:
        self.remove(session)
        session.answer.set_exception(error)

    def _leave(self, session: Session) -> None:
        if session.slot is not None:
            self._free.append(session.slot.number)
            self._in_slots.remove(session)
        session.slot = session.decoding = None

    def _halve(self, error: Exception) -> None:
        """Halve the slots and restart interrupted windows. If there is only one slot, fail its recording."""
        slots, beams = self.slots.count, self.slots.beams
        for session in list(self._in_slots):
            decoding = session.decoding
            self._leave(session)
            if decoding is not None:
                self._waiting[session] = decoding.request
            if slots == 1 and session in self._waiting:
                self._fail(session, error)
        if slots == 1:
            return
        del self.slots
        _free_memory()
        while slots > 1:
            slots //= 2
            _log.warning("%s: going on with %d slots", error, slots)
            with suppress(OutOfMemory), device_errors():
                self._open(slots, beams)
                return
        raise DeviceBroken("the device has no memory left for a single window")


def _shortage(work: Callable[[], None]) -> OutOfMemory | None:
    """Do some work; return its out-of-memory error, without the traceback that would keep tensors alive."""
    try:
        with device_errors():
            work()
    except OutOfMemory as error:
        return OutOfMemory(str(error))
    return None


def _free_memory() -> None:
    """Release memory that no tensor uses any more."""
    gc.collect()
    torch.cuda.empty_cache()
