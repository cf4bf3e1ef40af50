"""The levels of the package: which part may import which. Imports for type checkers count too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import transcription_dagster

PACKAGE = Path(transcription_dagster.__file__).parent
NAME = PACKAGE.name

#: From the lowest to the highest; parts of one level do not import each other.
LEVELS = (
    {"urls", "quick_imports"},
    {"errors"},
    {"model", "atomic_files"},
    {"language", "network_settings"},
    {"settings", "audio", "transcripts", "database"},
    {"captions", "vocabulary", "aws"},
    {"store", "dagster_api"},
    {"shared_settings", "whisper", "speakers", "refinement", "search", "insights", "sources", "corrections"},
    {"pool", "redaction"},
    {"defs"},
    {"definitions"},
    # Above the definitions, because a run worker imports them once, before its first run.
    {"workers", "web"},
    {"stack", "api"},
    {"cli"},
    # The package itself, which names the API.
    {"__main__", "__init__"},
)
RANKS = {part: rank for rank, parts in enumerate(LEVELS) for part in parts}

#: Libraries that only some parts may import.
CONFINED = {
    "dagster": {"defs", "definitions", "pool", "workers", "web", "stack", "cli"},
    "procrastinate": {"database", "pool", "workers"},
    "sqlalchemy": {"database", "search", "refinement", "pool", "corrections"},
    "alembic": {"database"},
    "pgvector": {"database", "search"},
    "torch": {"whisper", "speakers", "defs", "api"},
    "whisper": {"whisper"},
    "ctranslate2": {"whisper"},
    "anthropic": {"refinement"},
    "boto3": {"aws"},
    "presidio_analyzer": {"redaction"},
    "pyannote": {"speakers"},
    "spacy": {"redaction"},
    "starlette": {"web"},
    "click": {"cli", "__main__"},
}

#: Processes that start outside `cli` and read their own settings: Dagster creates the first two from `dagster.yaml`,
#: and supervisord or a parent process starts the others.
ENTRIES = {
    "pool/run_coordinator.py",
    "pool/run_launcher.py",
    "stack/dagster_processes.py",
    "stack/development.py",
    "stack/shared_postgres.py",
    "web/reading_room/query_embedder.py",
    "web/server.py",
}

#: Files that set environment variables, for libraries that have no other interface: OpenMP, and Dagster, whose
#: `dagster.yaml` refers to the database and the home by variables.
VARIABLES_FOR_LIBRARIES = {"__init__.py", "cli/connection.py"}


def part_of(path: Path) -> str:
    """Return the folder below the package, or the module, that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import, wherever it is in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imports_upwards(part: str, source: str) -> list[str]:
    """Return the imports in a part's source that its level does not allow."""
    upward = []
    for line, name in imported(ast.parse(source)):
        package, _, path_within = name.partition(".")
        target = path_within.split(".")[0]
        if package == NAME and target in RANKS and target != part and RANKS[target] >= RANKS[part]:
            upward.append(f"{line}: {name}")
    return upward


def libraries_out_of_place(part: str, source: str, confined: Mapping[str, set[str]] = CONFINED) -> list[str]:
    """Return a part's imports of libraries that belong to other parts."""
    names = imported(ast.parse(source))
    return [f"{line}: {name}" for line, name in names if part not in confined.get(name.split(".")[0], {part})]


def sources() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


def test_every_part_has_a_level() -> None:
    assert {part_of(path) for path, _ in sources()} <= set(RANKS)


def test_the_documented_levels_are_these() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = text.partition("<!-- levels -->")[2].partition("<!-- /levels -->")[0]
    documented = [set(re.findall(r"`(\w+)`", line)) for line in listed.strip().splitlines()]
    assert documented == [parts for parts in LEVELS if "__main__" not in parts]


def test_every_file_named_in_the_architecture_exists() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    assert len(named) > 10
    assert {name for name in named if not (PACKAGE / name).exists() and not (PACKAGE.parent / name).exists()} == {
        "test_definitions.py"
    }


def test_a_level_imports_only_from_levels_below_it() -> None:
    upward = {str(path.relative_to(PACKAGE)): imports_upwards(part_of(path), text) for path, text in sources()}
    assert {path: imports for path, imports in upward.items() if imports} == {}


