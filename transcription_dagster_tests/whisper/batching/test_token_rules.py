"""The token rules compared with Whisper's own filters, on random logits after random texts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch.nn.functional import log_softmax
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.whisper.batching.token_rules import TokenRules, states

DIMS = ModelDimensions(80, 1500, 8, 1, 1, 51865, 448, 8, 1, 1)


@dataclass(frozen=True)
class Case:
    """Whisper's task and our rules for the same vocabulary."""

    task: DecodingTask
    rules: TokenRules


@pytest.fixture(scope="module")
def case() -> Case:
    model: Any = SimpleNamespace(dims=DIMS, is_multilingual=True, num_languages=99, decoder=SimpleNamespace(blocks=[]))
    task = DecodingTask(cast(Whisper, model), DecodingOptions(language="en", fp16=False, prompt=[50, 60]))
    return Case(task, TokenRules(task.tokenizer, DIMS, torch.device("cpu")))


def random_text(case: Case, length: int, chance: random.Random) -> list[int]:
    """Return a text as it could be sampled: timestamps that never decrease, between text tokens."""
    text: list[int] = []
    moment = 0
    for number in range(length):
        if number == 0 or chance.random() < 0.5:
            moment = min(1500, moment + chance.randint(0, 200))
            text.append(case.rules.timestamps + moment)
        else:
            text.append(chance.randint(0, 50000))
    return text


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("bias", [-4, 0, 3, 6])
def test_the_rules_allow_and_choose_the_same_tokens_as_whisper(case, length, bias):
    chance = random.Random(1000 * length + bias)
    generator = torch.Generator().manual_seed(length)
    for _ in range(4):
        texts = [random_text(case, length, chance) for _ in range(3)]
        logits = torch.randn(len(texts), DIMS.n_vocab, generator=generator) * 3
        logits[:, case.rules.timestamps :] += bias
        expected = logits.clone()
        for rule in case.task.logit_filters:
            rule.apply(expected, torch.tensor([[*case.task.initial_tokens, *text] for text in texts]))
        state = [case.rules.start] * len(texts)
        for place in range(length):
            state = [case.rules.after(row_state, text[place]) for row_state, text in zip(state, texts, strict=True)]
        last, lowest = states(state)
        ruled = case.rules.apply(logits, torch.tensor(last), torch.tensor(lowest))
        assert ruled.logits.equal(expected)
        assert ruled.log_probabilities.equal(log_softmax(expected, -1))
        assert ruled.best.equal(expected.argmax(-1))
        assert ruled.log_probability.tolist() == ruled.log_probabilities.gather(1, ruled.best[:, None])[:, 0].tolist()
