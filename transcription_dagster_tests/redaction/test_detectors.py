"""Which detectors are used, by language, by the settings and by what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.model import Word
from transcription_dagster.redaction import detectors as module
from transcription_dagster.redaction.detectors import Detector, detect, detectors, undetectable
from transcription_dagster.redaction.patterns import Detection
from transcription_dagster.settings import Settings
from transcription_dagster_tests.redaction.spacy_model import PACKAGE, VERSION, installed_package


@pytest.fixture(autouse=True)
def with_presidio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio and an English model that finds people, but no places."""
    monkeypatch.setattr(module, "presidio_installed", lambda: True)
    monkeypatch.setattr(module, "presidio_version", lambda: "2.0")
    labels = {"ner": ["PERSON", "ORG"]}
    installed_package(tmp_path, monkeypatch, {"lang": "en", "version": VERSION, "labels": labels})


def used(language: str, *kinds: str, insights: Any = "local") -> list[str]:
    settings = Settings.model_construct(redact=kinds, insights=insights)
    return [detector.name for detector in detectors(language, settings)]


def test_presidio_is_used_for_languages_with_a_model_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    presidio = f"Presidio 2.0 with {PACKAGE} {VERSION}"
    assert used("en-GB", "name", "email") == ["patterns", presidio]
    assert used("en", "name") == [presidio]
    assert used("xx", "name", "email") == ["patterns"]
    monkeypatch.setattr(module, "presidio_installed", lambda: False)
    assert used("en", "name", "email") == ["patterns"]


def test_comprehend_is_used_if_selected_and_the_language_is_supported() -> None:
    assert used("es-MX", "address", insights="comprehend") == ["Comprehend"]
    assert used("de", "address", insights="comprehend") == []


def test_kinds_that_nothing_detects_are_named() -> None:
    available = detectors("en", Settings.model_construct(redact=("card", "name", "address"), insights="local"))
    assert undetectable(("card", "name", "address"), available) == ["address"]


def test_earlier_detectors_take_precedence_and_none_gets_an_empty_text() -> None:
    def detector(*detections: Detection) -> Detector:
        return Detector("", frozenset(), lambda _words, _kinds: list(detections))

    spoken = [Word(letter, 0.0, 1.0) for letter in "abcdefghi"]
    in_order = [detector(Detection(2, 4, "digits")), detector(Detection(0, 3, "address"), Detection(5, 6, "name"))]
    assert detect(spoken, (), in_order) == [
        Detection(0, 2, "address"),
        Detection(2, 4, "digits"),
        Detection(5, 6, "name"),
    ]
    assert detect([], (), in_order) == []


def test_a_name_found_once_is_found_everywhere() -> None:
    spoken = [Word(text, 0.0, 1.0) for text in ["Ada", "asked", "12", "34", "and", "Ada,", "12", "34", "ada"]]
    once = Detector("", frozenset(), lambda _words, _kinds: [Detection(0, 1, "name"), Detection(2, 4, "digits")])
    assert detect(spoken, (), [once]) == [Detection(0, 1, "name"), Detection(2, 4, "digits"), Detection(5, 6, "name")]
