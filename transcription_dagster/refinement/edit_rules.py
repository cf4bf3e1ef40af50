"""The rules for each kind of edit: how it may change the words that it replaces, and what it must not change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.language.common_words import is_common
from transcription_dagster.language.spelling import affixes, folded_words, letters, similarity
from transcription_dagster.model import Edit, Term, Word

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
        self._names: set[str] = set()
        for index, word in enumerate(words):
            if _is_capitalised(word.text) and not _starts_sentence(words, index):
                self._names.update(folded_words(word.text))
        self._terms = {folded_words(term.text) for term in terms}
        self._by_variant: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
        for term in terms:
            for variant in term.variants:
                self._by_variant[folded_words(variant)].add(folded_words(term.text))

    def is_name(self, token: str) -> bool:
        """Return whether the recording capitalises a folded word where only a name would be."""
        return token in self._names

    def terms_in(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the vocabulary's terms among folded words."""
        starts = range(len(words))
        spans = {tuple(words[start:stop]) for start in starts for stop in range(start + 1, len(words) + 1)}
        return [phrase for phrase in spans if phrase in self._terms]

    def is_variant(self, old: Sequence[str], term: tuple[str, ...]) -> bool:
        """Return whether the vocabulary lists the folded words as a mishearing of the term."""
        return term in self._by_variant.get(tuple(old), ())


def _is_capitalised(text: str) -> bool:
    """Return whether a displayed word begins with a capital."""
    return affixes(text)[1][:1].isupper()


def _starts_sentence(words: Sequence[Word], index: int) -> bool:
    """Return whether the word at `index` starts a sentence, where a capital proves nothing."""
    return index == 0 or ends_sentence(words[index - 1], words[index])


def names_in(words: Sequence[Word], knowledge: Knowledge, *, opens_sentence: bool) -> set[str]:
    """Return the folded names among `words`, given whether they start a sentence."""
    names: set[str] = set()
    for index, word in enumerate(words):
        opening = opens_sentence if index == 0 else _starts_sentence(words, index)
        capital = _is_capitalised(word.text) and not opening
        names.update(token for token in folded_words(word.text) if capital or knowledge.is_name(token))
    return names - _NEVER_NAMES


def _numbers_in(words: Iterable[str]) -> Counter[str]:
    """Return the numbers among folded words; digits and English number words count by value."""
    values = (_NUMBER_WORDS.get(token) or "".join(char for char in token if not char.isalpha()) for token in words)
    return Counter(value for value in values if any(char.isnumeric() for char in value))


def _negations_in(words: Iterable[str]) -> int:
    """Return the number of negations among the folded words (English)."""
    return sum(token in _NEGATIONS or token.endswith("n't") for token in words)


KINDS = ("vocabulary", "punctuation", "casing", "mishearing", "disfluency")

