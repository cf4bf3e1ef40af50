"""Public names of the package are unambiguous without their module."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from transcription_dagster_tests.test_layers import NAME, PACKAGE, imported, sources

#: Commands may have the same name as the function that does the work, because commands are not imported by name.
COMMANDS = "cli."

Module = tuple[str, ast.Module]


def modules() -> list[Module]:
    """Return the modules of the package by their names within it."""
    names = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path, _ in sources()]
    parsed = [(name, ast.parse(text)) for name, (_, text) in zip(names, sources(), strict=True)]
    return [(name, tree) for name, tree in parsed if not name.startswith("database.migrations.versions.")]


def is_type_alias(node: ast.stmt) -> TypeGuard[ast.Assign]:
    """Return whether a statement names a generic type; type variables and constants do not count."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Subscript | ast.BinOp):
        return False
    return all(isinstance(target, ast.Name) and target.id != target.id.upper() for target in node.targets)


def types(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif is_type_alias(node):
            yield from (ast.unparse(target) for target in node.targets)


def functions(tree: ast.Module) -> Iterator[str]:
    yield from (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def repeated(named: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """Return the public names that several modules define, with these modules."""
    modules_of: defaultdict[str, set[str]] = defaultdict(set)
    for module, names in named:
        for name in names:
            modules_of[name].add(module)
    return {name: sorted(where) for name, where in modules_of.items() if len(where) > 1 and not name.startswith("_")}


def ambiguous_functions(package: Iterable[Module]) -> list[str]:
    """The imports of a function by a name that other modules give to functions of theirs.

    `tokens.find` and `recordings.find` are clear; `find` alone is not.
    """
    package = list(package)
    shared = repeated((name, functions(tree)) for name, tree in package if not name.startswith(COMMANDS))
    ambiguous = {f"{NAME}.{module}.{name}" for name, where in shared.items() for module in where}
    return [
        f"{module}:{line}: {name}" for module, tree in package for line, name in imported(tree) if name in ambiguous
    ]


def test_each_class_and_each_type_has_a_name_of_its_own() -> None:
    assert repeated((name, types(tree)) for name, tree in modules()) == {}


def test_a_function_that_shares_its_name_is_called_by_its_module() -> None:
    assert ambiguous_functions(modules()) == []


def test_repeated_names_are_seen() -> None:
    first = ast.parse("class Turn: ...\nSpan = tuple[float, float]\nLIMITS = {}[0]\ndef find(): ...\ndef _own(): ...")
    second = ast.parse("class Turn: ...\nclass Span: ...\nclass LIMITS: ...\ndef find(): ...\ndef _own(): ...")
    reader = ast.parse(f"from {NAME} import one\nfrom {NAME}.one import find")
    command = ast.parse("def find(): ...")
    assert repeated([("one", types(first)), ("other", types(second))]) == {
        "Turn": ["one", "other"],
        "Span": ["one", "other"],
    }
    assert ambiguous_functions([("one", first), ("other", second), ("reader", reader)]) == [
        f"reader:2: {NAME}.one.find"
    ]
    assert ambiguous_functions([("one", first), ("cli.find", command), ("reader", reader)]) == []
