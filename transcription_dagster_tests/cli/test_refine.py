"""`transcription refine` and `transcription vocabulary check`, with a local server for the Messages API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transcription_dagster.captions.subtitles import read_srt, read_vtt
from transcription_dagster.cli.main import transcription
from transcription_dagster.errors import InvalidTranscript, InvalidVocabulary
from transcription_dagster.model import Segment, Transcript
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster_tests.messages_server import MessagesServer, edits, messages_server, shown_words
from transcription_dagster_tests.sample_transcripts import spoken

pytestmark = pytest.mark.slow

VOCABULARY = "- term: Kubernetes\n  variants: [cooper netties]\n- Grafana\n"
TALK = "We run cooper netties here. It shows in grifana now."
REFINED = "We run Kubernetes here. It shows in Grafana now."

Command = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs the program in a folder with a transcript and a vocabulary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = spoken(TALK)
    segments = (Segment(0.0, 2.4, 0, 5), Segment(2.5, 5.0, 5, len(words)))
    document = write_transcript(Transcript("", words, segments, duration=5.0))
    (tmp_path / "talk.json").write_text(document)
    (tmp_path / "terms.yaml").write_text(VOCABULARY)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments, **options: CliRunner().invoke(transcription, arguments, **options)


@pytest.fixture
def server(run: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with messages_server(monkeypatch) as running:
        running.answer = lambda body: edits(
            *(
                (index, index, "grifana", "Grafana", "vocabulary")
                for index, word in shown_words(body).items()
                if word == "grifana"
            )
        )
        yield running


def test_the_text_goes_to_standard_output_and_the_report_to_standard_error(
    run: Command, server: MessagesServer
) -> None:
    result = run("refine", "talk.json", "--vocabulary", "terms.yaml")
    assert result.exit_code == 0
    assert result.stdout == f"{REFINED}\n"
    assert result.stderr.startswith("refined: 2 edits (2 vocabulary), 0 dropped, by claude-sonnet-5-5 for $0.00")


def test_a_transcript_comes_from_standard_input_too(run: Command, server: MessagesServer, tmp_path: Path) -> None:
    transcript_bytes = (tmp_path / "talk.json").read_bytes()
    assert run("refine", "-", "--vocabulary", "terms.yaml", input=transcript_bytes).stdout == f"{REFINED}\n"


def test_captions_keep_their_times(run: Command, server: MessagesServer, tmp_path: Path) -> None:
    before = run("format", "talk.json", "--to", "srt").stdout
    after = run("refine", "talk.json", "--vocabulary", "terms.yaml", "--to", "srt").stdout
    times = [(cue.start_ms, cue.end_ms) for cue in read_srt(before)]
    assert [(cue.start_ms, cue.end_ms) for cue in read_srt(after)] == times
    run("refine", "talk.json", "--vocabulary", "terms.yaml", "-o", "out.vtt")
    assert [(cue.start_ms, cue.end_ms) for cue in read_vtt((tmp_path / "out.vtt").read_text())] == times


def test_json_keeps_words_times_and_segments(run: Command, server: MessagesServer, tmp_path: Path) -> None:
    run("refine", "talk.json", "--vocabulary", "terms.yaml", "-o", "out.json")
    transcript = read_transcript((tmp_path / "out.json").read_text(), recording="")
    assert " ".join(word.text for word in transcript.words) == REFINED
    assert [(segment.first, segment.stop) for segment in transcript.segments] == [(0, 4), (4, 9)]


def test_the_vocabulary_of_the_settings_is_used(
    run: Command, server: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_VOCABULARY", "terms.yaml")
    assert run("refine", "talk.json").stdout == f"{REFINED}\n"


def test_dropped_edits_are_reported(run: Command, server: MessagesServer) -> None:
    server.answer = lambda body: edits((1, 1, "run", "walk", "mishearing"))
    result = run("refine", "talk.json")
    assert result.stdout == f"{TALK}\n"
    assert "dropped: 'run' -> 'walk': does not sound like" in result.stderr


def test_without_a_key_only_the_vocabulary_is_applied_and_this_is_reported(run: Command) -> None:
    result = run("refine", "talk.json", "--vocabulary", "terms.yaml")
    assert result.exit_code == 0
    assert result.stdout == "We run Kubernetes here. It shows in grifana now.\n"
    assert "vocabulary-only" in result.stderr
    assert "no credentials" in result.stderr


def test_with_refinement_off_nothing_is_sent(
    run: Command, server: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REFINEMENT", "off")
    result = run("refine", "talk.json", "--vocabulary", "terms.yaml")
    assert "Kubernetes" in result.stdout
    assert "switched off" in result.stderr
    assert not server.requests


def test_a_transcript_without_words_stays_empty(run: Command, server: MessagesServer, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text(write_transcript(Transcript("", ())))
    for kind in ("txt", "srt", "vtt", "json"):
        assert run("refine", "empty.json", "--to", kind).exit_code == 0
    assert not server.requests


@pytest.mark.parametrize("document", ["", "[]", json.dumps({"results": 1})])
def test_what_is_no_transcript_is_refused(run: Command, document: str) -> None:
    assert isinstance(run("refine", "-", input=document).exception, InvalidTranscript)


def test_a_sound_vocabulary_passes(run: Command) -> None:
    result = run("vocabulary", "check", "terms.yaml")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "2 terms, 1 variants, 0 problems\n"


def test_problems_of_a_vocabulary_are_listed(run: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("term,variants\nTú,to\ntú,\n")
    result = run("vocabulary", "check", "bad.csv")
    assert result.exit_code == 1
    assert "'Tú' is listed 2 times" in result.stdout
    assert "common word" in result.stdout


def test_a_vocabulary_that_cannot_be_read_fails(run: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("- [")
    assert isinstance(run("vocabulary", "check", "bad.yaml").exception, InvalidVocabulary)
    assert run("vocabulary", "check", "missing.yaml").exit_code == 2
