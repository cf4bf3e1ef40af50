from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.captions.corrections import correct_words
from transcription_dagster.model import Term, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.vocabulary.variants import correct_variants
from transcription_dagster_tests.sample_transcripts import spoken

TERMS = (
    Term("Kubernetes", ("cooper netties", "kubernetes")),
    Term("Cooper Netties Band"),
    Term("stop lamp", ("stop lump",)),
    Term("AWS", ("a w s",)),
    Term("Grafana", ("graph ana", "grafhana")),
    Term("Meier", ("mayr",)),
    Term("Maier", ("mayr",)),
    Term("Tú", ("to",)),
    Term("naïve", ("nigh eve",)),
)


def corrected(text: str, terms: tuple[Term, ...] = TERMS) -> str:
    words = spoken(text)
    return join_words(correct_words(words, correct_variants(words, terms)))


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("the cooper netties cluster", "the Kubernetes cluster"),
        ("the Cooper Netties cluster", "the Kubernetes cluster"),
        ("the cooper-netties cluster", "the Kubernetes cluster"),
        ('say "cooper netties".', 'say "Kubernetes".'),
        ("(cooper netties), or", "(Kubernetes), or"),
        ("cooper netties's pods", "Kubernetes's pods"),
        ("cooper netties’s pods", "Kubernetes’s pods"),
        ("we use kubernetes and Kubernetes", "we use Kubernetes and Kubernetes"),
        ("an a w s account", "an AWS account"),
        ("graph ana and grafhana", "Grafana and Grafana"),
        ("a nigh eve idea", "a naïve idea"),
    ],
)
def test_variants_become_their_term_with_the_punctuation_round_them(heard: str, written: str) -> None:
    assert corrected(heard) == written


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("a stop lump here", "a stop lamp here"),
        ("Stop lump on.", "Stop lamp on."),
        ("STOP LUMP ON", "STOP LAMP ON"),
        ("COOPER NETTIES", "Kubernetes"),
    ],
)
def test_the_case_of_the_text_is_kept_where_the_term_has_none(heard: str, written: str) -> None:
    assert corrected(heard) == written


@pytest.mark.parametrize(
    "text",
    [
        "cooper nettiest cluster",
        "mini-cooper netties",
        "cooper-netties-like",
        "cooper, netties",
        'cooper "netties',
        "The Cooper Netties Band plays",
        "Mister mayr came",
        "we go to town",
        "biography and graphs",
        "",
    ],
)
def test_what_could_be_anything_else_is_left_alone(text: str) -> None:
    assert corrected(text) == text


def test_the_longest_phrase_wins_wherever_it_begins() -> None:
    terms = (Term("X", ("aa bb",)), Term("Y", ("bb cc dd",)))
    assert corrected("aa bb cc dd", terms) == "aa Y"


def test_an_edit_echoes_the_words_it_replaces() -> None:
    [edit] = correct_variants(spoken("the cooper netties, yes"), TERMS)
    assert (edit.first, edit.last, edit.old, edit.new, edit.kind) == (
        1,
        2,
        "cooper netties,",
        "Kubernetes,",
        "vocabulary",
    )


def test_words_written_together_are_matched_as_they_are_spoken() -> None:
    words = [Word("a", 0, 1), Word("stop", 1, 2), Word("-lump", 2, 3, glued=True), Word("x", 3, 4)]
    assert join_words(correct_words(words, correct_variants(words, TERMS))) == "a stop lamp x"


HEARD = ["cooper", "netties", "Cooper", "band", "graph", "ana,", "stop", "lump.", "mayr", "to", "x"]


@given(st.lists(st.sampled_from(HEARD), max_size=20))
def test_corrections_change_nothing_but_variants_and_nothing_twice(heard: list[str]) -> None:
    once = corrected(" ".join(heard))
    assert corrected(once) == once
    words = spoken(" ".join(heard))
    edits = correct_variants(words, TERMS)
    assert all(before.last < after.first for before, after in pairwise(edits))
    touched = {index for edit in edits for index in range(edit.first, edit.last + 1)}
    kept = [word for index, word in enumerate(words) if index not in touched]
    assert [word for word in correct_words(words, edits) if word in kept] == kept


RISKY = (
    Term("Claude", ("cloud", "clod")),
    Term("JSON", ("jason",)),
    Term("SQL", ("sequel",)),
    Term("cache", ("cash",)),
    Term("Polish", ("polish",)),
    Term("byte", ("bite",)),
    Term("Bayes", ("bays",)),
    Term("Go", ("go",)),
    Term("Mark", ("marc",)),
    Term("Wien", ("wine", "vin")),
    Term("Gut", ("gut", "gute")),
    Term("GitHub", ("get up",)),
)


@pytest.mark.parametrize(
    "text",
    [
        "The cloud above the harbor was dark, so Jason paid cash for the sequel. A clod of earth.",
        "She will polish the silver and take a bite. Ships lie in the bays. Let it go. Marc has to get up.",
        "Gute Leute haben es gut, sagte er.",
        "Le vin est bon.",
    ],
)
def test_ordinary_words_and_names_are_left_to_the_refinement(text: str) -> None:
    assert corrected(text, RISKY) == text


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("a w s and aws", "AWS and AWS"),
        ("wifi and why fi", "Wi-Fi and Wi-Fi"),
        ("shivon's dog and obrien's cat", "Siobhan's dog and O'Brien's cat"),
        ("he was naive", "he was naïve"),
        ("my i phone", "my iPhone"),
    ],
)
def test_what_can_be_nothing_else_is_corrected(heard: str, written: str) -> None:
    terms = (
        Term("AWS", ("a w s", "aws")),
        Term("Wi-Fi", ("wifi", "why fi")),
        Term("Siobhan", ("shivon",)),
        Term("O'Brien", ("obrien",)),
        Term("naïve", ("naive",)),
        Term("iPhone", ("i phone",)),
    )
    assert corrected(heard, terms) == written
