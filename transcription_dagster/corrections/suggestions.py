"""Suggest vocabulary terms from corrections that people make again and again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, text

from transcription_dagster.database import vocabulary
from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.language.common_words import is_common
from transcription_dagster.language.spelling import affixes, folded_words
from transcription_dagster.model import Term
from transcription_dagster.vocabulary.variants import phrase_of, risk

#: How often a correction must occur in the archive to be suggested.
OFTEN = 3
#: Longer corrections are rewordings, not terms.
_MAX_WORDS = 4
#: Number of corrections examined, newest first.
_MAX_CORRECTIONS = 50_000


@dataclass(frozen=True, slots=True)
class CorrectionPlace:
    """Where a correction was made; seconds from the start of the recording."""

    recording: str
    start: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A term that people wrote for the same mishearing, and where."""

    term: str
    variant: str
    places: tuple[CorrectionPlace, ...]
    #: Why the variant is not corrected without context; empty if it is.
    risk: str


def suggestions(engine: Engine) -> list[Suggestion]:
    """Return corrections that occur at least `OFTEN` times and are not in the vocabulary, the most frequent first.

    Declined suggestions are left out (`vocabulary.decline`).
    """
    with transaction(engine) as connection:
        rows = connection.execute(_EFFECTIVE_CORRECTIONS, {"limit": _MAX_CORRECTIONS}).all()
    places: defaultdict[tuple[str, str], list[CorrectionPlace]] = defaultdict(list)
    for heard, new, recording, start in rows:
        if pair := _term_and_variant(heard, new):
            places[pair].append(CorrectionPlace(str(recording), start))
    known = _known_pairs(vocabulary.terms(engine)) | vocabulary.declined(engine)
    suggested = [
        Suggestion(term, variant, tuple(where), risk(phrase_of(variant), Term(term)))
        for (term, variant), where in places.items()
        if len(where) >= OFTEN and (term, variant) not in known
    ]
    return sorted(suggested, key=lambda suggestion: (-len(suggestion.places), suggestion.term))


def _term_and_variant(heard: str, new: str) -> tuple[str, str] | None:
    """Return the term and the misheard variant of a correction, without outer punctuation; None if it is no term."""
    term = " ".join(_without_punctuation(new))
    variant = " ".join(folded_words(heard))
    term_tokens, heard_tokens = folded_words(term), folded_words(heard)
    if not term_tokens or not variant or max(len(term_tokens), len(heard_tokens)) > _MAX_WORDS:
        return None
    # A change of case or punctuation is no mishearing, and an ordinary word is no term.
    if term_tokens == heard_tokens or all(is_common((token,)) for token in term_tokens):
        return None
    return term, variant


def _without_punctuation(text: str) -> list[str]:
    words = text.split()
    if words:
        words[0] = "".join(affixes(words[0])[1:])
        words[-1] = "".join(affixes(words[-1])[:2])
    return [word for word in words if word]


def _known_pairs(terms: Iterable[Term]) -> set[tuple[str, str]]:
    return {(term.text, " ".join(folded_words(variant))) for term in terms for variant in term.variants}


#: Selects, for each recording's current transcript, the places where a person wrote text, with that text.
_EFFECTIVE_CORRECTIONS = text(
    f"""
    WITH present AS (
        SELECT DISTINCT ON (recording) recording, transcript FROM {SCHEMA}.corrections ORDER BY recording, version DESC
    ), latest AS (
        SELECT DISTINCT ON (recording, first) recording, kind, heard, new, start, is_lost, made_at
        FROM {SCHEMA}.corrections JOIN present USING (recording, transcript)
        WHERE kind IN ('text', 'unintelligible', 'restore', 'undo')
        ORDER BY recording, first, version DESC
    )
    SELECT heard, new, recording, start FROM latest
    WHERE kind = 'text' AND NOT is_lost AND new <> '' AND length(heard) < 100 AND length(new) < 100
    ORDER BY made_at DESC LIMIT :limit
    """  # noqa: S608  constant
)
