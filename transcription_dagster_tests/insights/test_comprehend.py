"""Comprehend, simulated by a local server and called with the real boto3: moto lacks the batch operations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.errors import ServiceRefused, ServiceUnavailable
from transcription_dagster.insights.comprehend import (
    MAX_BYTES,
    ComprehendAnalyser,
    PieceResult,
    merge_entities,
    merge_languages,
    merge_sentiments,
    supported_language,
)
from transcription_dagster.insights.findings import Insights, Language
from transcription_dagster.language.sentences import cut_text
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer, web_server

pytestmark = pytest.mark.slow

NAME = re.compile(r"Ada|Zoë")


def analysed(operation: str, text: str) -> dict[str, Any]:
    """Return the findings: the names Ada and Zoë, the word ferry, and a sentiment by exclamation marks."""
    places = [{"BeginOffset": m.start(), "EndOffset": m.end(), "Text": m[0], "Score": 0.9} for m in NAME.finditer(text)]
    mood = 1.0 if "!" in text else 0.0
    return {
        "BatchDetectDominantLanguage": {"Languages": [{"LanguageCode": "en", "Score": 0.75}]},
        "BatchDetectEntities": {"Entities": [place | {"Type": "PERSON"} for place in places]},
        "BatchDetectKeyPhrases": {"KeyPhrases": places},
        "BatchDetectSentiment": {
            "Sentiment": "POSITIVE" if mood else "NEUTRAL",
            "SentimentScore": {"Positive": mood, "Negative": 0.0, "Neutral": 1.0 - mood, "Mixed": 0.0},
        },
    }[operation]


def asked(request: Request) -> tuple[str, dict[str, Any]]:
    return request.headers["x-amz-target"].rpartition(".")[2], json.loads(request.body)


def comprehend(request: Request, failing: Callable[[str], bool] = lambda text: False) -> Reply:
    operation, body = asked(request)
    texts = body["TextList"]
    assert len(texts) <= 25
    assert all(0 < len(text.encode()) <= 5000 for text in texts)
    results = [{"Index": i} | analysed(operation, t) for i, t in enumerate(texts) if not failing(t)]
    error = {"ErrorCode": "INTERNAL_SERVER_ERROR", "ErrorMessage": "try again"}
    errors = [{"Index": i} | error for i, t in enumerate(texts) if failing(t)]
    return answer({"ResultList": results, "ErrorList": errors})


def answer(document: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())


@pytest.fixture
def server(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server(comprehend) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


def operations(server: WebServer) -> Sequence[str]:
    return [asked(request)[0] for request in server.requests]


LONG = "".join(f"Sentence {number} is about Ada and also about Zoë, who took the ferry. " for number in range(3000))


def test_every_name_in_a_long_text_is_found_at_its_place(server: WebServer) -> None:
    insights = ComprehendAnalyser().analyse(LONG, "en")
    assert [(e.begin, e.end, e.text) for e in insights.entities] == [
        (m.start(), m.end(), m[0]) for m in NAME.finditer(LONG)
    ]
    assert [(p.begin, p.end) for p in insights.key_phrases] == [(e.begin, e.end) for e in insights.entities]
    assert {entity.type for entity in insights.entities} == {"PERSON"}
    assert [language.code for language in insights.languages] == ["en"]
    assert insights.languages[0].score == pytest.approx(0.75)
    assert insights.sentiment is not None
    assert insights.sentiment.label == "NEUTRAL"
    assert (insights.analyser, insights.notes) == ("comprehend", ())
    batches = -(-len(cut_text(LONG, MAX_BYTES)) // 25)
    assert batches > 1
    assert len(server.requests) == 4 * batches


def test_the_detected_language_is_used_in_requests(server: WebServer) -> None:
    ComprehendAnalyser().analyse("Ada took the ferry.", "fr")
    codes = [asked(request)[1].get("LanguageCode") for request in server.requests]
    assert codes == [None, "en", "en", "en"]


def test_without_a_detected_language_the_speechs_is_used(server: WebServer) -> None:
    def answered(request: Request) -> Reply:
        if asked(request)[0] == "BatchDetectDominantLanguage":
            return answer({"ResultList": [{"Index": 0, "Languages": []}], "ErrorList": []})
        return comprehend(request)

    server.answer = answered
    insights = ComprehendAnalyser().analyse("Ada.", "de")
    assert insights.languages == ()
    assert len(insights.entities) == 1
    assert {asked(request)[1].get("LanguageCode") for request in server.requests} == {None, "de"}


def test_an_unsupported_language_is_reported_without_further_requests(server: WebServer) -> None:
    languages = [{"LanguageCode": "cy", "Score": 0.9}]
    server.answer = lambda request: answer({"ResultList": [{"Index": 0, "Languages": languages}], "ErrorList": []})
    insights = ComprehendAnalyser().analyse("Mae Ada yn mynd.", "cy")
    assert insights.languages == (Language("cy", 0.9),)
    assert insights.entities == ()
    assert insights.sentiment is None
    assert insights.notes == ("Comprehend does not find entities, key phrases and sentiment in 'cy'.",)
    assert operations(server) == ["BatchDetectDominantLanguage"]


def test_a_failed_piece_is_retried_alone(server: WebServer) -> None:
    failures = {"BatchDetectEntities": 1}

    def answered(request: Request) -> Reply:
        operation = asked(request)[0]
        fails = failures.pop(operation, 0)
        return comprehend(request, lambda text: bool(fails) and "Sentence 100 " in text)

    server.answer = answered
    text = LONG[:30_000]
    insights = ComprehendAnalyser().analyse(text, "en")
    assert [entity.begin for entity in insights.entities] == [m.start() for m in NAME.finditer(text)]
    assert insights.notes == ()
    retried = [body["TextList"] for name, body in map(asked, server.requests) if name == "BatchDetectEntities"]
    assert [len(texts) for texts in retried] == [len(cut_text(text, MAX_BYTES)), 1]


def test_a_piece_that_fails_twice_is_reported_and_the_others_are_kept(server: WebServer) -> None:
    server.answer = lambda request: comprehend(request, lambda text: "Sentence 100 " in text)
    text = LONG[:30_000]
    lost = next(piece for piece in cut_text(text, MAX_BYTES) if "Sentence 100 " in piece.text)
    insights = ComprehendAnalyser().analyse(text, "en")
    assert len(insights.notes) == 4
    assert insights.notes[1] == (
        f"detect_entities failed for the characters {lost.start} to {lost.end}: try again (INTERNAL_SERVER_ERROR)"
    )
    expected = [m.start() for m in NAME.finditer(text) if not lost.start <= m.start() < lost.end]
    assert [entity.begin for entity in insights.entities] == expected


def test_without_any_analysed_piece_there_is_no_sentiment(server: WebServer) -> None:
    server.answer = lambda request: comprehend(request, lambda text: True)
    insights = ComprehendAnalyser().analyse("Ada took the ferry!", "en")
    assert insights.sentiment is None
    assert insights.languages == ()
    assert len(insights.notes) == 4


def test_throttling_is_retried(server: WebServer) -> None:
    replies = iter([answer({"__type": "ThrottlingException", "message": "slow down"}, 400)])
    server.answer = lambda request: next(replies, None) or comprehend(request)
    assert len(ComprehendAnalyser().analyse("Ada!", "en").entities) == 1


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("AccessDeniedException", 400, ServiceRefused),
        ("TextSizeLimitExceededException", 400, ServiceRefused),
        ("InternalServerException", 500, ServiceUnavailable),
        ("ThrottlingException", 400, ServiceUnavailable),
    ],
)
def test_a_failing_service_gives_the_reason(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, kind: str, status: int, error: type[Exception]
) -> None:
    monkeypatch.setattr("transcription_dagster.aws._ATTEMPTS", {"adaptive": 1})
    server.answer = lambda request: answer({"__type": kind, "message": "no"}, status)
    with pytest.raises(error, match=rf"Could not detect dominant language with Comprehend: no \({kind}\)"):
        ComprehendAnalyser().analyse("Ada!", "en")


@pytest.mark.parametrize(
    ("code", "name"),
    [("en", "en"), ("pt-BR", "pt"), ("zh", "zh"), ("zh-TW", "zh-TW"), ("zh-CN", "zh"), ("no", None), ("", None)],
)
def test_languages_are_mapped_to_comprehends_codes(code: str, name: str | None) -> None:
    assert supported_language(code) == name


TEXTS = st.text(st.sampled_from("ab. \n。é😀!") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@settings(deadline=None)
@given(TEXTS, st.integers(4, 40))
def test_offsets_of_pieces_become_offsets_of_the_whole(text: str, max_bytes: int) -> None:
    results = [
        PieceResult(
            piece,
            {
                "Entities": [
                    {"Text": letter, "Type": "OTHER", "Score": 1.0, "BeginOffset": at, "EndOffset": at + 1}
                    for at, letter in enumerate(piece.text)
                ]
            },
        )
        for piece in cut_text(text, max_bytes)
    ]
    entities = merge_entities(results)
    assert [(entity.begin, entity.end) for entity in entities] == [(at, at + 1) for at in range(len(text))]
    assert all(text[entity.begin : entity.end] == entity.text for entity in entities)


MOODS = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(lambda four: [value / sum(four) for value in four])


@settings(deadline=None)
@given(TEXTS, st.integers(4, 40), st.data())
def test_the_overall_sentiment_is_between_those_of_the_pieces(text: str, max_bytes: int, data: st.DataObject) -> None:
    names = ("Positive", "Negative", "Neutral", "Mixed")
    results = [
        PieceResult(piece, {"SentimentScore": dict(zip(names, data.draw(MOODS), strict=True))})
        for piece in cut_text(text, max_bytes)
    ]
    merged = merge_sentiments(results)
    assert merged is not None
    means = [merged.positive, merged.negative, merged.neutral, merged.mixed]
    assert sum(means) == pytest.approx(1.0)
    for name, mean in zip(names, means, strict=True):
        scores = [result.response["SentimentScore"][name] for result in results]
        assert min(scores) - 1e-9 <= mean <= max(scores) + 1e-9
    assert max(means) == means[names.index(merged.label.capitalize())]


def test_languages_are_shares_of_the_whole() -> None:
    long, short = cut_text("aaaaaaaa b ", 9)
    english, french = [{"LanguageCode": "en", "Score": 1.0}], [{"LanguageCode": "fr", "Score": 1.0}]
    merged = merge_languages([PieceResult(short, {"Languages": french}), PieceResult(long, {"Languages": english})])
    assert [language.code for language in merged] == ["en", "fr"]
    assert sum(language.score or 0 for language in merged) == pytest.approx(1.0)
    assert merge_languages([]) == ()


def test_comprehends_insights_round_trip_as_json(server: WebServer) -> None:
    insights = ComprehendAnalyser().analyse("Ada took the ferry!", "en")
    assert Insights.from_json(json.loads(json.dumps(insights.to_json()))) == insights
