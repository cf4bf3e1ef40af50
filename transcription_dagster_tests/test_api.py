"""The Python API: its examples, its inputs, and what importing it costs."""

from __future__ import annotations

import doctest
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import transcription_dagster
from transcription_dagster import api
from transcription_dagster.api import (
    CaptionLimits,
    SpeechOptions,
    Term,
    Transcript,
    apply_corrections,
    format_transcript,
    refine,
    transcribe,
)
from transcription_dagster.errors import InvalidSetting, SourceNotFound
from transcription_dagster.settings import Settings
from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.test_definitions import HEAVY
from transcription_dagster_tests.whisper.conftest import BULLETIN, DEMO

UUID = "919f49d0-ef35-5e93-b564-e948b9d75f83"
SRT = "1\n00:00:01,000 --> 00:00:03,000\nWelcome to cooper netties.\n"


@pytest.fixture
def talk() -> Transcript:
    return Transcript("", spoken("We run cooper netties here. It works."), duration=4.0)


def test_the_docstring_examples_give_the_documented_results() -> None:
    result = doctest.testmod(api)
    assert result.attempted >= 8
    assert result.failed == 0


def test_the_package_offers_exactly_the_api() -> None:
    assert set(transcription_dagster.__all__) == {*api.__all__, "__version__"}
    assert all(getattr(transcription_dagster, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = transcription_dagster.nothing


def test_importing_the_api_loads_nothing_heavy() -> None:
    program = f"""
import sys
from transcription_dagster import transcribe, format_transcript, refine, apply_corrections
print(" ".join(sorted(set({(*HEAVY, "dagster", "procrastinate")!r}) & set(sys.modules))))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_defaults_are_those_of_the_settings() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(transcribe).parameters.items()}
    fields = Settings.model_fields
    assert defaults["model"] == fields["model"].default
    assert defaults["max_hours"] == fields["max_recording_hours"].default


@pytest.mark.parametrize("kind", ["srt", "vtt", "txt", "json"])
def test_a_transcript_is_accepted_as_value_content_and_file(
    kind: api.TranscriptFormat, talk: Transcript, tmp_path: Path
):
    document = format_transcript(talk, "json")
    path = tmp_path / "talk.json"
    path.write_text(document, encoding="utf-8")
    texts = {format_transcript(accepted, kind) for accepted in (talk, document, document.encode(), path)}
    assert texts == {format_transcript(talk, kind)}
    assert "cooper" in texts.pop()


def test_an_unknown_format_is_refused_with_the_known_ones(talk: Transcript) -> None:
    with pytest.raises(InvalidSetting, match="'doc' is not a format: use srt, vtt, txt, json"):
        format_transcript(talk, "doc")  # type: ignore[arg-type]  # what callers without a type checker write


def test_a_vocabulary_is_read_from_a_file(talk: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "terms.yaml"
    path.write_text("- term: Kubernetes\n  variants: [cooper netties]\n", encoding="utf-8")
    assert refine(talk, path, claude=False).text == "We run Kubernetes here. It works.\n"


def test_captions_are_read_from_files_and_written_in_the_other_format(tmp_path: Path) -> None:
    (tmp_path / "captions.srt").write_text(SRT, encoding="utf-16")
    (tmp_path / "corrected.txt").write_text("Welcome to Kubernetes.", encoding="utf-8")
    corrected = apply_corrections(tmp_path / "captions.srt", tmp_path / "corrected.txt", to="vtt")
    assert corrected == "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nWelcome to Kubernetes.\n"


def test_names_of_speakers_go_to_captions_only_where_these_have_names() -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\n{}Hello there.\n\n2\n00:00:03,000 --> 00:00:04,000\n{}How are yuo?\n"
    for text in ("ANN: Hello there.\nBOB: How are you?\n", "ANN: Hello there.\r\n\r\nBOB: How are you?\r\n"):
        for names in (("", ""), ("ANN: ", "BOB: ")):
            assert apply_corrections(srt.format(*names), text) == srt.format(*names).replace("yuo", "you")


@pytest.mark.slow
def test_a_file_is_transcribed(tmp_path: Path) -> None:
    shares: list[float] = []
    transcript = transcribe(
        DEMO / "recordings" / f"{UUID}.wav",
        model=BULLETIN,
        device="cpu",
        models_folder=tmp_path,
        on_progress=shares.append,
    )
    assert transcript.recording == UUID
    assert format_transcript(transcript, "txt").startswith("Call five three one four for help.")
    assert shares[-1] == 1.0


@pytest.mark.slow
def test_remarks_are_warnings_unless_handled(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes((DEMO / "recordings" / f"{UUID}.wav").read_bytes()[:150_000])
    with pytest.warns(UserWarning, match="truncated"):
        transcribe(broken, model=BULLETIN, device="cpu", models_folder=tmp_path)
    remarks: list[str] = []
    transcribe(broken, model=BULLETIN, device="cpu", models_folder=tmp_path, on_warning=remarks.append)
    assert "truncated" in remarks[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: format_transcript({}), "a transcript is .* not dict"),  # type: ignore[arg-type]
        (lambda: refine(None, claude=False), "a transcript is .* not NoneType"),  # type: ignore[arg-type]
        (lambda: refine(Transcript("", ()), ["Ann"], claude=False), "sequence of Term, not str"),  # type: ignore[list-item]
        (lambda: refine(Transcript("", ()), "v.yaml", claude=False), "sequence of Term"),  # type: ignore[arg-type]
        (
            lambda: refine(Transcript("", ()), [Term("Ann", "an")], claude=False),  # type: ignore[arg-type]
            "variants of 'Ann' are a tuple of texts, not str",
        ),
        (lambda: apply_corrections(SRT.encode(), "x"), "not bytes"),  # type: ignore[arg-type]
        (lambda: apply_corrections(SRT, None), "not NoneType"),  # type: ignore[arg-type]
    ],
)
def test_an_argument_of_the_wrong_type_is_reported(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_invalid_arguments_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    (source := tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(InvalidSetting, match="'ass' is not a format of captions"):
        apply_corrections(SRT, "Welcome", to="ass")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="use auto, mix, split"):
        transcribe(source, channels="left")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="'klingon' is not a language"):
        transcribe(source, options=SpeechOptions("tiny", language="klingon"))
    for values in ({"beam_size": 0}, {"temperatures": ()}, {"temperatures": (0.0, -0.2)}):
        with pytest.raises(InvalidSetting, match=r"use (1|one) or more"):
            SpeechOptions("tiny", **values)  # type: ignore[arg-type]
    with pytest.raises(SourceNotFound, match=r"nope\.wav does not exist"):
        transcribe(tmp_path / "nope.wav", models_folder=tmp_path)
    for limits in ({"frame_rate": math.nan}, {"max_lines": "2"}, {"max_lines": 2.5}, {"max_seconds": True}):
        with pytest.raises(InvalidSetting, match="must be a number such as"):
            CaptionLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"nowhere\.wav"):
        transcribe(tmp_path / "nowhere.wav", model=BULLETIN, device="cpu", models_folder=tmp_path)
