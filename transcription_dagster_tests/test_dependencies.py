"""The program with its default settings needs no extra: every library that it imports is a dependency."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions

from transcription_dagster_tests.test_layers import PACKAGE, imported, trees_with

PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]

#: Imported libraries that only an extra installs, each behind a setting or a command that is not the default.
OPTIONAL = {
    "ctranslate2": "faster-whisper",
    "presidio_analyzer": "presidio",
    "pyannote": "pyannote",
    "spacy": "presidio",
}
#: Imported distributions that come with another dependency: by the name of that dependency.
COMES_WITH = {
    "botocore": "boto3",
    "dagster-graphql": "dagster-webserver",
    "dagster-shared": "dagster",
    "huggingface-hub": "sentence-transformers",
    "markupsafe": "jinja2",
    "psycopg2-binary": "dagster-postgres",
    "pydantic": "pydantic-settings",
    "pydantic-core": "pydantic-settings",
    "tokenizers": "sentence-transformers",
    "transformers": "sentence-transformers",
}


def distribution(requirement: str) -> str:
    """Return the normalised name of the distribution in a requirement."""
    return re.split(r"[\[=<>~!; ]", requirement)[0].lower().replace("_", "-")


def without_dependency(modules: Iterable[str], dependencies: Iterable[str]) -> dict[str, set[str]]:
    """Return the modules that no dependency provides, with the distributions that hold them."""
    declared = {distribution(dependency) for dependency in dependencies}
    declared |= {name for name, parent in COMES_WITH.items() if parent in declared}
    providers = packages_distributions()
    distributions = {module: {distribution(name) for name in providers.get(module, ())} for module in modules}
    return {module: names for module, names in distributions.items() if not names & declared}


def imported_libraries() -> set[str]:
    """Return the names of the libraries that the package imports anywhere."""
    modules = {name.partition(".")[0] for _, tree in trees_with("import") for _, name in imported(tree)}
    return modules - set(sys.stdlib_module_names) - {PACKAGE.name, ""}


def test_every_imported_library_is_a_dependency() -> None:
    assert without_dependency(imported_libraries() - set(OPTIONAL), PROJECT["dependencies"]) == {}


def test_optional_libraries_belong_to_extras() -> None:
    assert set(OPTIONAL.values()) <= set(PROJECT["optional-dependencies"])


def test_a_library_of_an_extra_is_seen() -> None:
    assert without_dependency({"sentence_transformers"}, ["torch>=2.6"]).keys() == {"sentence_transformers"}
