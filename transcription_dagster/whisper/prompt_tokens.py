"""Count Whisper's tokens from its tokenizers' tables alone, for processes without torch."""

from __future__ import annotations

import base64
import importlib.util
from functools import cache
from pathlib import Path

import tiktoken

from transcription_dagster.errors import UnknownModel

#: The tables of multilingual and of English-only models.
_TABLES = ("multilingual", "gpt2")
#: Both split text by this pattern before tokenizing (whisper.tokenizer, after GPT-2).
_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
#: Whisper puts one token before a prompt; together they must fit into half of its context (448 tokens).
_START_OF_PROMPT = 1
PROMPT_LIMIT = 224


def count_prompt_tokens(prompt: str) -> int:
    """Return how much of `PROMPT_LIMIT` a prompt takes, with any model.

    Counts as `transcribe` does: stripped, with a leading space. Whisper keeps only the end of a prompt over the limit.
    Raises `UnknownModel` if Whisper's tables are not installed.
    """
    text = f" {prompt.strip()}"
    return _START_OF_PROMPT + max(len(_encoding(table).encode_ordinary(text)) for table in _TABLES)


@cache
def _encoding(table: str) -> tiktoken.Encoding:
    spec = importlib.util.find_spec("whisper")
    if spec is None or not spec.submodule_search_locations:
        raise UnknownModel("openai-whisper is not installed: its tokens cannot be counted")
    path = Path(spec.submodule_search_locations[0]) / "assets" / f"{table}.tiktoken"
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(table, pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
