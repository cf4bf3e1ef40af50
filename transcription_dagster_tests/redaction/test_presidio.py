"""Personal data found by the real Presidio, with a spaCy model that is made here."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import Word
from transcription_dagster.redaction.presidio import find_by_presidio, installed_model
from transcription_dagster_tests.redaction.spacy_model import PACKAGE, VERSION, install_names, installed_package

pytest.importorskip("presidio_analyzer", reason="Presidio, the extra `presidio`, is not installed")


def words(text: str) -> list[Word]:
    return [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]


def found(text: str, *kinds: str) -> list[tuple[str, str]]:
    model = installed_model("en")
    assert model is not None
    spoken = words(text)
    return [
        (detection.kind, " ".join(word.text for word in spoken[detection.first : detection.stop]))
        for detection in find_by_presidio(spoken, kinds, model)
    ]


def meta(package: str, labels: dict[str, list[str]], score: float) -> dict[str, object]:
    lang, _, name = package.partition("_")
    return {"lang": lang, "name": name, "version": VERSION, "labels": labels, "performance": {"ents_f": score}}


@pytest.mark.slow
def test_names_places_and_numbers_are_found_at_their_words_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_names(tmp_path, monkeypatch)

    def unreachable(*_: Any) -> None:
        raise AssertionError("it looks for a server")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    text = (
        "I am Ada Brooks, of Acme, near (Pier Road) in Brighton. My phone number is 020 7946 0958, my social security "
        "number 536 22 8726, my card 4111 1111 1111 1111, my account GB82 WEST 1234 5698 7654 32."
    )
    by_model = [("name", "Ada Brooks,"), ("address", "(Pier Road)"), ("address", "Brighton.")]
    assert found(text, "name", "address") == by_model
    assert found(text, "name", "address", "phone", "ssn", "card", "iban", "email", "digits") == [
        *by_model,
        ("phone", "020 7946 0958,"),
        ("ssn", "536 22 8726,"),
        ("card", "4111 1111 1111 1111,"),
        ("iban", "GB82 WEST 1234 5698 7654 32."),
    ]


@pytest.mark.slow
def test_numbers_that_are_only_possibly_of_a_kind_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_names(tmp_path, monkeypatch)
    assert found("We sold 536228726 bolts and 4111 1111 1111 1112 nuts.", "ssn", "card") == []


@pytest.mark.slow
def test_a_long_text_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_names(tmp_path, monkeypatch)
    assert found("We talk and talk. " * 3_000 + "Ada Brooks came.", "name") == [("name", "Ada Brooks")]


@pytest.mark.slow
def test_a_model_that_does_not_load_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_package(tmp_path, monkeypatch, meta(PACKAGE, {"ner": ["PERSON"]}, 0.5))
    with pytest.raises(InvalidSetting, match=f"{PACKAGE} {VERSION} does not load: .+ Install one that was made for"):
        found("Ada Brooks came.", "name")


def test_the_most_accurate_installed_model_of_the_language_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, labels, score in (
        ("xx_news_sm", ["PER", "LOC", "ORG"], 0.8),
        ("xx_news_lg", ["PER", "MISC"], 0.9),
        ("yy_news_lg", ["PERSON"], 0.95),
    ):
        meta_of = meta(package, {"ner": labels, "parser": ["LOC"]}, score)
        installed_package(tmp_path, monkeypatch, meta_of, package)
    model = installed_model("xx")
    assert model is not None
    assert (model.package, model.version, model.language) == ("xx_news_lg", VERSION, "xx")
    assert model.kinds == {"name", "card", "iban", "phone", "ssn"}
    assert installed_model("zz") is None
