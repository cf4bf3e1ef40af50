"""The prompt's description of the words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transcription_dagster.errors import UnusableReply
from transcription_dagster.model import Edit, Word
from transcription_dagster.refinement.messages import MessageReply, TokenUsage
from transcription_dagster.refinement.prompt import Answer, make_request, read_reply
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.refinement.text_windows import TextWindow
from transcription_dagster_tests.captions.speech import say


def first_line(words: list[Word], window: TextWindow) -> str:
    return make_request(words, window, (), "en", RefinementSettings("some-model")).user.splitlines()[0]


def test_a_window_in_one_language_names_it() -> None:
    words = say("the museum opens at nine")
    assert first_line(words, TextWindow(0, 5)) == "Language: en"
    assert first_line([replace(word, language="de") for word in words], TextWindow(0, 5)) == "Language: de"


def test_a_window_in_several_languages_says_which_words_are_in_which() -> None:
    words = say("the museum opens guten Morgen zusammen")
    mixed = [replace(word, language="en" if number < 3 else "de") for number, word in enumerate(words)]
    assert first_line(mixed, TextWindow(0, 6)) == "Languages, by the indices of their words: en (0 to 2), de (3 to 5)"
    assert first_line(mixed, TextWindow(1, 6)) == "Languages, by the indices of their words: en (1 to 2), de (3 to 5)"
    assert first_line(mixed, TextWindow(3, 6)) == "Language: de"


@pytest.mark.parametrize(("doubtful", "listed"), [(0, 0), (100, 100), (101, 100)])
def test_words_of_low_confidence_are_listed_up_to_a_limit(doubtful: int, listed: int) -> None:
    words = [Word("word", 0.0, 0.0, 0.49 if number < doubtful else 0.5) for number in range(110)]
    last = make_request(words, TextWindow(0, 110), (), "en", RefinementSettings("some-model")).user.splitlines()[-1]
    expected = f"Heard with little confidence: {', '.join(map(str, range(listed)))}"
    assert last == (expected if listed else "</transcript>")


def reply(text: str, stop_reason: str = "end_turn") -> MessageReply:
    return MessageReply(text, stop_reason, TokenUsage(), "some-model")


EDIT = '{"first": 1, "last": 2, "old": "a b", "new": "c", "kind": "mishearing"}'
WHOLE = f'{{"edits": [{EDIT}], "topics": [3]}}'


def test_a_reply_is_read() -> None:
    assert read_reply(reply(WHOLE)) == Answer((Edit(1, 2, "a b", "c", "mishearing"),), (3,))


@pytest.mark.parametrize(
    ("unusable", "reason"),
    [
        (reply(WHOLE, "refusal"), "Claude refused to answer"),
        (reply(WHOLE, "max_tokens"), r"was cut off \(max_tokens\)"),
        (reply(WHOLE, "model_context_window_exceeded"), r"was cut off \(model_context_window_exceeded\)"),
        (reply("["), "it is not JSON"),
        (reply("[" * 100_000), "it is not JSON"),
        (reply("[]"), "it is not an object"),
        (reply(f'{{"edits": [{EDIT}]}}'), "it has no lists `edits` and `topics`"),
        (reply('{"topics": []}'), "it has no lists `edits` and `topics`"),
        (reply('{"edits": [7], "topics": []}'), "an edit is not an object"),
        (reply(WHOLE.replace('"kind"', '"sort"')), "an edit lacks `old`, `new` or `kind`"),
        (reply(WHOLE.replace("3", "true")), "an index is not a whole number"),
        (reply(WHOLE.replace('"first": 1', '"first": "1"')), "an index is not a whole number"),
    ],
)
def test_an_unusable_reply_is_refused_as_a_whole_with_the_reason(unusable: MessageReply, reason: str) -> None:
    with pytest.raises(UnusableReply, match=f"{reason}$"):
        read_reply(unusable)
