"""Deliberately misheard names: all of them are corrected, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.language.spelling import affixes
from transcription_dagster.model import SpeechOptions, Term, Transcript, Word
from transcription_dagster.refinement.claude import Claude
from transcription_dagster.refinement.direct import refine_directly
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster_tests.messages_server import MessagesServer, Reply, edits, shown_words
from transcription_dagster_tests.sample_transcripts import transcript
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS

pytestmark = pytest.mark.slow

SENTENCES = (
    "Brooks and Quillfeather walked from the bridge to the library.",
    "Call seven two one nine for help.",
    "On Thursday fifty three people will visit Saint Ostrava.",
    "Quillfeather said the crew has not seen the Marisol, a boat of 12 tons.",
    "The Harbour Trust pays $1,500 to Brooks.",
    "Thank you for listening to Radio Venture.",
    "Is the Marisol near Saint Ostrava's tower?",
)
#: Term, mishearing, and whether the vocabulary lists that mishearing.
MISHEARD = (
    ("Quillfeather", "quill feather", True),
    ("Saint Ostrava", "sane to strava", True),
    ("Marisol", "marry sol", False),
    ("Harbour Trust", "harper trust", False),
    ("Radio Venture", "radio adventure", True),
)
#: A listed mishearing that is also an ordinary phrase is left to Claude, which sees the context.
ORDINARY = {"radio adventure"}
VOCABULARY = [Term(term, (misheard_transcript,) if listed else ()) for term, misheard_transcript, listed in MISHEARD]
SETTINGS = RefinementSettings("claude-test", window_words=120, overlap_words=30)


def correct_text(repetitions: int) -> str:
    return " ".join(SENTENCES * repetitions)


def misheard_transcript(repetitions: int) -> Transcript:
    text = correct_text(repetitions)
    for term, misheard, _ in MISHEARD:
        text = text.replace(term, misheard)
    return transcript(text)


def corrections(words: dict[int, str], terms: Sequence[tuple[str, str]]) -> list[tuple[int, int, str, str, str]]:
    """Return the right edit for every place where a term is still misheard, as one word or as two."""
    proposals = []
    for first in sorted(words):
        for term, misheard in terms:
            last = first + misheard.count(" ")
            displayed = " ".join(words.get(index, "") for index in range(first, last + 1))
            if affixes(displayed)[1] == misheard:
                proposals.append((first, last, displayed, displayed.replace(misheard, term), "vocabulary"))
    return proposals


def proofread(body: dict[str, Any]) -> Reply:
    """Correct every remaining mishearing, and try many edits that must be rejected."""
    words = shown_words(body)
    proposals = corrections(words, [(term, misheard) for term, misheard, _ in MISHEARD])
    for first in sorted(words):
        if words[first] in {"Brooks", "12", "not", "$1,500", "seven"}:
            proposals.append((first, first, words[first], "Brookes", "mishearing"))
        if words[first] == "library.":
            proposals.append((first, first, "library.", "library, which was built in 1904.", "mishearing"))
        if words[first] == "Thank":
            proposals.append(
                (first, first + 3, " ".join(words.get(first + step, "") for step in range(4)), "Thanks", "disfluency")
            )
    return edits(*proposals)


@pytest.mark.parametrize("repetitions", [1, 12])
def test_every_misheard_term_is_corrected_and_nothing_else(
    server: MessagesServer, claude: Claude, repetitions: int
) -> None:
    server.answer = proofread
    spoken = misheard_transcript(repetitions)
    result = refine_directly(spoken, VOCABULARY, claude, SETTINGS)
    assert [word.text for word in result.words] == correct_text(repetitions).split()
    assert {edit.kind for edit in result.edits} == {"vocabulary"}
    terms = {word for term, _, _ in MISHEARD for word in term.split()}
    untouched = {(word.text, word.start, word.end) for word in spoken.words}
    for word in result.words:
        name = affixes(word.text)[1].removesuffix("'s")
        assert name in terms or (word.text, word.start, word.end) in untouched


def test_without_claude_the_listed_mishearings_are_corrected_and_nothing_else() -> None:
    expected = correct_text(3)
    for term, misheard, listed in MISHEARD:
        if not listed or misheard in ORDINARY:
            expected = expected.replace(term, misheard)
    assert [
        word.text for word in refine_directly(misheard_transcript(3), VOCABULARY, None, SETTINGS).words
    ] == expected.split()


#: Term, what the checkpoint transcribes instead, and whether that is unambiguous: the others are words and names.
SPELLED_OTHERWISE = (
    ("Brookes", "Brooks", False),
    ("Wall Kerr", "Walker", False),
    ("Ellice", "Ellis", False),
    ("Blackletter", "black letter", False),
    ("Mew Seum", "museum", False),
    ("Karter", "Carter", False),
)
DEMO_VOCABULARY = [Term(term, (misheard_transcript,)) for term, misheard_transcript, _ in SPELLED_OTHERWISE]


def spelled(text: str, *, certain_only: bool) -> str:
    for term, misheard_transcript, certain in SPELLED_OTHERWISE:
        if certain or not certain_only:
            text = re.sub(rf"\b{misheard_transcript}\b", term, text)
    return text


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> list[Transcript]:
    folder = tmp_path_factory.mktemp("demo")
    engine = SpeechEngine(threads=1, models_folder=folder)
    options = SpeechOptions(
        model=str(CHECKPOINT), language="en", temperatures=(0.0,), condition_on_previous_text=False
    )  # fmt: skip
    spoken = []
    for source in DEMO_RECORDINGS:
        flac = folder / f"{source.stem}.flac"
        normalise(source, flac, max_seconds=600)
        spoken.append(
            engine.transcribe(
                engine.prepare(flac), options, recording=source.stem, on_progress=lambda _: None,
                should_stop=lambda: False,
            )
        )  # fmt: skip
    return spoken


def test_the_demo_contains_every_misheard_term(demo: list[Transcript]) -> None:
    everything = " ".join(word.text for spoken in demo for word in spoken.words)
    assert len(demo) == 8
    assert all(re.search(rf"\b{misheard_transcript}\b", everything) for _, misheard_transcript, _ in SPELLED_OTHERWISE)


def test_in_the_demo_every_misheard_term_is_corrected_and_nothing_else(
    demo: list[Transcript], server: MessagesServer, claude: Claude
) -> None:
    terms = [(term, misheard_transcript) for term, misheard_transcript, _ in SPELLED_OTHERWISE]
    server.answer = lambda body: edits(*corrections(shown_words(body), terms))
    check_demo(
        demo, lambda spoken: refine_directly(spoken, DEMO_VOCABULARY, claude, SETTINGS).words, certain_only=False
    )


def test_in_the_demo_only_unambiguous_variants_are_corrected_without_claude(demo: list[Transcript]) -> None:
    check_demo(demo, lambda spoken: refine_directly(spoken, DEMO_VOCABULARY, None, SETTINGS).words, certain_only=True)


def check_demo(demo: list[Transcript], refined: Callable[[Transcript], Sequence[Word]], *, certain_only: bool) -> None:
    """Check that the words are the intended ones, and that correct words kept their times and confidences."""
    for spoken in demo:
        words = refined(spoken)
        assert " ".join(word.text for word in words) == spelled(
            " ".join(word.text for word in spoken.words), certain_only=certain_only
        )
        terms = {part for term, _, _ in SPELLED_OTHERWISE for part in term.split()}
        assert {word for word in words if affixes(word.text)[1] not in terms} <= set(spoken.words)
        assert (words[0].start, words[-1].end) == (spoken.words[0].start, spoken.words[-1].end)
