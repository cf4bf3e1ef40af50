"""Models in other programs' layouts: every tensor is read, and mismatches are refused by name."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from whisper.model import Whisper

from transcription_dagster.errors import UnknownModel
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster.whisper.models.weights import Weights, network
from transcription_dagster_tests.whisper.layouts import SMALL, file_of, small_model, write_ctranslate2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Whisper:
    return small_model()


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory):
    """Provide a small model of transformers, and the folder that it was saved to."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(2)
    config = WhisperConfig(
        vocab_size=SMALL.n_vocab,
        num_mel_bins=SMALL.n_mels,
        d_model=SMALL.n_audio_state,
        encoder_layers=SMALL.n_audio_layer,
        decoder_layers=SMALL.n_text_layer,
        encoder_attention_heads=SMALL.n_audio_head,
        decoder_attention_heads=SMALL.n_text_head,
        encoder_ffn_dim=4 * SMALL.n_audio_state,
        decoder_ffn_dim=4 * SMALL.n_text_state,
        init_std=0.5,
    )
    network = WhisperForConditionalGeneration(config).eval()
    folder = tmp_path_factory.mktemp("hugging-face") / "fine-tuned"
    network.save_pretrained(folder)
    return network, folder


@pytest.fixture
def copied(hugging_face, tmp_path: Path) -> Path:
    """Copy the saved model's files, to be damaged."""
    _, folder = hugging_face
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def opened(path: Path) -> Whisper:
    return open_model(str(path), path / "models", "cpu")


def heads(model: Whisper) -> list[list[int]]:
    sparse: Any = model.alignment_heads
    return sparse.coalesce().indices().T.tolist()


def assert_same(actual: Whisper, expected: Whisper, *, rtol: float = 0, atol: float = 0) -> None:
    assert actual.dims == expected.dims
    assert actual.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(actual.state_dict()[name], tensor, rtol=rtol, atol=atol)


# --- CTranslate2


def test_every_tensor_of_ctranslate2_is_read(model, tmp_path):
    actual = opened(write_ctranslate2(model, tmp_path))
    assert_same(actual, model)
    assert heads(actual) == [[1, 0], [2, 3]]


@pytest.mark.parametrize(
    ("dtype", "quantized", "tolerance"),
    [(torch.float16, False, 1e-2), (torch.bfloat16, False, 5e-2), (torch.float32, True, 5e-2)],
    ids=["float16", "bfloat16", "int8"],
)
def test_quantized_numbers_are_restored(model, tmp_path, dtype, quantized, tolerance):
    actual = opened(write_ctranslate2(model, tmp_path, dtype=dtype, quantized=quantized))
    assert_same(actual, model, rtol=tolerance, atol=tolerance)


def test_without_a_list_whispers_default_heads_are_used(model, tmp_path):
    folder = write_ctranslate2(model, tmp_path)
    (folder / "config.json").unlink()
    assert heads(opened(folder)) == heads(model) == [[layer, head] for layer in (1, 2) for head in range(4)]


def spoilt(folder: Path, change) -> None:
    file = folder / "model.bin"
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "ends too early"),
        (lambda data: b"", "ends too early"),
        (lambda data: struct.pack("<I", 99) + data[4:], "binary version 99"),
        (lambda data: data.replace(b"WhisperSpec", b"WhisperSpoc"), "not a WhisperSpec"),
        (lambda data: data.replace(b"encoder/conv2/bias\0", b"encoder/conv2/bios\0"), "no encoder/conv2/bias"),
    ],
    ids=["half", "empty", "version", "other model", "missing"],
)
def test_files_not_written_by_ctranslate2_are_refused(model, tmp_path, change, message):
    folder = write_ctranslate2(model, tmp_path)
    spoilt(folder, change)
    with pytest.raises(UnknownModel, match=message):
        opened(folder)


def test_a_variable_cannot_claim_more_than_the_file_holds(tmp_path):
    huge = struct.pack("<I", 6) + file_of({}, {})[4:-8] + struct.pack("<I", 1)
    name = b"encoder/conv1/weight\0"
    huge += struct.pack("<H", len(name)) + name + struct.pack("<BIIBI", 2, 60_000, 60_000, 1, 3_600_000_000)
    (tmp_path / "model.bin").write_bytes(huge)
    with pytest.raises(UnknownModel, match="ends too early"):
        opened(tmp_path)


