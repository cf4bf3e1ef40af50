"""Models of CTranslate2: every tensor is read, and files that do not fit are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from whisper.model import Whisper

from transcription_dagster.errors import UnknownModel
from transcription_dagster_tests.whisper.layouts import (
    alignment_heads,
    file_of,
    opened,
    small_model,
    write_ctranslate2,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Whisper:
    return small_model()


def assert_same(actual: Whisper, expected: Whisper, *, rtol: float = 0, atol: float = 0) -> None:
    assert actual.dims == expected.dims
    assert actual.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(actual.state_dict()[name], tensor, rtol=rtol, atol=atol)


def test_every_tensor_of_ctranslate2_is_read(model, tmp_path):
    actual = opened(write_ctranslate2(model, tmp_path))
    assert_same(actual, model)
    assert alignment_heads(actual) == [[1, 0], [2, 3]]


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
    assert (
        alignment_heads(opened(folder))
        == alignment_heads(model)
        == [[layer, head] for layer in (1, 2) for head in range(4)]
    )


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
