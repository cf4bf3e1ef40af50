"""Read and write vocabularies: YAML, CSV, and the lists inside a worklist."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from transcription_dagster.errors import InvalidVocabulary
from transcription_dagster.model import Term

_FIELDS = ("term", "variants", "category", "weight")
#: Column separators of CSV: Excel writes semicolons where the comma is the decimal mark.
_COLUMN_SEPARATORS = ",;\t"
#: The first bytes of an Excel workbook (a ZIP archive).
_WORKBOOK = b"PK\x03\x04"
#: Invisible characters that are part of words in Persian, in Indic scripts and of emoji: ZWNJ and ZWJ.
_JOINERS = "\u200c\u200d"
#: Key for cells beyond the last column.
_SURPLUS = "\0"
#: Separator of the variants in a CSV cell.
_VARIANT_SEPARATOR = "|"
#: What spreadsheets read as a formula, at the start of a cell (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile(r"'*[=+\-@]")


def read_vocabulary(path: Path) -> list[Term]:
    """Read terms from a YAML file (.yaml, .yml) or a CSV file (.csv).

    YAML is a list, also below a key `terms`, of terms or of mappings with `term` (or `text`) and, optional, `variants`
    (a text or a list), `category` and `weight` (a number above 0). CSV has these names in its first line, commas,
    semicolons or tabs between columns, and `|` between variants. The encoding is UTF-8, or UTF-16 with its mark.
    Raises `InvalidVocabulary`, with the line where there is one.
    """
    text = _decoded(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_csv(text, path.name)
    if suffix in {".yaml", ".yml"}:
        return read_yaml(text, path.name)
    raise InvalidVocabulary(f"{path} is neither .yaml, .yml nor .csv")


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidVocabulary(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(_WORKBOOK):
        raise InvalidVocabulary(f"{path} is an Excel workbook: save it as `CSV UTF-8`")
    # Excel writes its `Unicode text` in UTF-16.
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidVocabulary(
            f"{path}, line {line}: not UTF-8 text; save it as `CSV UTF-8`, or convert it: iconv -f cp1252 -t utf-8"
        ) from error


def read_csv(text: str, name: str) -> list[Term]:
    """Read the terms of a CSV document; errors call it `name`. Raises `InvalidVocabulary`."""
    return _terms(_csv_entries(text, name))


def read_yaml(text: str, name: str) -> list[Term]:
    """Read the terms of a YAML document; errors call it `name`. Raises `InvalidVocabulary`."""
    return _terms(_yaml_entries(text, name))


def write_csv(terms: Iterable[Term]) -> str:
    """Write terms as CSV that `read_csv` restores exactly.

    An apostrophe before a cell that looks like a formula makes spreadsheets show it as text.
    """
    document = io.StringIO(newline="")
    writer = csv.writer(document, lineterminator="\n")
    writer.writerow(_FIELDS)
    for term in terms:
        cells = (term.text, _VARIANT_SEPARATOR.join(term.variants), term.category)
        writer.writerow([*(f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells), f"{term.weight:g}"])
    return document.getvalue()


def parse_terms(entries: Sequence[object], where: str) -> list[Term]:
    """Parse a recording's own vocabulary, as a worklist or the database holds it: texts or mappings.

    Raises `InvalidVocabulary` that starts with `where` and the position of the entry.
    """
    return _terms((f"{where}, term {position}", entry) for position, entry in enumerate(entries, start=1))


def _terms(entries: Iterable[tuple[str, object]]) -> list[Term]:
    return [_term(where, entry) for where, entry in entries]


def _term(where: str, entry: object) -> Term:
    if isinstance(entry, str):
        entry = {"term": entry}
    if not isinstance(entry, Mapping):
        raise InvalidVocabulary(f"{where}: expected a term, or a mapping with `term`")
    if "text" in entry:
        if "term" in entry:
            raise InvalidVocabulary(f"{where}: `term` and `text` are the same: give one")
        entry = {("term" if key == "text" else key): value for key, value in entry.items()}
    unknown = [str(key) for key in entry if key not in _FIELDS]
    if unknown:
        raise InvalidVocabulary(f"{where}: unknown {', '.join(unknown)}; known keys: {', '.join(_FIELDS)}")
    return Term(
        text=_text(where, "term", entry.get("term")),
        variants=_variants(where, entry.get("variants")),
        category=_text(where, "category", entry["category"]) if entry.get("category") else "",
        weight=_weight(where, entry.get("weight")),
    )


def _text(where: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidVocabulary(f"{where}: `{field}` is missing or not a text")
    # Text copied from web pages contains soft hyphens, zero-width spaces and direction marks.
    visible = (char for char in value if unicodedata.category(char) != "Cf" or char in _JOINERS)
    text = " ".join("".join(visible).split())
    if not text.translate(dict.fromkeys(map(ord, _JOINERS))).isprintable():
        raise InvalidVocabulary(f"{where}: `{field}` holds a control character")
    if not text:
        raise InvalidVocabulary(f"{where}: `{field}` is missing or not a text")
    return text


def _variants(where: str, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, Sequence):
        raise InvalidVocabulary(f"{where}: `variants` is neither a text nor a list of texts")
    return tuple(_text(where, "variants", variant) for variant in listed)


def _weight(where: str, value: object) -> float:
    if value is None or value == "":
        return 1.0
    try:
        number = value.replace(",", ".") if isinstance(value, str) else value
        weight = float(number) if isinstance(number, str | int | float) else math.nan
    except (ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise InvalidVocabulary(f"{where}: `weight` {value!r} is not a number above 0")
    return weight


def _csv_entries(text: str, name: str) -> Iterator[tuple[str, object]]:
    lines = text.splitlines(keepends=True)
    separator, skipped = _column_separator(lines)
    document = io.StringIO("".join(lines[skipped:]), newline="")
    reader = csv.DictReader(document, restkey=_SURPLUS, restval="", strict=True, delimiter=separator)
    try:
        header = [field.strip().lower() for field in reader.fieldnames or ()]
        header = ["term" if field == "text" and "term" not in header else field for field in header]
        if "term" not in header:
            raise InvalidVocabulary(f"{name}, line 1: no column `term`; the first line names the columns")
        reader.fieldnames = header
        for row in reader:
            where = f"{name}, line {reader.line_num + skipped}"
            if any(cell.strip() for cell in row.pop(_SURPLUS, ())):
                raise InvalidVocabulary(f"{where}: more than {len(header)} columns")
            if not any(cell.strip() for cell in row.values()):
                continue
            if not row.get("", "").strip():
                row.pop("", None)
            row = {name: _unmarked(cell) for name, cell in row.items()}
            cells = (variant.strip() for variant in row.pop("variants", "").split(_VARIANT_SEPARATOR))
            yield where, {**row, "variants": [variant for variant in cells if variant]}
    except csv.Error as error:
        raise InvalidVocabulary(f"{name}, line {reader.reader.line_num + skipped}: {error}") from error


def _unmarked(cell: str) -> str:
    """Return a cell without the apostrophe that marks it as text."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _column_separator(lines: Sequence[str]) -> tuple[str, int]:
    """Return the column separator, from the line with the columns' names, and the number of lines before that line.

    Excel's hint `sep=;` may be the first line.
    """
    if lines and (hint := lines[0].strip().strip('"').lower()).startswith("sep=") and len(hint) == len("sep=;"):
        return hint[-1], 1
    heading = lines[0] if lines else ""
    return max(_COLUMN_SEPARATORS, key=heading.count), 0


