from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.model import Edit, Term
from transcription_dagster.refinement.edit_rules import KINDS, changes_words
from transcription_dagster.refinement.edits import EditLimits, validate_edits
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster_tests.sample_transcripts import spoken

TERMS = (Term("Kubernetes", ("cooper netties",)), Term("PostgreSQL 16"), Term("Tú", ("to",)))
TALK = "Yesterday Anna Brooks met Tom. She did not buy twenty two boats. Then Anna saw the cooper netties of Brooks."


def outcome(*edits: Edit, text: str = TALK, limits: EditLimits | None = None, language: str = "en") -> str:
    """Return the text after the accepted edits, or the reason why the last one was rejected."""
    words = spoken(text)
    result = validate_edits(words, edits, TERMS, limits, language=language)
    assert len(result.valid) + len(result.dropped) == len(edits)
    return result.dropped[-1].reason if result.dropped else join_words(correct_words(words, result.valid))


def edit(old: str, new: str, kind: str, *, text: str = TALK, at: int | None = None) -> Edit:
    """Return an edit of the place where `text` has the words `old`, or of the place `at`."""
    length = len(old.split())
    words = text.split()
    position = [first for first in range(len(words)) if " ".join(words[first : first + length]) == old]
    first = at if at is not None else position[0]
    return Edit(first, first + length - 1, old, new, kind)


def test_a_valid_edit_is_applied() -> None:
    applied = outcome(edit("cooper netties", "Kubernetes", "vocabulary"))
    assert applied == TALK.replace("cooper netties", "Kubernetes")


@pytest.mark.parametrize(
    ("echo", "new", "expected"),
    [
        ("Tom", "Tim", "with (Tim), then"),
        ("tom", "Tim", "with (Tim), then"),
        ("Tom),", "Tim", "with (Tim then"),
        ("(Tom", "Tim", "with Tim), then"),
        ("Tom", "[Tim];", "with [Tim]; then"),
    ],
)
def test_punctuation_that_the_echo_leaves_out_stays(echo: str, new: str, expected: str) -> None:
    text = "He came with (Tom), then Tim left."
    assert expected in outcome(Edit(3, 3, echo, new, "mishearing"), text=text)


def test_a_wrong_index_is_repaired_if_the_words_are_at_one_place_nearby() -> None:
    assert "Kubernetes" in outcome(edit("cooper netties", "Kubernetes", "vocabulary", at=11))


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [("Yesterday", "yesterday", 2), ("Brooks.", "Brooks!", 17), ("cooper netties", "coopernetties", 14)],
    ids=["the first word", "the last word", "as far as the reach"],
)
def test_words_are_searched_up_to_the_reach_and_to_both_ends_of_the_text(old: str, new: str, at: int) -> None:
    kind = "casing" if at == 2 else "punctuation"
    assert outcome(edit(old, new, kind, at=at), limits=EditLimits(reach=2)) == TALK.replace(old, new)


def test_an_edit_replaces_a_limited_number_of_words() -> None:
    limits = EditLimits(max_span=2)
    assert "coopernetties" in outcome(edit("cooper netties", "coopernetties", "punctuation"), limits=limits)
    reason = outcome(edit("the cooper netties", "the coopernetties", "punctuation"), limits=limits)
    assert reason == "replaces 3 words at once"


def test_only_line_breaks_are_allowed_among_control_characters() -> None:
    assert outcome(edit("Tom. She", "Tom;\nshe", "punctuation")) == TALK.replace("Tom. She", "Tom; she")
    assert outcome(edit("Tom. She", "Tom;\ashe", "punctuation")) == "holds a control character"


def test_words_at_two_places_nearby_are_ambiguous() -> None:
    reason = outcome(edit("Anna", "Anne", "mishearing", at=3))
    assert reason == "its old words fit 2 places"


