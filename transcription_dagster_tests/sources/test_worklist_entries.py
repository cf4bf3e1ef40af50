"""Valid and invalid entries of a worklist, and the error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.errors import InvalidWorklist
from transcription_dagster.model import Term
from transcription_dagster.sources.worklists import load, parse
from transcription_dagster_tests.sources.worklist_files import JSON, ONE, TWO, only, problems


def test_an_entry_only_requires_a_uuid(folder: Path) -> None:
    entry = only(folder)
    assert (entry.position, entry.uuid, entry.source, entry.status) == (1, ONE, None, "waiting")


def test_all_fields_of_an_entry_are_read(folder: Path) -> None:
    entry = only(
        folder,
        source="a.wav",
        title="Morning",
        language="en",
        vocabulary=["Ellis", {"term": "UN", "variants": ["you"]}],
    )
    assert entry.source == (folder / "a.wav").as_uri()
    assert (entry.title, entry.language) == ("Morning", "en")
    assert entry.vocabulary == (Term("Ellis"), Term("UN", variants=("you",)))


def test_an_entry_lists_candidate_languages(folder: Path) -> None:
    assert only(folder, languages=["German", "pt-BR", "de"]).languages == ("de", "pt")
    assert only(folder, languages=None, language="en").languages == ()
    assert only(folder, languages=["de", "en"], language=None).languages == ("de", "en")


def test_null_equals_a_missing_field(folder: Path) -> None:
    entry = only(folder, source=None, title=None, language=None, vocabulary=None, status=None)
    assert (entry.source, entry.title, entry.vocabulary, entry.status) == (None, None, (), "waiting")


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/folder/key.wav",
        "s3://bucket/a key.wav",
        "https://media.example.org/1.mp3?version=2",
        "http://media.local/1.mp3",
    ],
)
def test_a_url_is_kept_unchanged(folder: Path, source: str) -> None:
    assert only(folder, source=source).source == source


def test_a_scheme_may_be_in_capitals_and_a_file_url_without_its_host(folder: Path) -> None:
    assert only(folder, source="S3://bucket/Key.WAV").source == "s3://bucket/Key.WAV"
    assert only(folder, source="HTTPS://host/A.wav?B=C").source == "https://host/A.wav?B=C"
    for uri in (f"FILE://{folder}/a.wav", f"file:{folder}/a.wav"):
        assert only(folder, source=uri).source == (folder / "a.wav").as_uri()


def test_a_path_starts_from_the_worklists_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert only(folder, source="recordings/../a.wav").source == (folder / "a.wav").as_uri()
    assert only(folder, source=str(folder / "a.wav")).source == (folder / "a.wav").as_uri()


def test_file_names_with_url_characters_are_kept(folder: Path) -> None:
    uri = (folder / "b c#?.mp3").as_uri()
    assert only(folder, source="b c#?.mp3").source == uri
    assert only(folder, source=uri).source == uri
    assert only(folder, source=uri.replace("file://", "file://localhost")).source == uri


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON: Expecting value in line 1, column 1"),
        ('[{"uuid": }]', "not JSON: Expecting value in line 1, column 11"),
        ('[\n {"uuid": "x"', "not JSON: Expecting ',' delimiter in line 2, column 14"),
        ("{}", "not a list of recordings, but an object"),
        ('"a"', "not a list of recordings, but a text"),
        ("null", "not a list of recordings, but null"),
        ("[" * 200_000, "not a worklist: nested too deeply"),
        (
            '{"uuid": "x"}\n{"uuid": "y"}\n',
            "not a list of recordings, but several JSON documents: put [ ] around them, and commas between",
        ),
        (f'[{{"weight": {"9" * 5000}}}]', "not JSON: a number is too long"),
    ],
)
def test_an_invalid_worklist_is_refused(folder: Path, text: str, problem: str) -> None:
    assert problems(folder, text) == [problem]


def test_a_file_that_is_not_utf_8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "worklist.json"
    with pytest.raises(InvalidWorklist, match="No such file"):
        load(path)
    path.write_bytes(b'["\xe9"]')
    with pytest.raises(InvalidWorklist, match=r"not UTF-8 text: .* at byte 2"):
        load(path)


def test_a_byte_order_mark_in_a_worklist_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "worklist.json"
    path.write_bytes(b"\xef\xbb\xbf[]")
    assert load(path).entries == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"job": "transcode"},
            "`job` is 'transcode'; it can be transcribe, refine, captions, rebuild, reindex, publish",
        ),
        ({"job": ["captions"]}, "`job` is ['captions']; it can be transcribe"),
        ({"title": 5}, "`title` is not a text, but a number"),
        ({"title": " "}, "`title` is not a text, but an empty text"),
        ({"language": ["en"]}, "`language` is not a text, but a list"),
        ({"languages": "en,de"}, "`languages` is not a list of language codes such as en, de or pt-BR"),
        ({"languages": []}, "`languages` is not a list of language codes"),
        ({"languages": ["en", 5]}, "`languages` is not a list of language codes"),
        ({"languages": ["en", "klingon"]}, "`languages`: 'klingon' is not a language that Whisper knows"),
        ({"languages": ["en", "auto"]}, "`languages`: auto is no language: leave languages out to let any be spoken"),
        ({"languages": ["en", "de"], "language": "en"}, "has both `language` and `languages`"),
        ({"status": "ready"}, "`status` is 'ready'; it can be waiting, done, failed"),
        ({"status": ["done"]}, "`status` is ['done']; it can be waiting, done, failed"),
        ({"vocabulary": "Ellis"}, "`vocabulary` is not a list of terms, but a text"),
        ({"vocabulary": [7]}, "`vocabulary`, term 1: expected a term, or a mapping with `term`"),
        ({"source": True}, "`source` is not a text, but true or false"),
        ({"source": "ftp://host/a.wav"}, "`source` 'ftp://host/a.wav': unknown scheme"),
        ({"source": "s3://bucket"}, "`source` 's3://bucket' names no object"),
        ({"source": "https://host/"}, "`source` 'https://host/' names no file"),
        ({"source": "file://server/a.wav"}, "`source` 'file://server/a.wav' is a file on another machine"),
        ({"source": "https://[::1/a.wav"}, "`source` is not a URL that can be parsed"),
        ({"source": "a\0b.wav"}, "`source` contains a character that is not valid text: 'a\\x00b.wav'"),
        (
            {"title": "half an emoji \ud83d"},
            "`title` contains a character that is not valid text: 'half an emoji \\ud83d'",
        ),
        ({"source": "a" * 5000 + ".wav"}, "File name too long"),
        ({"source": "s3://bucket/folder/"}, "`source` 's3://bucket/folder/' names no object"),
        ({"source": "https://host:99999/a.wav"}, "`source` is not a URL that can be parsed"),
        ({"source": "https://host/a b.wav"}, "contains a space or control character: write it as %20"),
        ({"source": "https://host/a\nb.wav"}, "contains a space or control character"),
    ],
)
def test_an_invalid_value_is_reported_with_its_field(folder: Path, values: dict[str, object], message: str) -> None:
    (problem,) = problems(folder, [{"uuid": ONE, **values}])
    assert problem.startswith("entry 1: ")
    assert message in problem
    assert len(problem) < 600


def test_a_password_in_a_url_is_refused_and_not_repeated(folder: Path) -> None:
    for user in ("me:hunter2", "hunter2"):
        (problem,) = problems(folder, [{"uuid": ONE, "source": f"https://{user}@host/a.wav"}])
        assert "user name or password" in problem
        assert "hunter2" not in problem


def test_a_missing_source_is_reported_with_its_full_path(folder: Path) -> None:
    assert problems(folder, [{"uuid": ONE, "source": "c.wav"}, {"uuid": TWO, "source": "recordings"}]) == [
        f"entry 1: `source` 'c.wav': '{folder / 'c.wav'}' does not exist",
        f"entry 2: `source` 'recordings': '{folder / 'recordings'}' is not a file",
    ]
    assert problems(folder, [{"uuid": ONE, "source": "/nowhere/c.wav"}]) == [
        "entry 1: `source` '/nowhere/c.wav' does not exist"
    ]


@pytest.mark.parametrize("job", ["refine", "captions", "rebuild", "reindex", "publish"])
def test_entries_without_a_transcription_need_no_source(folder: Path, job: str) -> None:
    assert only(folder, source="c.wav", job=job).job == job


def test_finished_entries_need_no_source(folder: Path) -> None:
    assert only(folder, source="c.wav", status="done").status == "done"


def test_every_problem_has_a_line_with_its_entry(folder: Path) -> None:
    content = [{"uuid": ONE}, {"uuid": TWO.upper()}, "text", {"title": "no uuid"}, {"uuid": ONE, "source": "c.wav"}]
    lines = problems(folder, content)
    assert [line.split(":")[0] for line in lines] == ["entry 2", "entry 3", "entry 4", "entry 5", "entry 5"]
    assert "is not a canonical lower-case UUID" in lines[0]
    assert lines[1] == "entry 3: not an object, but a text"
    assert lines[2] == "entry 4: has no `uuid`"
    assert lines[4] == f"entry 5: {ONE} is also entry 1"


def test_a_uuid_used_three_times_is_reported_twice(folder: Path) -> None:
    assert problems(folder, [{"uuid": ONE}, {"uuid": TWO}, {"uuid": ONE}, {"uuid": ONE}]) == [
        f"entry 3: {ONE} is also entry 1",
        f"entry 4: {ONE} is also entry 1",
    ]


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_a_worklist_or_refused_with_reasons(text: str) -> None:
    for line in refusal(text):
        assert line.startswith("/nowhere/worklist.json: ")


def refusal(text: str) -> list[str]:
    """Return the reasons for which a worklist is refused; empty if it is valid."""
    try:
        parse(text, Path("/nowhere/worklist.json"))
    except InvalidWorklist as error:
        return str(error).split("\n")
    return []


_values = st.sampled_from(["uuid", "source", "title", "status", "vocabulary", "language"])


@given(st.lists(st.dictionaries(_values, JSON | st.just(ONE), max_size=4), max_size=3))
def test_any_values_are_read_or_refused_with_reasons(objects: list[dict[str, Any]]) -> None:
    for line in refusal(json.dumps(objects)):
        assert line.startswith("/nowhere/worklist.json: entry ")


@pytest.mark.parametrize(
    ("value", "speakers", "names"),
    [
        (2, "2", ()),
        ("2-4", "2-4", ()),
        ("off", "off", ()),
        (["Agent", " Caller "], "2", ("Agent", "Caller")),
    ],
)
def test_speakers_are_a_number_a_range_or_names(
    folder: Path, value: object, speakers: str, names: tuple[str, ...]
) -> None:
    entry = only(folder, speakers=value)
    assert (entry.speakers, entry.speaker_names) == (speakers, names)


@pytest.mark.parametrize("value", [0, "many", {}, True, 2.5])
def test_an_invalid_speakers_value_is_a_problem(folder: Path, value: object) -> None:
    (problem,) = problems(folder, [{"uuid": ONE, "speakers": value}])
    assert problem.startswith("entry 1: `speakers`: ")
    assert problem.endswith(", or a list of names")


@pytest.mark.parametrize(
    "value", [[], ["Agent", "Agent"], [""], [3], ["two\nlines"], [str(name) for name in range(100)]]
)
def test_names_of_speakers_are_different_lines_of_text(folder: Path, value: list[str]) -> None:
    assert problems(folder, [{"uuid": ONE, "speakers": value}]) == [
        "entry 1: `speakers` is not a list of different names, each a line of text"
    ]
