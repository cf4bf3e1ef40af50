"""The words of a query in scripts without spaces: as phrases for Postgres, and marked in snippets."""

from __future__ import annotations

import re
import unicodedata

#: Letters in a snippet, about as much text as Postgres shows in other scripts.
_SNIPPET_LETTERS = 80

#: Postgres negates once for each minus sign, and refuses a query with many.
_MINUS_SIGNS = re.compile(r"-(?:\s*-)+")

_QUERY_WORD = re.compile(r'(-?)(?:"([^"]+)"?|([^\s"]+))')

#: Runs of Thai, Lao, Tibetan, Burmese, Khmer, Chinese, Japanese and Korean letters, which `separated` separates.
_UNSPACED_RUN = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u312f\u3130-\u318f\u3190-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]+"
)


def web_query(query: str) -> str:
    """Return a query for `websearch_to_tsquery` in which each run of unspaced letters is a phrase of its letters."""
    parts = unicodedata.normalize("NFKC", query).split('"')
    parts = [part if number % 2 else _MINUS_SIGNS.sub("-", part) for number, part in enumerate(parts)]
    # Every second part is in quotation marks and is a phrase already.
    return '"'.join(_UNSPACED_RUN.sub(_spaced if number % 2 else _phrase, part) for number, part in enumerate(parts))


def has_unspaced_letters(text: str) -> bool:
    """Return whether a text holds letters that are indexed as words."""
    return bool(_UNSPACED_RUN.search(text))


def snippet_of(text: str, query: str, match_start: str, match_end: str) -> str:
    """Return the part of an unspaced text around the first of the query's words, with each of them marked.

    Postgres' own snippets would count and mark single letters as words, even where they are not adjacent.
    """
    text = unicodedata.normalize("NFKC", text)
    matches = list(_words_of(query).finditer(text))
    middle = (matches[0].start() + matches[0].end()) // 2 if matches else 0
    first = max(0, min(middle - _SNIPPET_LETTERS // 2, len(text) - _SNIPPET_LETTERS))
    last = first + _SNIPPET_LETTERS
    pieces: list[str] = []
    position = first
    for match in matches:
        if match.start() >= first and match.end() <= last:
            pieces += [text[position : match.start()], match_start, match[0], match_end]
            position = match.end()
    return "".join([*pieces, text[position:last]])


def _words_of(query: str) -> re.Pattern[str]:
    """Return a pattern for the query's words, with phrases as a whole."""
    words: list[str] = []
    for minus, phrase, word in _QUERY_WORD.findall(unicodedata.normalize("NFKC", query)):
        if not minus and word.lower() != "or":
            words += [phrase or word]
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)"
    return re.compile(pattern, re.IGNORECASE)


def _phrase(run: re.Match[str]) -> str:
    return f'"{" ".join(run[0])}"'


def _spaced(run: re.Match[str]) -> str:
    return f" {' '.join(run[0])} "
