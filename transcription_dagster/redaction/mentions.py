"""Further mentions of names and addresses: a model can find a name in one sentence and miss it in the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from transcription_dagster.language.spelling import affixes, tokens
from transcription_dagster.redaction.finding import Found

#: Kinds that consist of words rather than digits or letters.
OF_WORDS = frozenset({"name", "address"})


def mentions(texts: Sequence[str], phrases: Iterable[tuple[str, Sequence[str]]]) -> list[Found]:
    """Return every place in the words `texts` where a phrase (its kind and its words) stands, in order.

    Case and punctuation may differ, but a capital at the beginning must be one: "may" does not mention "May".
    """
    folded = [tokens(text) for text in texts]
    by_first: dict[tuple[str, ...], dict[tuple[tuple[str, ...], ...], tuple[str, bool]]] = defaultdict(dict)
    for kind, phrase in phrases:
        words = tuple(tokens(text) for text in phrase)
        if any(words):
            by_first[words[0]].setdefault(words, (kind, _is_capital(phrase[0])))
    return [
        Found(first, first + len(words), kind)
        for first, beginning in enumerate(folded)
        for words, (kind, capital) in by_first.get(beginning, {}).items()
        if tuple(folded[first : first + len(words)]) == words and (_is_capital(texts[first]) or not capital)
    ]


def _is_capital(text: str) -> bool:
    return affixes(text)[1][:1].isupper()
