"""Each speaker's share of a conversation."""

from __future__ import annotations

import json

from transcription_dagster.insights.findings import Insights, SpeakerShare, speaker_shares
from transcription_dagster.model import Word


def said(*turns: tuple[str | None, str]) -> list[Word]:
    texts = [(text, speaker) for speaker, turn in turns for text in turn.split()]
    return [Word(text, float(number), number + 1.0, speaker=speaker) for number, (text, speaker) in enumerate(texts)]


def test_share_turns_and_questions_of_each_speaker_most_time_first() -> None:
    words = said(("spk_0", "Hello? Who is it?"), ("Ben", "It is me. Are you there, Ada?"), ("spk_0", "Yes."))
    assert speaker_shares(words, "en") == (
        SpeakerShare("Ben", 7.0, 0.5833, 7, 1, 1),
        SpeakerShare("Speaker 1", 5.0, 0.4167, 5, 2, 2),
    )


def test_uncertain_words_count_to_the_surrounding_turn() -> None:
    (share,) = speaker_shares(said(("Ben", "It"), (None, "is"), ("Ben", "me.")), "en")
    assert (share.words, share.turns) == (3, 1)


def test_without_speakers_there_are_no_shares() -> None:
    assert speaker_shares(said((None, "Hello?")), "en") == ()
    assert speaker_shares([], "en") == ()


def test_a_semicolon_is_a_question_mark_only_in_greek() -> None:
    words = said(("Ada", "Τι κάνεις;"))
    assert [share.questions for language in ("el", "en") for share in speaker_shares(words, language)] == [1, 0]


def test_shares_are_read_back_and_older_documents_have_none() -> None:
    insights = Insights("local", speakers=speaker_shares(said(("Ada", "Hello?")), "en"))
    document = json.loads(json.dumps(insights.to_json()))
    assert Insights.from_json(document) == insights
    del document["speakers"]
    assert Insights.from_json(document).speakers == ()