def _yaml_entries(text: str, name: str) -> Iterator[tuple[str, object]]:
    """Read the YAML nodes as text: by YAML's schema the terms `NO` and `1984` would be a boolean and a number."""
    try:
        root = yaml.compose(text, Loader=_WithoutAliases)
    except RecursionError:
        raise InvalidVocabulary(f"{name}: nested too deeply") from None
    except yaml.YAMLError as error:
        line, problem = _line(getattr(error, "problem_mark", None)), getattr(error, "problem", None)
        raise InvalidVocabulary(f"{name}{line}: {problem or 'not YAML'}") from error
    if isinstance(root, yaml.MappingNode):
        root = next((value for key, value in root.value if key.value == "terms"), root)
    if root is None:
        return
    if not isinstance(root, yaml.SequenceNode):
        raise InvalidVocabulary(f"{name}{_line(root.start_mark)}: expected a list of terms, also below a key `terms`")
    for node in root.value:
        yield f"{name}{_line(node.start_mark)}", _plain(node, name, depth=0)


class _WithoutAliases(yaml.SafeLoader):
    """Reads YAML in which each node is written out: a small document of aliases can stand for billions of terms."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*) are not read; write the term out", problem_mark=mark)
        return super().compose_node(parent, index)


def _plain(node: yaml.Node, name: str, depth: int) -> object:
    if depth > len(("entry", "variants")):
        raise InvalidVocabulary(f"{name}{_line(node.start_mark)}: nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, name, depth + 1) for child in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value, name, depth + 1) for key, value in node.value}
    is_null = node.tag == "tag:yaml.org,2002:null"
    return None if is_null else node.value


def _line(mark: yaml.Mark | None) -> str:
    return f", line {mark.line + 1}" if mark else ""
