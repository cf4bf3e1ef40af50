"""Uses of a vocabulary: the prompt for Whisper, the glossary for Claude, and its problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from transcription_dagster.language.common_words import is_common
from transcription_dagster.language.spelling import tokens
from transcription_dagster.model import Term
from transcription_dagster.vocabulary.variants import phrase_of, risk


def merged_terms(terms: Sequence[Term], own: Sequence[Term]) -> tuple[Term, ...]:
    """Return the recording's `own` terms, then the others by falling weight, without repeated spellings."""
    distinct: dict[str, Term] = {}
    for term in [*own, *sorted(terms, key=lambda term: -term.weight)]:
        distinct.setdefault(term.text.casefold(), term)
    return tuple(distinct.values())


def initial_prompt(
    terms: Sequence[Term], *, own: Sequence[Term] = (), count_tokens: Callable[[str], int], limit: int = 224
) -> str:
    """Return the prompt that primes Whisper with these terms: as many as fit `limit` tokens, counted by `count_tokens`.

    The recording's `own` terms come first, in their order, then the others by weight. Empty without terms.
    """
    chosen: list[str] = []
    for term in merged_terms(terms, own):
        if count_tokens(_sentence([*chosen, term.text])) <= limit:
            chosen.append(term.text)
    return _sentence(chosen)


def glossary(terms: Iterable[Term]) -> str:
    """Return the terms for Claude, one per line, in their order: the same terms give the same bytes."""
    return "\n".join(_glossary_line(term) for term in terms)


def problems(terms: Sequence[Term]) -> list[str]:
    """Return the problems of a vocabulary: duplicates, terms that correct each other, common words."""
    return [*_duplicates(terms), *_conflicts(terms), *_common(terms)]


def _sentence(texts: Sequence[str]) -> str:
    # Whisper continues the style of its prompt: a list without a full stop makes it write without them.
    return f"{', '.join(texts)}." if texts else ""


def _glossary_line(term: Term) -> str:
    line = f"- {term.text}"
    if term.category:
        line += f" [{term.category}]"
    if term.variants:
        line += f" (misheard as: {'; '.join(term.variants)})"
    return line


def _duplicates(terms: Sequence[Term]) -> Iterator[str]:
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for term in terms:
        spellings[term.text.casefold()].append(term.text)
    for texts in spellings.values():
        if len(texts) > 1:
            yield f"{texts[0]!r} is listed {len(texts)} times"
    owners: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for term in terms:
        for variant in term.variants:
            owners[phrase_of(variant)].append(term.text)
    for variant, claimed_by in owners.items():
        if not variant:
            yield f"a variant of {claimed_by[0]!r} holds no word"
        elif len(set(claimed_by)) > 1:
            yield f"the variant {' '.join(variant)!r} belongs to {_listed(claimed_by)}: it corrects nothing"
        elif len(claimed_by) > 1:
            yield f"the variant {' '.join(variant)!r} of {claimed_by[0]!r} is listed {len(claimed_by)} times"


def _conflicts(terms: Sequence[Term]) -> Iterator[str]:
    """Yield conflicts: a variant that is another term, or a term that contains another's variant."""
    spelled = {phrase_of(term.text): term.text for term in terms}
    for term in terms:
        for variant in term.variants:
            other = spelled.get(phrase_of(variant))
            if other is not None and other != term.text:
                yield f"the variant {variant!r} of {term.text!r} is a term itself: {other!r} would correct to it"


def _common(terms: Sequence[Term]) -> Iterator[str]:
    for term in terms:
        if len(spelled := tokens(term.text)) == 1 and is_common(spelled):
            yield f"the term {term.text!r} is a common word"
        for variant in term.variants:
            if why := risk(phrase_of(variant), term):
                yield f"the variant {variant!r} of {term.text!r} is risky: {why}: it is left to the refinement"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in dict.fromkeys(names))
