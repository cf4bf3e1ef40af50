"""Every example in the documentation works: commands parse, and the program's readers accept the files."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scripts import settings_reference
from transcription_dagster.cli.main import transcription
from transcription_dagster.settings import Settings, variable_name
from transcription_dagster.sources import worklists
from transcription_dagster.vocabulary.files import read_vocabulary
from transcription_dagster.vocabulary.variants import problems

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"\bTRANSCRIPTION_[A-Z0-9_]*[A-Z0-9]\b(?!…)")


def blocks(*kinds: str) -> list[str]:
    """Return the fenced examples of these kinds in all pages."""
    return [body for page in PAGES for kind, body in _BLOCK.findall(page.read_text("utf-8")) if kind in kinds]


def commands() -> Iterator[list[str]]:
    """Yield the calls of `transcription` in the shell examples, as arguments."""
    for line in "".join(blocks("sh")).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|><;")
        lexer.whitespace_split = True
        call: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("&|><;"):
                call.append(word)
                continue
            if call[:1] == ["transcription"]:
                yield call[1:]
            call = []


def test_there_are_examples_of_each_kind() -> None:
    assert len(list(commands())) >= 10
    assert blocks("yaml")
    assert blocks("json")


def test_every_test_named_in_the_pages_exists() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"`((?:\w+/)*test_\w+\.py)`", text))
    assert len(named) > 5
    tests = [path.as_posix() for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in sorted(named) if not any(test.endswith(f"/{name}") for test in tests)] == []


# `mkdocs build --strict` checks the links between the pages of docs/.
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_of_a_page_outside_of_the_site_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", (ROOT / page).read_text("utf-8"))
    assert len(links) > 3
    for target, anchor in links:
        path = ROOT / (target or page)
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_documented_commands_parse(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in arguments:
        if Path(argument).suffix and "/" not in argument:
            Path(argument).touch()
    command: click.Command = transcription
    context = None
    remaining = arguments
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        name, subcommand, remaining = command.resolve_command(context, remaining)
        assert subcommand is not None, name
        command = subcommand
    if "--help" not in remaining:
        command.make_context(arguments[0], list(remaining), parent=context)


@pytest.mark.parametrize("example", blocks("yaml"))
def test_a_vocabulary_is_read(example: str, tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(example, encoding="utf-8")
    terms = read_vocabulary(tmp_path / "example.yaml")
    assert terms
    assert problems(terms) == []


@pytest.mark.parametrize("example", blocks("json"))
def test_a_worklist_is_loaded(example: str, tmp_path: Path) -> None:
    for source in re.findall(r'"source": "([^":]+)"', example):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).touch()
    (tmp_path / "example.json").write_text(example, encoding="utf-8")
    assert worklists.load(tmp_path / "example.json").entries


def test_documented_settings_exist() -> None:
    existing = {f"TRANSCRIPTION_{name.upper()}" for name in Settings.model_fields}
    named = {name for page in PAGES for name in _SETTING.findall(page.read_text("utf-8"))}
    assert named - existing <= set(), named - existing


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=str)
def test_python_examples_give_the_documented_results(page: Path) -> None:
    blocks = [body for kind, body in _BLOCK.findall(page.read_text("utf-8")) if kind == "python"]
    values: dict[str, object] = {}
    for body in blocks:
        if ">>>" not in body:
            exec(body, values)
            continue
        example = doctest.DocTestParser().get_doctest(body, values, page.name, str(page), 0)
        runner = doctest.DocTestRunner(verbose=False)
        assert runner.run(example, clear_globs=False).failed == 0, body
        values.update(example.globs)


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_reference.PAGE.read_text("utf-8") == settings_reference.page(), "run `make docs`"


def test_every_setting_is_explained() -> None:
    page = settings_reference.page()
    rows = {row.split("`")[1]: row.split(" | ")[-1].rstrip(" |") for row in page.splitlines() if row.startswith("| `")}
    assert set(rows) == {variable_name(name) for name in Settings.model_fields}
    assert [name for name, meaning in rows.items() if not meaning] == []


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "from-scripts" / "index.html").is_file()
