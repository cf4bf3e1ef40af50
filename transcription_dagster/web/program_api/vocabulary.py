"""The vocabulary over the API: its terms, and the terms that corrections suggest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from transcription_dagster.corrections.suggestions import suggestions
from transcription_dagster.database import vocabulary
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.settings import Settings
from transcription_dagster.vocabulary.files import parse_terms, read_csv, read_yaml, write_csv
from transcription_dagster.vocabulary.variants import problems
from transcription_dagster.web.program_api.operations import Call, Input, Operation, reads_everything

_LONGEST = 200


class TermModel(Input):
    """A term: its spelling, and its misheard variants."""

    text: str = Field(min_length=1, max_length=_LONGEST)
    variants: list[str] = Field(default=[], max_length=100)
    category: str = Field(default="", max_length=_LONGEST)
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)


class PlaceModel(BaseModel):
    """Where a correction was made, in seconds from the start of the recording."""

    recording: str
    start: float


class SuggestionModel(BaseModel):
    """A term that people wrote for the same mishearing at several places."""

    term: str
    variant: str
    places: list[PlaceModel]
    #: Why only Claude may correct the variant; empty if the vocabulary corrects it by itself.
    risk: str


class VocabularyModel(BaseModel):
    """All terms, problems with them, and the terms that corrections suggest."""

    terms: list[TermModel]
    problems: list[str]
    suggestions: list[SuggestionModel]


class RemovalRequest(Input):
    """The term to remove."""

    text: str = Field(max_length=_LONGEST)


class DecisionRequest(Input):
    """Whether to add a suggestion to the vocabulary."""

    term: str = Field(min_length=1, max_length=_LONGEST)
    variant: str = Field(min_length=1, max_length=_LONGEST)
    accept: bool


class ImportRequest(Input):
    """Terms as a document; an imported term replaces an existing one with the same text."""

    document: str
    format: Literal["csv", "yaml"]


@dataclass(frozen=True, slots=True)
class VocabularyOperations:
    """The operations on the vocabulary: list, change, import and export terms, and decide on suggestions."""

    engine: Engine
    settings: Settings

    def operations(self) -> list[Operation]:
        """Return the operations."""
        all_terms = "/api/vocabulary"
        one, removals, decisions = f"{all_terms}/terms", f"{all_terms}/removals", f"{all_terms}/suggestions"
        read, correct = TokenScope.READ, TokenScope.CORRECT
        return [
            Operation("GET", all_terms, read, "Terms and suggestions", self.list, None, VocabularyModel),
            Operation("PUT", one, correct, "Add or replace a term", self.put, TermModel, VocabularyModel),
            Operation("POST", removals, correct, "Remove a term", self.remove, RemovalRequest, VocabularyModel),
            Operation(
                "POST",
                decisions,
                correct,
                "Accept or decline a suggestion",
                self.decide,
                DecisionRequest,
                VocabularyModel,
            ),
            Operation("POST", f"{all_terms}/import", correct, "Import terms", self.add, ImportRequest, VocabularyModel),
            Operation("GET", f"{all_terms}.csv", read, "Export the terms", self.export, media_type="text/csv"),
        ]

    def list(self, call: Call) -> VocabularyModel:
        """Return the current vocabulary."""
        terms = vocabulary.terms(self.engine)
        return VocabularyModel(
            terms=[
                TermModel(text=term.text, variants=[*term.variants], category=term.category, weight=term.weight)
                for term in terms
            ],
            problems=problems(terms),
            # A suggestion quotes the recordings' text, which redaction may remove.
            suggestions=[
                SuggestionModel.model_validate(asdict(suggestion))
                for suggestion in (suggestions(self.engine) if reads_everything(call.access, self.settings) else ())
            ],
        )

    def put(self, call: Call) -> VocabularyModel:
        """Add a term, with the same checks as for a file. Raises `InvalidVocabulary`."""
        vocabulary.put(self.engine, parse_terms([call.values.model_dump()], "the term"))
        return self.list(call)

    def remove(self, call: Call) -> VocabularyModel:
        """Remove a term; removing a missing one is not an error."""
        vocabulary.remove(self.engine, call.values.text)
        return self.list(call)

    def decide(self, call: Call) -> VocabularyModel:
        """Add a suggestion to the vocabulary, or never suggest it again."""
        values: DecisionRequest = call.values
        [term] = parse_terms([{"term": values.term, "variants": [values.variant]}], "the suggestion")
        if values.accept:
            vocabulary.add_variant(self.engine, term.text, term.variants[0])
        else:
            vocabulary.decline(self.engine, term.text, term.variants[0])
        return self.list(call)

    def add(self, call: Call) -> VocabularyModel:
        """Import terms. On an error, raises `InvalidVocabulary` with the line and imports none."""
        values: ImportRequest = call.values
        read = read_csv if values.format == "csv" else read_yaml
        vocabulary.put(self.engine, read(values.document, "the document"))
        return self.list(call)

    def export(self, _call: Call) -> Response:
        """Export the terms as CSV that the import reads."""
        headers = {"Content-Disposition": 'attachment; filename="vocabulary.csv"'}
        return Response(write_csv(vocabulary.terms(self.engine)), media_type="text/csv", headers=headers)
