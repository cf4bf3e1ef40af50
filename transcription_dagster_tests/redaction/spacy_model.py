"""A spaCy model that knows a few names by rules, installed as spaCy's own models are: a package with an entry point."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "en_few_names"
VERSION = "1.2.3"
_LOAD = """
from spacy.util import load_model_from_init_py

def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
"""


def installed_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, meta: Mapping[str, object], package: str = PACKAGE
) -> Path:
    """Install a package with this `meta.json` for the test, and return its folder."""
    home, about = folder / package, folder / f"{package}-{VERSION}.dist-info"
    home.mkdir()
    about.mkdir()
    (home / "__init__.py").write_text(_LOAD)
    (home / "meta.json").write_text(json.dumps(meta))
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {VERSION}\n")
    (about / "entry_points.txt").write_text(f"[spacy_models]\n{package} = {package}\n")
    monkeypatch.syspath_prepend(folder)
    # So that it is imported anew, and forgotten after the test.
    monkeypatch.delitem(sys.modules, package, raising=False)
    return home


def install_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install an English model that finds Ada Brooks, Pier Road and Brighton, and an organisation."""
    import spacy

    pipeline = spacy.blank("en", meta={"name": PACKAGE.removeprefix("en_"), "version": VERSION})
    patterns = [("PERSON", "Ada Brooks"), ("FAC", "Pier Road"), ("GPE", "Brighton"), ("ORG", "Acme")]
    # spaCy types what `add_pipe` returns as a function.
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": text} for label, text in patterns])
    # Presidio reads the words near a number by their lemmas, which a blank pipeline does not have.
    lemmas: Any = pipeline.add_pipe("attribute_ruler")
    lemmas.add([[{"LOWER": "phone"}]], {"LEMMA": "phone"})
    home = installed_package(folder, monkeypatch, pipeline.meta)
    pipeline.to_disk(home / f"{PACKAGE}-{VERSION}")
