from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster.errors import InvalidVocabulary
from transcription_dagster.model import Term
from transcription_dagster.vocabulary.files import parse_terms, read_vocabulary

YAML = """\
- Kubernetes
- term: Grafana
  variants: [grifana, "graph ana"]
  category: product
  weight: 2.5
- {term: Miller, variants: muller}
"""
CSV = """\
term,variants,category,weight
Kubernetes,,,
Grafana,grifana|graph ana,product,2.5
"Miller",muller,,
"""
TERMS = [
    Term("Kubernetes"),
    Term("Grafana", ("grifana", "graph ana"), "product", 2.5),
    Term("Miller", ("muller",)),
]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.yaml", YAML),
        ("v.YML", YAML),
        ("v.yaml", "terms:\n" + "".join(f"  {line}\n" for line in YAML.splitlines())),
        ("v.csv", CSV),
        ("v.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
    ],
)
def test_a_vocabulary_is_read_from_yaml_and_csv(tmp_path: Path, name: str, text: str) -> None:
    assert read_vocabulary(written(tmp_path, name, text)) == TERMS


def test_terms_are_strings_whatever_type_yaml_infers(tmp_path: Path) -> None:
    path = written(tmp_path, "v.yaml", "- NO\n- 1984\n- 3.10\n- term: true\n  variants: [yes, 12:30]\n")
    assert [term.text for term in read_vocabulary(path)] == ["NO", "1984", "3.10", "true"]
    assert read_vocabulary(path)[3].variants == ("yes", "12:30")


def test_an_empty_file_is_an_empty_vocabulary(tmp_path: Path) -> None:
    assert read_vocabulary(written(tmp_path, "v.yaml", "")) == []
    assert read_vocabulary(written(tmp_path, "v.csv", "term\n")) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("v.yaml", "- a\n- b: [", "v.yaml, line 2: expected the node content"),
        ("v.yaml", "- a\n- variants: [b]\n", "v.yaml, line 2: `term` is missing"),
        ("v.yaml", "- a\n- ''\n", "v.yaml, line 2: `term` is missing"),
        ("v.yaml", "- a\n- [b]\n", "v.yaml, line 2: expected a term"),
        ("v.yaml", "- a\n- {term: b, spoken: c}\n", "v.yaml, line 2: unknown spoken"),
        ("v.yaml", "- a\n- {term: b, weight: heavy}\n", "v.yaml, line 2: `weight` 'heavy'"),
        ("v.yaml", "- a\n- {term: b, weight: -1}\n", "v.yaml, line 2: `weight` '-1'"),
        ("v.yaml", "- {term: b, weight: .nan}\n", "v.yaml, line 1: `weight`"),
        ("v.yaml", "- {term: b, variants: {c: d}}\n", "v.yaml, line 1: `variants`"),
        ("v.yaml", "- {term: b, variants: [[c]]}\n", "v.yaml, line 1: "),
        ("v.yaml", "words: here\n", "v.yaml, line 1: expected a list"),
        ("v.yaml", "just text", "v.yaml, line 1: expected a list"),
        ("v.yaml", '- "be\\u0007ll"\n', "v.yaml, line 1: `term` holds a control"),
        ("v.yaml", "- &a {term: b}\n- *a\n", "v.yaml, line 2: aliases (*) are not read"),
        ("v.yaml", "[" * 100_000, "v.yaml: nested too deeply"),
        ("v.csv", "name\nb\n", "v.csv, line 1: no column `term`"),
        ("v.csv", "", "v.csv, line 1: no column `term`"),
        ("v.csv", "term,weight\na,1\nb,heavy\n", "v.csv, line 3: `weight` 'heavy'"),
        ("v.csv", "term,weight\na,1\nb,1,c\n", "v.csv, line 3: more than 2 columns"),
        ("v.csv", "sep=;\nterm;weight\na;x\n", "v.csv, line 3: `weight` 'x'"),
        ("v.csv", "term,,\na,,note\n", "v.csv, line 2: unknown"),
        ("v.csv", "PK\x03\x04...", "is an Excel workbook"),
        ("v.yaml", '- "\\u200b"\n', "v.yaml, line 1: `term` is missing"),
        ("v.csv", 'term\na\n"b\n', "v.csv, line 3"),
        ("v.txt", "a\n", "neither .yaml, .yml nor .csv"),
    ],
)
def test_an_invalid_vocabulary_is_refused_with_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidVocabulary) as caught:
        read_vocabulary(written(tmp_path, name, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"term;variants;weight\r\nM\xc3\xbcller;miller|mueller;1,5\r\n",
        b"\xef\xbb\xbfterm;variants;weight\r\nM\xc3\xbcller;miller|mueller;1,5\r\n;;\r\n",
        b'"sep=;"\r\nterm;variants;weight\r\nM\xc3\xbcller;miller|mueller;1,5\r\n',
        "term\tvariants\tweight\nMüller\tmiller|mueller\t1.5\n".encode("utf-16"),
        b"Term, Variants ,weight,,\nM\xc3\xbcller,miller|mueller,1.5,,\n,,\n,,,,\n",
        b"category,term,variants,weight\n,M\xc3\xbcl\xc2\xadler,miller|mueller\xe2\x80\x8b,1.5,,\n",
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(content)
    assert read_vocabulary(path) == [Term("Müller", ("miller", "mueller"), weight=1.5)]


def test_joiners_that_belong_to_words_stay(tmp_path: Path) -> None:
    path = written(tmp_path, "v.yaml", "- می\u200cخواهم\n- क्\u200dष\n")
    assert [term.text for term in read_vocabulary(path)] == ["می\u200cخواهم", "क्\u200dष"]


def test_a_row_may_end_early(tmp_path: Path) -> None:
    assert read_vocabulary(written(tmp_path, "v.csv", "term,variants,weight\na\n")) == [Term("a")]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"term\n\xff\xfe\n")
    for name in ("missing.yaml", "binary.csv"):
        with pytest.raises(InvalidVocabulary, match=name):
            read_vocabulary(tmp_path / name)


def test_a_recordings_terms_are_read_like_a_files() -> None:
    entries = ["Kubernetes", {"text": "Miller", "variants": ["muller"], "weight": 2}]
    assert parse_terms(entries, "recording 3") == [Term("Kubernetes"), Term("Miller", ("muller",), weight=2.0)]
    with pytest.raises(InvalidVocabulary, match="recording 3, term 2: expected a term"):
        parse_terms(["a", 7], "recording 3")
