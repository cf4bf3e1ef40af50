"""Generate docs/settings.md: `python -m scripts.settings_reference`. A test compares the page with the settings."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from transcription_dagster import network_settings, settings
from transcription_dagster.settings import Settings, variable_name
from transcription_dagster.shared_settings import SCOPES

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

# The tables need the width of the table of contents.
_HEAD = """---
hide: [toc]
---

# Settings

<!-- Written by `make docs` from settings.py and network_settings.py; do not edit. -->

Each setting is an environment variable, or a line in the file `.env` in the folder where you start the program. The
environment takes precedence. `.env.example` in the repository is a template with all settings.

Anthropic's and AWS's libraries read their own variables, such as `ANTHROPIC_API_KEY` and `AWS_ACCESS_KEY_ID`.

| class | where to set it |
| --- | --- |
| shared | Where you run `transcription up`, which writes it to the database for [all machines][shared] |
| machine | On each machine |
| secret | On each machine; the program never shows it in logs, errors or pages |

[shared]: operating.md#settings-for-every-machine
"""


def page() -> str:
    """Return the reference as Markdown, in the sections and the order of the modules."""
    parts = [_HEAD]
    for title, names in _sections():
        rows = [_row(name, Settings.model_fields[name]) for name in names]
        parts.append(
            "\n".join([f"## {title}\n", "| variable | default | class | meaning |", "| --- " * 4 + "|", *rows, ""])
        )
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, list[str]]]:
    """Yield each section's title and its fields, from the comments `# --- title` in the class."""
    source = "\n".join(
        Path(str(module.__file__)).read_text(encoding="utf-8") for module in (settings, network_settings)
    )
    marks = re.finditer(r"^    (?:# --- (?P<title>.+)|(?P<name>\w+): )", source, re.MULTILINE)
    title, names = "", []
    for mark in marks:
        if mark["title"]:
            if names:
                yield title, names
            title, names = mark["title"][0].upper() + mark["title"][1:], []
        elif mark["name"] in Settings.model_fields:
            names.append(mark["name"])
    yield title, names


def _row(name: str, field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    meaning = (field.description or "").replace("|", "\\|")
    if choices:
        meaning = f"{meaning} One of {', '.join(f'`{choice}`' for choice in choices)}.".strip()
    return f"| `{variable_name(name)}` | {_default(field)} | {SCOPES[name].value} | {meaning} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "`~/.transcription`"
    if field.default is None or field.default == ():
        return ""
    value = field.default
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _choices(annotation: object) -> list[str]:
    """Return the allowed values of a setting; empty if any value is allowed."""
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [choice for part in typing.get_args(annotation) for choice in _choices(part)]
    return []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