def test_words_too_far_away_are_not_searched() -> None:
    limits = EditLimits(reach=3)
    reason = outcome(edit("cooper netties", "Kubernetes", "vocabulary", at=2), limits=limits)
    assert reason == "its old words are nowhere near"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Tom.", "Tom,", "punctuation"),
        ("Tom. She", "Tom; she", "punctuation"),
        ("twenty two", "twenty-two", "punctuation"),
        ("yesterday", "Yesterday", "casing"),
        ("Then", "then", "casing"),
        ("boats. Then", "boats, then", "casing"),
        ("boats.", "boots.", "mishearing"),
        ("saw", "sow", "mishearing"),
        ("cooper netties", "Kubernetes", "mishearing"),
    ],
)
def test_edits_allowed_by_kind(old: str, new: str, kind: str) -> None:
    text = TALK.replace("Yesterday", "yesterday") if old == "yesterday" else TALK
    assert outcome(edit(old, new, kind, text=text), text=text) == text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "kind", "reason"),
    [
        ("Tom.", "Tim.", "punctuation", "changes words although its kind is punctuation"),
        ("met", "meets", "casing", "changes words although its kind is casing"),
        ("boats.", "ships of Ohio.", "mishearing", "does not sound like"),
        ("boats.", "boats and boats and boats.", "mishearing", "adds words"),
        ("boats.", "blue boats.", "mishearing", "adds words"),
        ("boats.", "", "mishearing", "removes the end of a sentence"),
        ("buy", "", "mishearing", "removes speech"),
        ("buy", "—", "punctuation", "punctuation without a word"),
        ("twenty", "thirty", "mishearing", "changes a number"),
        ("twenty two", "22", "mishearing", "does not sound like"),
        ("to", "two", "mishearing", "changes a number"),
        ("did not", "did", "disfluency", "removes speech: not"),
        ("did not", "did now", "mishearing", "reverses a statement"),
        ("Brooks", "books", "mishearing", "removes a name: brooks"),
        ("Brooks", "Brooke", "mishearing", "adds a name: brooke"),
        ("boats.", "Boates.", "mishearing", "adds a name: boates"),
        ("met", "Kubernetes", "vocabulary", "replaces common words"),
        ("the", "Tú", "vocabulary", "replaces common words"),
        ("saw the cooper netties", "the Kubernetes", "vocabulary", None),
        ("did not buy twenty", "PostgreSQL 16", "vocabulary", "changes a number"),
        ("of Brooks.", "off Brooks.", "vocabulary", "contains no vocabulary term"),
        ("not buy", "Kubernetes", "vocabulary", "reverses a statement"),
        ("cooper netties", "Kubernetes clusters", "vocabulary", "adds words that are not the term's"),
        ("met", "mat", "vocabulary", "contains no vocabulary term"),
        ("buy", "buy", "mishearing", "changes nothing"),
    ],
)
def test_edits_not_allowed_by_any_kind(old: str, new: str, kind: str, reason: str | None) -> None:
    text = TALK.replace("She", "to She") if old == "to" else TALK
    result = outcome(edit(old, new, kind, text=text), text=text)
    if reason is None:
        assert result != text
    else:
        assert reason in result


def test_a_listed_variant_may_be_a_common_word() -> None:
    text = "I asked to about it."
    for old, new in [("to", "Tú"), ("asked to about", "asked Tú about")]:
        assert outcome(edit(old, new, "vocabulary", text=text), text=text) == "I asked Tú about it."


def test_an_edit_beside_a_term_is_not_the_vocabularys() -> None:
    text = "He runs Kubernetes clusters."
    reason = outcome(edit("Kubernetes clusters.", "Kubernetes.", "vocabulary", text=text), text=text)
    assert reason == "changes other words than the term"


def test_a_repeated_word_is_not_misheard() -> None:
    text = "We go to to town."
    assert outcome(edit("to to", "to", "mishearing", text=text), text=text) == "removes speech"


def test_i_is_no_name() -> None:
    text = "Then hive gone home."
    assert outcome(edit("hive", "I've", "mishearing", text=text), text=text) == "Then I've gone home."


def test_a_name_may_change_to_a_spelling_used_elsewhere_in_the_recording() -> None:
    text = "We met Ann Brucks. Later that day Ann Brooks left."
    assert "Ann Brooks." in outcome(edit("Brucks.", "Brooks.", "mishearing", text=text), text=text)


def test_a_term_with_a_number_allows_that_number() -> None:
    text = "We run post grass sixteen, he said."
    applied = outcome(edit("post grass sixteen,", "PostgreSQL 16,", "vocabulary", text=text), text=text)
    assert applied == "We run PostgreSQL 16, he said."
    text = "We run post grass, he said."
    assert outcome(edit("post grass,", "PostgreSQL 16,", "mishearing", text=text), text=text) == applied


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("So um we go.", "um", ""),
        ("Um, we go.", "Um, we", "We"),
        ("We we go.", "We we", "We"),
        ("I went I went home.", "I went", ""),
        ("So we go home so we go home.", "So we go home", ""),
        ("It is, you know, late.", "is, you know, late.", "is late."),
        ("It was um.", "was um.", "was."),
        ("It was um", "um", ""),
        ("It was late, um,", "um,", ""),
        ("It was late. Um. Then he rose.", "Um.", ""),
    ],
)
def test_disfluencies_are_removed(text: str, old: str, new: str) -> None:
    assert outcome(edit(old, new, "disfluency", text=text), text=text) == " ".join(text.replace(old, new, 1).split())


@pytest.mark.parametrize(
    ("text", "old", "new", "reason"),
    [
        ("We go home now.", "home now.", "home.", "removes speech: now"),
        ("We go home.", "go", "going", "adds or changes words"),
        ("So we all go home so we all go home.", "So we all go home", "", "removes speech: so we all go home"),
        ("Two two boats.", "Two two", "Two", "changes a number"),
        ("He fell um. Then he rose.", "um.", "", "removes the end of a sentence"),
        ("Um.", "Um.", "", "removes everything"),
    ],
)
def test_other_removals_are_not_disfluencies(text: str, old: str, new: str, reason: str) -> None:
    assert reason in outcome(edit(old, new, "disfluency", text=text), text=text)


def test_a_filler_in_one_language_is_a_word_in_another() -> None:
    text = "Wir gehen um acht weil er kommt."
    assert outcome(edit("er", "", "disfluency", text=text), text=text, language="de") == "removes speech: er"
    assert outcome(edit("er", "", "disfluency", text=text), text=text, language="en-GB") == text.replace("er ", "")


