"""Metadata of insights for the Dagster UI."""

from __future__ import annotations

from typing import Any

import dagster as dg

from transcription_dagster.defs.previews import table
from transcription_dagster.insights.analyser import Insights


def insight_metadata(found: Insights) -> dict[str, Any]:
    """Return the analyser, the counts and the first findings."""
    phrases = [(phrase.text, f"{phrase.score:.2f}") for phrase in found.key_phrases]
    entities = [(entity.text, entity.type, f"{entity.score:.2f}") for entity in found.entities]
    shares = [(each.speaker, f"{each.share:.0%}", str(each.turns), str(each.questions)) for each in found.speakers]
    return {
        "analyser": found.analyser,
        "key_phrases": len(found.key_phrases),
        "entities": len(found.entities),
        **({"language": found.languages[0].code} if found.languages else {}),
        **({"sentiment": found.sentiment.label} if found.sentiment else {}),
        **({"phrases": dg.MetadataValue.md(table(("phrase", "score"), phrases))} if phrases else {}),
        **({"names": dg.MetadataValue.md(table(("entity", "type", "score"), entities))} if entities else {}),
        **(
            {"speakers": dg.MetadataValue.md(table(("speaker", "share", "turns", "questions"), shares))}
            if shares
            else {}
        ),
        **({"notes": " ".join(found.notes)} if found.notes else {}),
    }