# --- Hugging Face


@pytest.mark.parametrize("shard_size", ["1GB", "500KB"], ids=["one file", "several files"])
def test_a_fine_tuned_model_gives_the_text_of_transformers(hugging_face, tmp_path, shard_size):
    network, _ = hugging_face
    network.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors").is_file() == (shard_size == "1GB")
    actual = opened(tmp_path)
    assert (actual.dims.n_text_head, actual.dims.n_audio_head) == (SMALL.n_text_head, SMALL.n_audio_head)
    mel = torch.randn(1, SMALL.n_mels, 3000, generator=torch.Generator().manual_seed(3))
    tokens = torch.tensor([[50258, 50259, 50359, 11, 22, 33]])
    with torch.no_grad():
        expected = network(input_features=mel, decoder_input_ids=tokens).logits
        torch.testing.assert_close(actual(mel, tokens), expected, rtol=1e-3, atol=1e-3)


def test_the_heads_of_a_fine_tuned_model_come_from_its_generation_config(copied):
    file = copied / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "alignment_heads": [[0, 1], [2, 2]]}))
    assert heads(opened(copied)) == [[0, 1], [2, 2]]
    file.write_text(json.dumps({"alignment_heads": [[3, 0]]}))
    with pytest.raises(UnknownModel, match="head 0 of layer 3 does not exist"):
        opened(copied)


def change_config(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "wav2vec2"}, "'wav2vec2', not a Whisper model"),
        ({"d_model": 16}, "the file gives n_audio_state as 16, but the tensors have 8"),
        ({"encoder_layers": 3}, "n_audio_layer as 3"),
        ({"decoder_attention_heads": 3}, "3 heads do not divide a width of 8"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"num_mel_bins": None}, "num_mel_bins is None"),
    ],
)
def test_a_description_that_does_not_fit_the_weights_is_refused(copied, values, message):
    change_config(copied, **values)
    with pytest.raises(UnknownModel, match=message):
        opened(copied)


def test_weights_that_do_not_fit_are_refused_by_name(copied):
    file = copied / "model.safetensors"
    whole = load_file(file)
    key = "model.decoder.layers.1.fc1.weight"
    save_file({**whole, key: torch.zeros(8, 8)}, file)
    with pytest.raises(UnknownModel, match=r"decoder\.blocks\.1\.mlp\.0\.weight has the shape \(8, 8\), not \(32, 8\)"):
        opened(copied)
    save_file({name: tensor for name, tensor in whole.items() if name != key}, file)
    with pytest.raises(UnknownModel, match=r"1 tensors are missing, the first is decoder\.blocks\.1\.mlp\.0\.weight"):
        opened(copied)
    save_file({**whole, "model.extra": torch.zeros(1)}, file)
    with pytest.raises(UnknownModel, match="not Whisper's, the first is extra"):
        opened(copied)
    save_file({**whole, "proj_out.weight": torch.zeros(51865, 8)}, file)
    with pytest.raises(UnknownModel, match="differs from the embedding"):
        opened(copied)


def test_a_folder_without_safetensors_is_refused_with_a_solution(copied):
    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"a pickle that is never opened")
    with pytest.raises(UnknownModel, match="safe_serialization"):
        opened(copied)
    (copied / "adapter_config.json").write_text("{}")
    with pytest.raises(UnknownModel, match="merge"):
        opened(copied)


def test_the_index_of_the_files_cannot_lead_out_of_the_folder(copied):
    (copied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../other.safetensors"}}))
    with pytest.raises(UnknownModel, match="not a file of this folder"):
        opened(copied)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{"], ids=["empty", "list", "bytes", "half"])
def test_an_invalid_description_is_refused(copied, content):
    (copied / "config.json").write_bytes(content)
    with pytest.raises(UnknownModel, match="is not a Whisper checkpoint"):
        opened(copied)


def test_a_vocabulary_that_whispers_tokenizer_does_not_serve_is_refused():
    dims = replace(SMALL, n_vocab=100)
    with pytest.raises(ValueError, match="vocabulary of 100 tokens"):
        network(Weights(dims, Whisper(dims).state_dict()))