def test_the_first_of_overlapping_edits_is_applied() -> None:
    first = edit("cooper netties", "Kubernetes", "vocabulary")
    second = edit("the cooper", "the copper", "mishearing")
    words = spoken(TALK)
    result = validate_edits(words, [first, second], TERMS)
    assert [edit.old for edit in result.valid] == ["the cooper"]
    assert [dropped.reason for dropped in result.dropped] == ["overlaps another edit"]


def test_too_many_changes_are_a_rewrite_unless_from_the_vocabulary() -> None:
    words = spoken(" ".join(["boats"] * 40 + ["cooper netties"]))
    edits = [Edit(index, index, "boats", "boots", "mishearing") for index in range(40)]
    edits.append(Edit(40, 41, "cooper netties", "Kubernetes", "vocabulary"))
    result = validate_edits(words, edits, TERMS)
    assert [edit.new for edit in result.valid] == ["Kubernetes"]
    assert {dropped.reason for dropped in result.dropped} == {"belongs to a rewriting of 95% of the words around it"}


def test_a_rewrite_of_one_part_does_not_affect_edits_elsewhere() -> None:
    words = spoken(" ".join(["boats"] * 400))
    edits = [Edit(index, index, "boats", "boots", "mishearing") for index in [5, *range(200, 300)]]
    result = validate_edits(words, edits, TERMS)
    assert [edit.first for edit in result.valid] == [5]


def test_a_short_recording_may_consist_of_one_misheard_word() -> None:
    limits = EditLimits(min_changed_words=1)
    assert outcome(Edit(0, 0, "boats.", "boots.", "mishearing"), text="boats.", limits=limits) == "boots."


def test_arabic_and_emoji_are_words_like_others() -> None:
    text = "قال احمد مرحبا 😀 اليوم"
    assert outcome(Edit(2, 2, "مرحبا", "مرحباً", "mishearing"), text=text) == text.replace("مرحبا", "مرحباً")


WORDS = st.lists(st.sampled_from([*TALK.split(), "um,", "30", "grün", "😀", "3.5", "مرحبا"]), min_size=0, max_size=30)
PHRASES = st.lists(st.sampled_from([*TALK.split(), "Kubernetes", "31", "penguin", "…", ""]), max_size=4).map(" ".join)


@st.composite
def talks_and_proposals(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    words = draw(WORDS)
    proposals = []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(st.integers(-3, len(words) + 3))
        last = first + draw(st.integers(-1, 4))
        true_echo = " ".join(words[max(first, 0) : max(last + 1, 0)])
        old = draw(st.one_of(st.just(true_echo), PHRASES, st.text(max_size=8)))
        new = draw(st.one_of(PHRASES, st.text(max_size=8)))
        proposals.append(Edit(first, last, old, new, draw(st.sampled_from([*KINDS, "style"]))))
    return " ".join(words), proposals


@settings(max_examples=300, deadline=None)
@given(talks_and_proposals())
def test_only_valid_edits_are_kept_whatever_is_proposed(case: tuple[str, list[Edit]]) -> None:
    text, proposals = case
    words = spoken(text)
    result = validate_edits(words, proposals, TERMS)
    assert len(result.valid) + len(result.dropped) == len(proposals)
    assert all(before.last < after.first for before, after in zip(result.valid, result.valid[1:], strict=False))
    for edit in result.valid:
        assert 0 <= edit.first <= edit.last < len(words)
        assert edit.old == join_words(words[edit.first : edit.last + 1])
        assert edit.new.isprintable()
        assert edit.kind in KINDS
    limits = EditLimits()
    changed = sum(
        edit.last - edit.first + 1 for edit in result.valid if edit.kind != "vocabulary" and changes_words(edit)
    )
    assert changed <= max(limits.min_changed_words, limits.max_changed_share * len(words))


@settings(max_examples=200, deadline=None)
@given(talks_and_proposals())
def test_validation_is_idempotent(case: tuple[str, list[Edit]]) -> None:
    text, proposals = case
    valid = validate_edits(spoken(text), proposals, TERMS).valid
    revalidated = validate_edits(spoken(text), valid, TERMS)
    assert revalidated.valid == valid
    assert revalidated.dropped == ()


@settings(max_examples=200, deadline=None)
@given(talks_and_proposals())
def test_no_digit_changes_without_the_vocabulary(case: tuple[str, list[Edit]]) -> None:
    text, proposals = case
    words = spoken(text)
    result = validate_edits(words, proposals, ())
    digits = [char for char in join_words(correct_words(words, result.valid)) if char.isdigit()]
    assert digits == [char for char in text if char.isdigit()]


def test_fillers_depend_on_the_language_of_the_word() -> None:
    words = [replace(word, language="de") for word in spoken("wir gehen äh heute Abend noch an den Hafen")]
    filler = Edit(2, 2, "äh", "", "disfluency")
    assert validate_edits(words, [filler], (), language="fr").valid == (filler,)
    assert validate_edits([replace(word, language=None) for word in words], [filler], (), language="fr").valid == ()
