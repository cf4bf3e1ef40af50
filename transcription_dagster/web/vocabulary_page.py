"""`/vocabulary`: the page that shows and changes the vocabulary. It works without scripts: each button is a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from transcription_dagster.corrections.suggestions import suggestions
from transcription_dagster.database import vocabulary
from transcription_dagster.database.archive import titles
from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import InvalidVocabulary
from transcription_dagster.vocabulary.files import parse_terms, read_csv, read_yaml
from transcription_dagster.vocabulary.variants import problems
from transcription_dagster.web.guard import CSRF_FIELD
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.program_api.operations import LARGEST_BODY, Refusal, bounded_body

PAGE = "/vocabulary"

_Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VocabularyPage:
    """The page, and the changes that its forms send."""

    engine: Engine
    pages: Pages

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page and of its forms."""
        changes: Mapping[str, Callable[[_Form], None]] = {
            "terms": self._put,
            "removals": self._remove,
            "suggestions": self._decide,
            "import": self._import,
        }
        forms = [Route(f"{PAGE}/{name}", self._endpoint(change), methods=["POST"]) for name, change in changes.items()]
        # Dagster's UI would answer any other path with its own page.
        rest = Route(f"{PAGE}/{{rest:path}}", lambda request: self.pages.not_found(request), methods=["GET"])
        return [Route(PAGE, self.show, methods=["GET"]), *forms, rest]

    def show(self, request: Request, complaint: str = "", status: int = 422, refused: _Form | None = None) -> Response:
        """Show all terms, and the terms that corrections suggest; a refused form keeps what was typed."""
        terms = vocabulary.terms(self.engine)
        suggested = suggestions(self.engine)
        linked = {place.recording for suggestion in suggested for place in suggestion.places[:3]}
        values = {
            "terms": terms,
            "problems": problems(terms),
            "suggestions": suggested,
            "titles": titles(self.engine, linked),
            "complaint": complaint,
            "refused": refused or {},
        }
        return self.pages.render(request, "vocabulary.html", values, status=status if complaint else 200)

    def _endpoint(self, change: Callable[[_Form], None]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                body = await bounded_body(request)
            except Refusal:
                complaint = f"This is larger than {LARGEST_BODY / 1e6:.0f} MB. Import the terms in parts."
                return await run_in_threadpool(self.show, request, complaint, 413)
            fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
            form = {name: values[0] for name, values in fields.items()}
            return await run_in_threadpool(self._apply, request, form, change)

        return endpoint

    def _apply(self, request: Request, form: _Form, change: Callable[[_Form], None]) -> Response:
        if not self.pages.csrf.is_valid(request, form.get(CSRF_FIELD, "")):
            return self.show(request, "This page was outdated and has been reloaded. Try again.", refused=form)
        try:
            change(form)
        except InvalidVocabulary as error:
            return self.show(request, str(error), refused=form)
        return RedirectResponse(PAGE, 303)

    def _put(self, form: _Form) -> None:
        variants = [line.strip() for line in form.get("variants", "").splitlines() if line.strip()]
        entry = {"term": form.get("term", ""), "variants": variants, "category": form.get("category", "").strip()}
        [term] = parse_terms([{**entry, "weight": form.get("weight", "")}], "the form")
        vocabulary.put(self.engine, [term])
        old_text = form.get("old_text", "")
        if old_text and old_text != term.text:
            vocabulary.remove(self.engine, old_text)

    def _remove(self, form: _Form) -> None:
        vocabulary.remove(self.engine, form.get("term", ""))

    def _decide(self, form: _Form) -> None:
        entry = {"term": form.get("term", ""), "variants": [form.get("variant", "")]}
        [term] = parse_terms([entry], "the suggestion")
        decide = vocabulary.add_variant if form.get("accept") == "yes" else vocabulary.decline
        decide(self.engine, term.text, term.variants[0])

    def _import(self, form: _Form) -> None:
        document = form.get("document", "")
        is_csv = "," in document.partition("\n")[0] or document.strip().partition("\n")[0].strip() == "term"
        vocabulary.put(self.engine, (read_csv if is_csv else read_yaml)(document, "the document"))
