"""What an edit must not change without a reason: names, numbers and negations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.language.spelling import affixes, tokens
from transcription_dagster.model import Term, Word

_COUNTED = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_COUNTED.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "half": "0.5",
    "first": "1", "second": "2", "third": "3",
}  # fmt: skip
_NEGATIONS = frozenset({"not", "never", "cannot"})
_NEVER_NAMES = frozenset({"i", "i'm", "i'd", "i'll", "i've", "ok"})


class Knowledge:
    """The names and terms in a recording's own text and its vocabulary."""

    def __init__(self, words: Sequence[Word], terms: Sequence[Term]) -> None:
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        for index, word in enumerate(words):
            if is_capitalised(word.text) and not starts_sentence(words, index):
                for token in tokens(word.text):
                    self._places[token].append(index)
        self._terms = {tokens(term.text): term.text for term in terms}
        self._terms.pop((), None)
        self._by_variant: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
        for term in terms:
            for variant in term.variants:
                self._by_variant[tokens(variant)].add(tokens(term.text))

    def is_name(self, token: str) -> bool:
        """Return whether the recording capitalises a folded word where only a name would be."""
        return token in self._places and token not in _NEVER_NAMES

    def is_used_elsewhere(self, name: str, first: int, last: int) -> bool:
        """Return whether the name occurs in the recording outside the words `first` to `last`."""
        return any(not first <= place <= last for place in self._places.get(name, ()))

    def terms_in(self, found: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the vocabulary's terms among folded words."""
        starts = range(len(found))
        spans = {tuple(found[start:stop]) for start in starts for stop in range(start + 1, len(found) + 1)}
        return [phrase for phrase in spans if phrase in self._terms]

    def is_variant(self, heard: Sequence[str], term: tuple[str, ...]) -> bool:
        """Return whether the vocabulary lists the folded words as a mishearing of the term."""
        return term in self._by_variant.get(tuple(heard), ())


def is_capitalised(text: str) -> bool:
    """Return whether a displayed word begins with a capital."""
    return affixes(text)[1][:1].isupper()


def starts_sentence(words: Sequence[Word], index: int) -> bool:
    """Return whether the word at `index` starts a sentence, where a capital proves nothing."""
    return index == 0 or ends_sentence(words[index - 1], words[index])


def names_in(words: Sequence[Word], knowledge: Knowledge, *, opens_sentence: bool) -> set[str]:
    """Return the folded names among `words`, given whether they start a sentence."""
    names: set[str] = set()
    for index, word in enumerate(words):
        opening = opens_sentence if index == 0 else starts_sentence(words, index)
        capital = is_capitalised(word.text) and not opening
        names.update(token for token in tokens(word.text) if capital or knowledge.is_name(token))
    return names - _NEVER_NAMES


def numbers_in(found: Iterable[str]) -> Counter[str]:
    """Return the numbers among folded words; digits and English number words count by value."""
    values = (_NUMBER_WORDS.get(token) or "".join(char for char in token if not char.isalpha()) for token in found)
    return Counter(value for value in values if any(char.isnumeric() for char in value))


def negations_in(found: Iterable[str]) -> int:
    """Return the number of negations among the folded words (English)."""
    return sum(token in _NEGATIONS or token.endswith("n't") for token in found)