def first_circle(modules: Mapping[str, str]) -> list[str]:
    """Modules (by full name, with their source) that import each other in a circle, wherever the imports stand."""
    names = {
        module: {name for _, full in imported(ast.parse(source)) for name in (full, full.rpartition(".")[0])}
        for module, source in modules.items()
    }
    try:
        TopologicalSorter(
            {module: (imported_modules & modules.keys()) - {module} for module, imported_modules in names.items()}
        ).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    named = [(".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)), text) for path, text in sources()]
    # The package itself, from which modules take the version, names the API.
    assert first_circle({name: text for name, text in named if name != f"{NAME}.__init__"}) == []


def test_a_circle_is_seen_however_late_its_imports_are() -> None:
    late_import = "def later():\n    from one import two\n"
    assert set(first_circle({"one.two": "import one.three", "one.three": late_import})) == {"one.two", "one.three"}
    assert first_circle({"one.two": "import one.three", "one.three": "import one.four", "one.four": ""}) == []


def test_libraries_stay_where_they_belong() -> None:
    misplaced = {
        str(path.relative_to(PACKAGE)): libraries_out_of_place(part_of(path), text) for path, text in sources()
    }
    assert {path: imports for path, imports in misplaced.items() if imports} == {}


def test_upward_imports_are_found_anywhere() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from transcription_dagster.defs.jobs import jobs
def later():
    import transcription_dagster.cli.main
    from transcription_dagster import definitions
"""
    assert imports_upwards("search", source) == [
        "4: transcription_dagster.defs.jobs.jobs",
        "6: transcription_dagster.cli.main",
        "7: transcription_dagster.definitions",
    ]
    assert imports_upwards("database", "from transcription_dagster.transcripts import paragraphs") != []
    assert imports_upwards("search", "from transcription_dagster.search import chunks") == []
    assert libraries_out_of_place("captions", "import torch.nn") == ["1: torch.nn"]


def trees_with(*words: str) -> list[tuple[str, ast.Module]]:
    """Return the files that contain one of the words, by their paths in the package."""
    matching = [(path, text) for path, text in sources() if any(word in text for word in words)]
    return [(str(path.relative_to(PACKAGE)), ast.parse(text)) for path, text in matching]


def reads_settings(tree: ast.AST) -> list[int]:
    """Return the lines that read the settings from the environment."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load_settings"]


def on_import(tree: ast.Module) -> ast.Module:
    """Return the code that runs when a module is imported, without the bodies of functions."""

    class Bodiless(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None: ...
        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None: ...
        def visit_Lambda(self, node: ast.Lambda) -> ast.Constant:
            return ast.Constant(None)

    entry = [node for node in tree.body if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    return Bodiless().visit(ast.Module(entry, []))


def sets_variables(tree: ast.AST) -> list[int]:
    """Return the lines that change the environment of the process."""
    line_numbers = []
    for node in ast.walk(tree):
        written = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del) and node.value
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func
        if called and ast.unparse(called) in ("os.putenv", "os.unsetenv"):
            line_numbers.append(called.lineno)
        if called and called.attr in ("setdefault", "update", "pop", "clear"):
            written = called.value
        if written and ast.unparse(written) == "os.environ":
            line_numbers.append(written.lineno)
    return line_numbers


def test_settings_are_read_at_the_edge_and_handed_down() -> None:
    readers = {name for name, tree in trees_with("load_settings") if reads_settings(tree)}
    inner = {name for name in readers if not name.startswith("cli/")}
    assert inner - {"settings.py"} == ENTRIES | {"definitions.py"}


def test_only_the_definitions_read_settings_on_import() -> None:
    readers = {name for name, tree in trees_with("load_settings") if reads_settings(on_import(tree))}
    assert readers == {"definitions.py"}


def test_the_environment_is_not_a_channel_between_functions() -> None:
    assert {name for name, tree in trees_with("environ", "putenv") if sets_variables(tree)} == VARIABLES_FOR_LIBRARIES


def test_reading_settings_and_setting_variables_are_seen() -> None:
    source = """
settings = load_settings()
def later():
    return load_settings()
os.environ["A"] = "a"
os.environ.setdefault("A", "a")
del os.environ["A"]
os.putenv("A", "a")
os.environ.get("A"), os.environ["A"]
"""
    tree = ast.parse(source)
    assert (reads_settings(tree), reads_settings(on_import(tree))) == ([2, 4], [2])
    assert sets_variables(ast.parse(source)) == [5, 6, 7, 8]
