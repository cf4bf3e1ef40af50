"""Recordings in a batch, step by step and without threads."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import Whisper

from transcription_dagster.whisper.batching.batch import Batch, Session
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.requests import Requests, Vocabulary
from transcription_dagster.whisper.devices import DeviceUse


@dataclass
class _Run:
    session: Session
    loop: Requests[Any]


def loop_of(model: Whisper, samples: np.ndarray, chosen: LoopOptions) -> Requests[Any]:
    """Return the decoding loop of a recording."""
    spectrogram = log_mel_spectrogram(samples, model.dims.n_mels, padding=N_SAMPLES)
    return transcription(spectrogram, Vocabulary(model.is_multilingual, model.num_languages), chosen)


@torch.inference_mode()
def run_together(
    batch: Batch,
    loops: Mapping[str, Requests[Any]],
    *,
    order: random.Random | None = None,
    uses: Mapping[str, DeviceUse] | None = None,
    at_each_step: Callable[[Mapping[str, Session]], None] = lambda _: None,
) -> dict[str, Any]:
    """Return each computation's result or error: started together or, with `order`, at random steps in random order."""
    names = list(loops)
    if order:
        order.shuffle(names)
    running: dict[str, _Run] = {}
    results: dict[str, Any] = {}

    def advance(name: str, value: Any, error: Exception | None = None) -> None:
        run = running[name]
        try:
            request = run.loop.throw(error) if error else run.loop.send(value)
        except StopIteration as end:
            results[name] = end.value
        except Exception as failure:  # noqa: BLE001
            results[name] = failure
        else:
            run.session.answer = Future()
            batch.add(run.session, request)
            return
        batch.remove(running.pop(name).session)

    while names or running:
        while names and (order is None or not running or order.random() < 0.1):
            name = names.pop(0)
            running[name] = _Run(batch.session((uses or {}).get(name) or DeviceUse()), loops[name])
            advance(name, None)
        at_each_step({name: run.session for name, run in running.items()})
        batch.advance()
        for name, run in list(running.items()):
            if run.session.answer.done():
                error = run.session.answer.exception()
                assert error is None or isinstance(error, Exception)
                advance(name, None if error else run.session.answer.result(), error)
    return results
