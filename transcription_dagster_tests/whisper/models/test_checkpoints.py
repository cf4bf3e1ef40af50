"""Checkpoints: known names, paths, and invalid files."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import whisper

from transcription_dagster.errors import ModelUnavailable, UnknownModel
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster.whisper.models.files import downloaded_models, fetch_model, known_models
from transcription_dagster_tests.whisper.conftest import BULLETIN

pytestmark = pytest.mark.slow


class ModelHub:
    """A local server from which Whisper's name `tiny` is downloaded."""

    def __init__(self, content: bytes, status: int = 200) -> None:
        self.downloads = 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.downloads += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    content, status = getattr(request, "param", (Path(BULLETIN).read_bytes(), 200))
    hub = ModelHub(content, status)
    sha256 = hashlib.sha256(Path(BULLETIN).read_bytes()).hexdigest()
    monkeypatch.setitem(whisper._MODELS, "tiny", f"{hub.address}/{sha256}/tiny.pt")
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def test_concurrent_requests_download_a_model_once(hub, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda _: fetch_model("tiny", tmp_path / "models"), range(4)))
    assert hub.downloads == 1
    assert set(files) == {tmp_path / "models" / "tiny.pt"}
    assert files[0].read_bytes() == Path(BULLETIN).read_bytes()


def test_an_interrupted_download_is_repeated(hub, tmp_path):
    (tmp_path / "tiny.pt").write_bytes(b"half of it")
    with pytest.warns(UserWarning, match="checksum"):
        fetch_model("tiny", tmp_path)
    assert hub.downloads == 1


@pytest.mark.parametrize(
    ("hub", "message"),
    [((b"not the model", 200), "damaged"), ((b"gone", 404), "404"), ((b"sorry", 503), "503")],
    indirect=["hub"],
)
def test_a_failed_download_is_reported_and_can_be_retried(hub, tmp_path, message):
    with pytest.raises(ModelUnavailable, match=message):
        fetch_model("tiny", tmp_path)


def test_a_missing_server_is_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(whisper._MODELS, "tiny", "http://127.0.0.1:9/abc/tiny.pt")
    with pytest.raises(ModelUnavailable, match="tiny could not be downloaded"):
        fetch_model("tiny", tmp_path)


def test_a_model_by_name_gets_the_heads_that_find_its_word_times(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "tiny", whisper._ALIGNMENT_HEADS["tiny"])
    heads = []
    monkeypatch.setattr(whisper.model.Whisper, "set_alignment_heads", lambda self, dump: heads.append(dump))
    open_model("tiny", tmp_path, "cpu")
    assert heads == [whisper._ALIGNMENT_HEADS["tiny"]]


def test_the_downloaded_models_are_listed(hub, tmp_path):
    assert downloaded_models(tmp_path) == {}
    fetch_model("tiny", tmp_path)
    assert downloaded_models(tmp_path) == {"tiny": tmp_path / "tiny.pt"}
    assert {"tiny", "medium", "large-v3", "turbo"} <= set(known_models())


def test_a_path_is_opened_as_whisper_opens_it(tmp_path):
    ours, theirs = open_model(BULLETIN, tmp_path, "cpu"), whisper.load_model(BULLETIN, "cpu")
    assert ours.dims == theirs.dims
    for (name, parameter), (expected_name, expected) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == expected_name
        assert torch.equal(parameter, expected)
    assert not ours.training


class RunsCode:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_cannot_run_code(tmp_path, zipped):
    witness = tmp_path / "code-ran"
    evil = tmp_path / "evil.pt"
    torch.save({"dims": RunsCode(witness)}, evil, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnknownModel, match=r"evil\.pt is not a Whisper checkpoint"):
        open_model(str(evil), tmp_path, "cpu")
    assert not witness.exists()


def test_a_checkpoint_cannot_run_code_even_if_the_environment_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    test_a_checkpoint_cannot_run_code(tmp_path, zipped=True)


NO_CHECKPOINTS = {
    "empty": b"",
    "text": b"weights\n" * 1000,
    "plain pickle": pickle.dumps({"a": 1}),
    "sound": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "zip": b"PK\x03\x04" + bytes(200),
    "half a checkpoint": Path(BULLETIN).read_bytes()[:1_000_000],
}


@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, kind):
    file = tmp_path / "model.pt"
    file.write_bytes(NO_CHECKPOINTS[kind])
    with pytest.raises(UnknownModel, match="is not a Whisper checkpoint") as caught:
        open_model(str(file), tmp_path, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [[], {}, {"dims": {}, "model_state_dict": {}}, {"dims": {"n_mels": 80}, "model_state_dict": {}}, torch.zeros(3)],
    ids=["list", "empty", "no dims", "few dims", "tensor"],
)
def test_a_torch_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UnknownModel, match=r"other\.pt is not a Whisper checkpoint"):
        open_model(str(tmp_path / "other.pt"), tmp_path, "cpu")


@pytest.mark.parametrize("name", ["", "nothing-like-it", "../medium", "/no/such/file.pt"])
def test_an_unknown_model_name_is_refused_with_the_known_names(tmp_path, name):
    with pytest.raises(UnknownModel, match=r"known models are .*medium"):
        fetch_model(name, tmp_path)


def test_a_folder_without_a_model_is_refused_with_the_missing_files(tmp_path):
    with pytest.raises(UnknownModel, match=r"neither model\.bin .* nor config\.json"):
        fetch_model(str(tmp_path), tmp_path)


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_gpu_never_holds_more_than_the_halved_weights(tmp_path):
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model = open_model(BULLETIN, tmp_path, "cuda")
    halved = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    assert torch.cuda.max_memory_allocated() - before < 1.5 * halved
