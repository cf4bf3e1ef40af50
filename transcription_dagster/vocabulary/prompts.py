"""What a vocabulary tells Whisper and Claude: the initial prompt, and the glossary.

Whisper's tokens are counted from its tokenizers' tables alone, so that a process without torch can do it.
"""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from transcription_dagster.errors import UnknownModel
from transcription_dagster.model import Term

if TYPE_CHECKING:
    from tiktoken import Encoding

#: The tables of multilingual and of English-only models.
_TABLES = ("multilingual", "gpt2")
#: Both split text by this pattern before tokenizing (whisper.tokenizer, after GPT-2).
_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
#: Whisper puts one token before a prompt; together they must fit into half of its context (448 tokens).
_PREFIX_TOKENS = 1
PROMPT_LIMIT = 224


def merged_terms(terms: Sequence[Term], own_terms: Sequence[Term]) -> tuple[Term, ...]:
    """Return the recording's `own_terms`, then the others by falling weight, without repeated spellings."""
    distinct: dict[str, Term] = {}
    for term in [*own_terms, *sorted(terms, key=lambda term: -term.weight)]:
        distinct.setdefault(term.text.casefold(), term)
    return tuple(distinct.values())


def initial_prompt(terms: Sequence[Term], *, own_terms: Sequence[Term] = ()) -> str:
    """Return the prompt that primes Whisper with these terms: as many as fit into `PROMPT_LIMIT` tokens.

    The recording's `own_terms` come first, in their order, then the others by weight. Empty without terms. Raises
    `UnknownModel` if Whisper's tables are not installed.
    """
    chosen: list[str] = []
    for term in merged_terms(terms, own_terms):
        if count_prompt_tokens(_sentence([*chosen, term.text])) <= PROMPT_LIMIT:
            chosen.append(term.text)
    return _sentence(chosen)


def _sentence(texts: Sequence[str]) -> str:
    # Whisper continues the style of its prompt: a list without a full stop makes it write without them.
    return f"{', '.join(texts)}." if texts else ""


def count_prompt_tokens(prompt: str) -> int:
    """Return the number of tokens that Whisper prefixes to a window for a prompt: the most of any model.

    Counts as `transcribe` does: stripped, with a leading space. Whisper keeps only the end of a prompt over the limit.
    Raises `UnknownModel` if Whisper's tables are not installed.
    """
    text = f" {prompt.strip()}"
    return _PREFIX_TOKENS + max(len(_encoding(table).encode_ordinary(text)) for table in _TABLES)


@cache
def _encoding(table: str) -> Encoding:
    # Most processes that read a vocabulary never count tokens.
    import tiktoken

    spec = importlib.util.find_spec("whisper")
    if spec is None or not spec.submodule_search_locations:
        raise UnknownModel("openai-whisper is not installed: its tokens cannot be counted")
    path = Path(spec.submodule_search_locations[0]) / "assets" / f"{table}.tiktoken"
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(table, pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def glossary(terms: Iterable[Term]) -> str:
    """Return the terms for Claude, one per line, in their order: the same terms give the same bytes."""
    return "\n".join(_glossary_line(term) for term in terms)


def _glossary_line(term: Term) -> str:
    line = f"- {term.text}"
    if term.category:
        line += f" [{term.category}]"
    if term.variants:
        line += f" (misheard as: {'; '.join(term.variants)})"
    return line
