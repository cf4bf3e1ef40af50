from __future__ import annotations

import subprocess
import sys

import pytest
from whisper.tokenizer import get_tokenizer

from transcription_dagster.model import Term
from transcription_dagster.vocabulary.corrections import initial_prompt
from transcription_dagster.whisper.prompt_tokens import PROMPT_LIMIT, count_prompt_tokens


@pytest.mark.parametrize(
    "prompt", ["", "Kubernetes, Grafana.", "  naïve  café 😀 ", "Привет, 世界! 3.14", "don't <|endoftext|>"]
)
def test_tokens_are_counted_as_whisper_counts_them(prompt: str) -> None:
    counts = [
        len(get_tokenizer(multilingual).encoding.encode_ordinary(" " + prompt.strip()))
        for multilingual in (True, False)
    ]
    assert count_prompt_tokens(prompt) == max(counts) + 1


def test_a_prompt_of_many_terms_fills_the_limit_and_no_more() -> None:
    terms = [Term(f"Kubernetes {number}") for number in range(500)]
    prompt = initial_prompt(terms, count_tokens=count_prompt_tokens)
    assert PROMPT_LIMIT - 10 < count_prompt_tokens(prompt) <= PROMPT_LIMIT
    encoded = get_tokenizer(multilingual=True).encode(" " + prompt)
    assert len(encoded) <= 448 // 2 - 1


def test_counting_loads_no_torch() -> None:
    code = (
        "import sys; from transcription_dagster.whisper.prompt_tokens import count_prompt_tokens;"
        "count_prompt_tokens('x'); sys.exit('torch' in sys.modules or 'whisper' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
