from __future__ import annotations

import subprocess
import sys

import pytest
from whisper.tokenizer import get_tokenizer

from transcription_dagster.model import Term
from transcription_dagster.vocabulary import prompts
from transcription_dagster.vocabulary.prompts import (
    PROMPT_LIMIT,
    count_prompt_tokens,
    glossary,
    initial_prompt,
    merged_terms,
)


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
    prompt = initial_prompt(terms)
    assert PROMPT_LIMIT - 10 < count_prompt_tokens(prompt) <= PROMPT_LIMIT
    encoded = get_tokenizer(multilingual=True).encode(" " + prompt)
    assert len(encoded) <= 448 // 2 - 1


def test_counting_loads_no_torch() -> None:
    code = (
        "import sys; from transcription_dagster.vocabulary.prompts import count_prompt_tokens;"
        "count_prompt_tokens('x'); sys.exit('torch' in sys.modules or 'whisper' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_prompt_has_the_recordings_terms_first_then_by_weight() -> None:
    terms = [Term("light"), Term("heavy", weight=3.0), Term("middle", weight=2.0)]
    assert initial_prompt(terms, own_terms=[Term("own")]) == "own, heavy, middle, light."


def test_the_prompt_keeps_its_limit_and_leaves_out_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = [Term("one two"), Term("three four five six seven"), Term("six")]
    monkeypatch.setattr(prompts, "PROMPT_LIMIT", count_prompt_tokens("one two, six."))
    assert initial_prompt(terms) == "one two, six."
    monkeypatch.setattr(prompts, "PROMPT_LIMIT", 1)
    assert initial_prompt(terms) == ""
    assert initial_prompt([]) == ""


def test_a_recordings_term_replaces_one_with_the_same_spelling() -> None:
    recordings_term = Term("grafana", ("grifana",))
    assert merged_terms([Term("Grafana"), Term("Miller")], [recordings_term]) == (recordings_term, Term("Miller"))


def test_the_glossary_shows_each_term_with_how_it_is_misheard() -> None:
    terms = [Term("Kubernetes"), Term("Grafana", ("grifana", "graph ana"), "product"), Term("Miller", ("muller",))]
    assert glossary(terms) == (
        "- Kubernetes\n- Grafana [product] (misheard as: grifana; graph ana)\n- Miller (misheard as: muller)"
    )
