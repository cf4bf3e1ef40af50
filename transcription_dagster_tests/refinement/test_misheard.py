"""A bulletin whose names were misheard on purpose: all of them are corrected, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from transcription_dagster.clients.claude import Claude
from transcription_dagster.model import Term, Transcript
from transcription_dagster.refinement.direct import refine
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.text.spelling import affixes
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, shown_words
from transcription_dagster_tests.transcripts import transcript

SENTENCES = (
    "Brooks and Quillfeather walked from the bridge to the library.",
    "Call seven two one nine for help.",
    "On Thursday fifty three people will visit Saint Ostrava.",
    "Quillfeather said the crew has not seen the Marisol, a boat of 12 tons.",
    "The Harbour Trust pays $1,500 to Brooks.",
    "Thank you for listening to Radio Venture.",
    "Is the Marisol near Saint Ostrava's tower?",
)
#: Term, how it is misheard, and whether the vocabulary lists that mishearing.
MISHEARD = (
    ("Quillfeather", "quill feather", True),
    ("Saint Ostrava", "sane to strava", True),
    ("Marisol", "marry sol", False),
    ("Harbour Trust", "harper trust", False),
    ("Radio Venture", "radio adventure", True),
)
VOCABULARY = [Term(term, (heard,) if listed else ()) for term, heard, listed in MISHEARD]
SETTINGS = RefinementSettings("claude-test", window_words=120, overlap_words=30)


def meant(repetitions: int) -> str:
    return " ".join(SENTENCES * repetitions)


def heard(repetitions: int) -> Transcript:
    text = meant(repetitions)
    for term, misheard, _ in MISHEARD:
        text = text.replace(term, misheard)
    return transcript(text)


def proofread(body: dict[str, Any]) -> Reply:
    """Correct every mishearing that is left, and try a good deal that must not be done."""
    words = shown_words(body)
    proposals = []
    for first in sorted(words):
        pair = f"{words[first]} {words.get(first + 1, '')}".strip()
        for term, misheard, _ in MISHEARD:
            if affixes(pair)[1] == misheard:
                proposals.append((first, first + 1, pair, pair.replace(misheard, term), "vocabulary"))
        if words[first] in {"Brooks", "12", "not", "$1,500", "seven"}:
            proposals.append((first, first, words[first], "Brookes", "mishearing"))
        if words[first] == "library.":
            proposals.append((first, first, "library.", "library, which was built in 1904.", "mishearing"))
        if words[first] == "Thank":
            proposals.append(
                (first, first + 3, " ".join(words.get(first + step, "") for step in range(4)), "Thanks", "disfluency")
            )
    return edits(*proposals)  # fmt: skip


@pytest.mark.parametrize("repetitions", [1, 12])
def test_every_misheard_term_is_corrected_and_nothing_else(
    server: MessagesServer, claude: Claude, repetitions: int
) -> None:
    server.answer = proofread
    spoken = heard(repetitions)
    result = refine(spoken, VOCABULARY, claude, SETTINGS)
    assert [word.text for word in result.words] == meant(repetitions).split()
    assert {edit.kind for edit in result.edits} == {"vocabulary"}
    terms = {word for term, _, _ in MISHEARD for word in term.split()}
    untouched = {(word.text, word.start, word.end) for word in spoken.words}
    for word in result.words:
        name = affixes(word.text)[1].removesuffix("'s")
        assert name in terms or (word.text, word.start, word.end) in untouched


def test_without_claude_the_listed_mishearings_are_corrected_and_nothing_else() -> None:
    expected = meant(3)
    for term, misheard, listed in MISHEARD:
        if not listed:
            expected = expected.replace(term, misheard)
    assert [word.text for word in refine(heard(3), VOCABULARY, None, SETTINGS).words] == expected.split()
