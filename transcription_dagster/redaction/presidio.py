"""Find personal data with Microsoft Presidio: names and places with a spaCy model, and numbers by patterns.

Presidio is the extra `presidio`. It is used for the languages whose spaCy models are installed as packages; nothing is
downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import Word
from transcription_dagster.redaction.entities import EntitySpan, entities_in_words
from transcription_dagster.redaction.patterns import Detection

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

#: Presidio scores a pattern that any digits can match from 0.01 to 0.4, a specific form 0.5, a number with a word such
#: as "phone" near it 0.35 more, an entity of a spaCy model 0.85, and a valid checksum 1.
_MIN_SCORE = 0.5
#: spaCy needs about 1 GB of memory for 100,000 characters (https://spacy.io/api/language#init, `max_length`).
_MAX_BYTES = 20_000
#: Presidio's types of numbers by our kinds. Its recognizer of e-mail addresses is left out: it looks domains up in a
#: list that it downloads, and finds no address that our pattern does not.
_NUMBERS: Mapping[str, str] = {"CREDIT_CARD": "card", "IBAN_CODE": "iban", "PHONE_NUMBER": "phone", "US_SSN": "ssn"}
_KINDS: Mapping[str, str] = {"PERSON": "name", "LOCATION": "address", **_NUMBERS}
#: Presidio's types by the labels of spaCy's models, which differ by language (https://spacy.io/models).
_LABELS: Mapping[str, str] = {
    label: entity
    for entity, labels in {
        "PERSON": "PERSON PER PRS PS persName",
        "LOCATION": "LOCATION LOC LC GPE GPE_LOC FAC FACILITY placeName geogName",
    }.items()
    for label in labels.split()
}
#: The components of a spaCy model that find entities.
_COMPONENTS = ("ner", "entity_ruler")


@dataclass(frozen=True, slots=True)
class Model:
    """An installed spaCy model, which is a package."""

    package: str
    version: str
    #: ISO 639-1.
    language: str
    #: Labels of the entities that it finds.
    labels: tuple[str, ...]
    #: F-score of its entities, 0 to 1, as its makers measured it.
    score: float

    @property
    def kinds(self) -> frozenset[str]:
        """Return the kinds that Presidio finds with this model."""
        by_model = {_KINDS[_LABELS[label]] for label in self.labels if label in _LABELS}
        return frozenset({*by_model, *_NUMBERS.values()})


def installed_model(language: str) -> Model | None:
    """Return the installed model of a language (ISO 639-1) whose entities are the most accurate."""
    models = [_model(entry.module) for entry in entry_points(group="spacy_models")]
    fitting = [model for model in models if model and model.language == language]
    return max(fitting, key=lambda model: (model.score, model.package), default=None)


def presidio_version() -> str:
    """Return the version of the installed Presidio."""
    return version("presidio-analyzer")


def find_by_presidio(words: Sequence[Word], kinds: Collection[str], model: Model) -> list[Detection]:
    """Return what Presidio finds of these kinds, in order. Raises `InvalidSetting` if the model does not load."""
    analyzer = _analyzer(model)
    entities = [entity for entity, kind in _KINDS.items() if kind in kinds and kind in model.kinds]

    def detect(text: str) -> Iterable[EntitySpan]:
        results = analyzer.analyze(text, model.language, entities=entities)
        return [EntitySpan(each.start, each.end, _KINDS[each.entity_type]) for each in results]

    return entities_in_words(words, kinds, _MAX_BYTES, detect)


def _model(package: str) -> Model | None:
    spec = find_spec(package)
    path = Path(spec.origin).with_name("meta.json") if spec and spec.origin else None
    if path is None or not path.is_file():
        return None
    meta = json.loads(path.read_text(encoding="utf-8"))
    labels = meta.get("labels", {})
    return Model(
        package,
        meta["version"],
        meta["lang"],
        tuple(label for component in _COMPONENTS for label in labels.get(component, ())),
        meta.get("performance", {}).get("ents_f") or 0.0,
    )


# One model only: run workers live long, and each model takes hundreds of MB.
@lru_cache(maxsize=1)
def _analyzer(model: Model) -> AnalyzerEngine:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        IbanRecognizer,
        PhoneRecognizer,
        SpacyRecognizer,
        UsSsnRecognizer,
    )

    try:
        pipeline = spacy.load(model.package)
    except (ImportError, OSError, ValueError) as error:
        raise InvalidSetting(
            f"The spaCy model {model.package} {model.version} does not load: {error} "
            f"Install one that was made for spaCy {version('spacy')}."
        ) from error
    others = [label for label in model.labels if label not in _LABELS]
    engine = SpacyNlpEngine(
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping=dict(_LABELS), labels_to_ignore=others
        )
    )
    # Its own `load` downloads missing models, and uses a GPU.
    engine.nlp = {model.language: pipeline}
    recognizers = (SpacyRecognizer, CreditCardRecognizer, IbanRecognizer, PhoneRecognizer, UsSsnRecognizer)
    languages = [model.language]
    return AnalyzerEngine(
        registry=RecognizerRegistry(
            [recognizer(supported_language=model.language) for recognizer in recognizers],
            supported_languages=languages,
        ),
        nlp_engine=engine,
        default_score_threshold=_MIN_SCORE,
        supported_languages=languages,
    )
