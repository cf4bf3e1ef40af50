"""Models of Hugging Face: their texts equal those of transformers, and descriptions that do not fit are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from transcription_dagster.errors import UnknownModel
from transcription_dagster_tests.whisper.layouts import SMALL, alignment_heads, opened

pytestmark = pytest.mark.slow


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
    assert alignment_heads(opened(copied)) == [[0, 1], [2, 2]]
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