#: Sounds without meaning in any of these languages. Those that are words in another one are listed per language: "er"
#: and "um" are German words.
_HESITATIONS = frozenset(["ah", "eh", "hm", "hmm", "mhm", "mmm", "uh", "uhh", "uhm", "umm"])
_HESITATIONS_OF = {
    "en": frozenset(["um", "er", "erm", "mm"]),
    "de": frozenset(["äh", "ähm", "öh", "öhm"]),
    "fr": frozenset(["euh", "heu"]),
    "es": frozenset(["em"]),
    "it": frozenset(["ehm"]),
}
_FILLER_PHRASES = {"en": (("you", "know"), ("i", "mean"))}
#: Number of words within which a repeated beginning, as in "we went, we went home", must be repeated.
_REPETITION_REACH = 4
#: Number of words that an edit may add: "gonna" becomes "going to".
_EXTRA_WORDS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """An edit with the words that it replaces and their replacement."""

    edit: Edit
    words: Sequence[Word]
    knowledge: Knowledge
    min_similarity: float
    #: ISO 639-1, or BCP 47.
    language: str

    @property
    def replaced(self) -> Sequence[Word]:
        return self.words[self.edit.first : self.edit.last + 1]

    @property
    def following(self) -> Sequence[Word]:
        """Return the next few words of the same speaker."""
        speaker = self.words[self.edit.last].speaker
        ahead = self.words[self.edit.last + 1 :][:_REPETITION_REACH]
        return list(takewhile(lambda word: word.speaker == speaker, ahead))

    @property
    def old(self) -> tuple[str, ...]:
        return folded_words(self.edit.old)

    @property
    def new(self) -> tuple[str, ...]:
        return folded_words(self.edit.new)

    def changed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the folded words without the common ones at both ends."""
        old, new = self.old, self.new
        start = 0
        while start < min(len(old), len(new)) and old[start] == new[start]:
            start += 1
        stop = 0
        while stop < min(len(old), len(new)) - start and old[-1 - stop] == new[-1 - stop]:
            stop += 1
        return old[start : len(old) - stop], new[start : len(new) - stop]


def changes_words(edit: Edit) -> bool:
    """Return whether an edit changes the spoken words, not only case, punctuation and spaces."""
    return letters(edit.old) != letters(edit.new)


def fault(case: Case) -> str | None:
    """Return why an edit must not be made, or None if it may. Its words are already known to be at its position."""
    if len({word.speaker for word in case.replaced if word.speaker}) > 1:
        return "reaches across speakers"
    if not changes_words(case.edit):
        return None
    return _RULES[case.edit.kind](case)


def _surface(case: Case) -> str | None:
    return f"changes words although its kind is {case.edit.kind}"


def _disfluency(case: Case) -> str | None:
    removed = _removed(case.old, case.new)
    if removed is None:
        return "adds or changes words although its kind is disfluency"
    if _numbers_in(case.old) != _numbers_in(case.new):
        return "changes a number"
    following = [token for word in case.following for token in folded_words(word.text)]
    spoken = [*case.old, *following]
    spared = [spoken[place] for place in removed if not _means_nothing(spoken, place, case.language)]
    return f"removes speech: {' '.join(spared)}" if spared else None


def _vocabulary(case: Case) -> str | None:
    old, new = case.changed()
    terms = case.knowledge.terms_in(case.new)
    if not terms:
        return "contains no vocabulary term"
    if not any(set(term) & set(new) for term in terms):
        return "changes other words than the term"
    words_of_terms = {token for term in terms for token in term}
    if not set(new) <= words_of_terms | set(old):
        return "adds words that are not the term's"
    if any(case.knowledge.is_variant(old, term) for term in terms):
        return None
    if _numbers_in(old) - _numbers_in(new):
        return "changes a number"
    if _negations_in(old) != _negations_in(new):
        return "reverses a statement"
    if is_common(old):
        return "replaces common words that the vocabulary does not list"
    return _unlike(case, old, new)


def _mishearing(case: Case) -> str | None:
    old, new = case.changed()
    if not old:
        return "adds words that were not spoken"
    if not new:
        return "removes speech"
    if len(new) > len(old) + _EXTRA_WORDS:
        return "adds words that were not spoken"
    return _unlike(case, old, new) or _changed_meaning(case)


def _unlike(case: Case, old: Sequence[str], new: Sequence[str]) -> str | None:
    likeness = similarity(" ".join(old), " ".join(new))
    return None if likeness >= case.min_similarity else f"does not sound like the original ({likeness:.2f})"


def _changed_meaning(case: Case) -> str | None:
    old, new = case.old, case.new
    vouched = {token for term in case.knowledge.terms_in(new) for token in term}
    if _numbers_in(old) - _numbers_in(new) or _numbers_in(new) - _numbers_in(old) - _numbers_in(vouched):
        return "changes a number"
    if _negations_in(old) != _negations_in(new):
        return "reverses a statement"
    opens = _starts_sentence(case.words, case.edit.first)
    new_words = [Word(text, 0.0, 0.0) for text in case.edit.new.split()]
    old_names = names_in(case.replaced, case.knowledge, opens_sentence=opens)
    new_names = names_in(new_words, case.knowledge, opens_sentence=opens)
    if old_names - new_names and not new_names - old_names and not vouched:
        return f"removes a name: {', '.join(sorted(old_names - new_names))}"
    unknown = {name for name in new_names - old_names - vouched if not case.knowledge.is_name(name)}
    return f"adds a name: {', '.join(sorted(unknown))}" if unknown else None


_RULES: Mapping[str, Callable[[Case], str | None]] = {
    "vocabulary": _vocabulary,
    "punctuation": _surface,
    "casing": _surface,
    "mishearing": _mishearing,
    "disfluency": _disfluency,
}


def _removed(old: Sequence[str], new: Sequence[str]) -> list[int] | None:
    """Return the positions in `old` of the words that `new` omits; None unless `new` only omits words.

    Words are matched from the end, so that the first of two repeated words counts as omitted.
    """
    removed: list[int] = []
    remaining = list(new)
    for place in range(len(old) - 1, -1, -1):
        if remaining and remaining[-1] == old[place]:
            remaining.pop()
        else:
            removed.append(place)
    return None if remaining else removed[::-1]


def _means_nothing(spoken: Sequence[str], place: int, language: str) -> bool:
    primary = language.split("-")[0].lower()
    token = spoken[place]
    if token in _HESITATIONS or token in _HESITATIONS_OF.get(primary, ()):
        return True
    if token in spoken[place + 1 : place + 1 + _REPETITION_REACH]:
        return True
    around = (tuple(spoken[place : place + 2]), tuple(spoken[max(place - 1, 0) : place + 1]))
    return any(phrase in around for phrase in _FILLER_PHRASES.get(primary, ()))
