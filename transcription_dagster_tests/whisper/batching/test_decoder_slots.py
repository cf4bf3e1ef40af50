"""Slots compared with Whisper's own decoder, and passes over several windows compared with single ones."""

from __future__ import annotations

import pytest
import torch
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, DecoderWeights, Move, Text, TextRow
from transcription_dagster.whisper.batching.fixed_slots import FixedSlots
from transcription_dagster.whisper.batching.token_rules import Ruled, TokenRules
from transcription_dagster.whisper.decoding.requests import Vocabulary

WIDTH = 128
PROMPT = [50258, 50259, 50359]
#: A prompt without preceding text, one with it, and a text to align.
TEXTS = [PROMPT, [50361, *range(400, 440), *PROMPT], [*PROMPT, 50363, *range(500, 530), 50257]]


@pytest.fixture(scope="module")
def model() -> Whisper:
    torch.manual_seed(3)
    model = Whisper(ModelDimensions(80, 1500, WIDTH, 2, 1, 51865, 448, WIDTH, 2, 3)).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return model


@pytest.fixture(scope="module")
def sounds() -> torch.Tensor:
    return torch.randn((3, 1500, WIDTH), generator=torch.Generator().manual_seed(5))


def slots_of(model: Whisper, kind: type[DecoderSlots] = DecoderSlots) -> DecoderSlots:
    rules = TokenRules(Vocabulary(True, 99).tokenizer("en"), model.dims, model.device)
    return kind(DecoderWeights(model), 3, rules)


@torch.inference_mode()
def test_a_single_window_is_bit_identical_to_whispers_decoder(
    model: Whisper, sounds: torch.Tensor, monkeypatch
) -> None:
    slots = slots_of(model)
    actual: list[torch.Tensor] = []
    apply = slots.rules.apply

    def watched(logits: torch.Tensor, *state: torch.Tensor) -> Ruled:
        # The rules modify them in place.
        actual.append(logits.clone())
        return apply(logits, *state)

    monkeypatch.setattr(slots.rules, "apply", watched)
    slots.put_window(1, sounds[0])
    slots.read([Text(1, PROMPT)])
    cache, hooks = model.install_kv_cache_hooks()
    model.decoder(torch.tensor([PROMPT]), sounds[:1], kv_cache=cache)
    for number in range(20):
        token = 400 + number
        slots.step([TextRow(1, 0, token, len(PROMPT) + number, slots.rules.start)])
        expected = model.decoder(torch.tensor([[token]]), sounds[:1], kv_cache=cache)
        assert actual[-1].equal(expected[0])
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("kind", [DecoderSlots, FixedSlots])
@torch.inference_mode()
def test_windows_in_one_step_equal_single_ones_up_to_rounding(
    model: Whisper, sounds: torch.Tensor, kind: type[DecoderSlots]
) -> None:
    slots = slots_of(model, kind)
    for slot, tokens in enumerate(TEXTS):
        slots.put_window(slot, sounds[slot])
        slots.read([Text(slot, tokens)])
    rows = [TextRow(slot, 0, 600, len(tokens), slots.rules.start) for slot, tokens in enumerate(TEXTS)]
    together = slots.step(rows)
    shared = [together.ruled.logits[place].nan_to_num() for place in together.places]
    for row, logits in zip(rows, shared, strict=True):
        alone = slots.step([row])
        assert torch.allclose(logits, alone.ruled.logits[alone.places[0]].nan_to_num(), atol=1e-3)


@torch.inference_mode()
def test_an_alignment_leaves_the_texts_of_the_slots_as_they_are(model: Whisper, sounds: torch.Tensor) -> None:
    slots = slots_of(model)
    slots.put_window(0, sounds[0])
    slots.read([Text(0, PROMPT)])
    before = slots._keys.clone(), slots._values.clone()
    logits, scores = slots.align(Text(0, TEXTS[2]))
    assert (logits.shape, scores.shape) == ((len(TEXTS[2]), 51865), (len(slots._alignment_heads), len(TEXTS[2]), 1500))
    assert slots._keys.equal(before[0])
    assert slots._values.equal(before[1])


@torch.inference_mode()
def test_a_text_attends_to_its_own_audio(model: Whisper, sounds: torch.Tensor) -> None:
    slots = slots_of(model)
    slots.put_window(0, sounds[0])
    whole, part, same = slots.read([Text(0, PROMPT), Text(0, PROMPT, slice(0, 700)), Text(0, PROMPT, slice(0, 1500))])
    assert torch.allclose(whole, same, atol=1e-5)
    assert not torch.allclose(whole, part, atol=1e-3)
    short = Whisper(ModelDimensions(80, 700, WIDTH, 2, 1, 51865, 448, WIDTH, 2, 3)).eval()
    short.decoder.load_state_dict(model.decoder.state_dict())
    alone = slots_of(short)
    alone.put_window(0, sounds[0, :700])
    assert torch.allclose(alone.read([Text(0, PROMPT)])[0], part, atol=1e-4)


@pytest.mark.parametrize("kind", [DecoderSlots, FixedSlots])
@torch.inference_mode()
def test_beams_continue_only_beams_of_their_slot(model: Whisper, kind: type[DecoderSlots]) -> None:
    rules = TokenRules(Vocabulary(True, 99).tokenizer("en"), model.dims, model.device)
    slots = kind(DecoderWeights(model), 3, rules, beams=2)
    for cache in (slots._keys, slots._values):
        cache.normal_()
    before = [cache.clone() for cache in (slots._keys, slots._values)]
    slots.follow([])
    slots.follow([Move(0, [1, 1], 5), Move(2, [1, 0], 9)])
    for cache, old in zip((slots._keys, slots._values), before, strict=True):
        assert cache[:, 0, :, :5].equal(old[:, 1, :, :5])
        assert cache[:, 1:4, :, :5].equal(old[:, 1:4, :, :5])
        assert cache[:, [4, 5], :, :9].equal(old[:, [5, 4], :, :9])
        assert cache[:, :, :, 9:].equal(old[:, :, :, 9:])


@torch.inference_mode()
def test_logits_of_selected_tokens_equal_those_of_all(model: Whisper) -> None:
    slots = slots_of(model)
    state = torch.randn((2, WIDTH))
    tokens = [50259, 7, 50300]
    assert torch.allclose(slots.logits(state, tokens), slots.logits(state)[:, tokens], atol=1e-4)
