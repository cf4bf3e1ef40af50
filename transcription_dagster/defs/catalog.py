"""What Dagster's catalog shows about an asset besides its description: its file or table, and its source code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from transcription_dagster.database.descriptions import describe_table
from transcription_dagster.database.tables import Base, ChunkRow, CorrectionRow, TranscriptRow
from transcription_dagster.defs.assets.publication import MANIFEST_FILE
from transcription_dagster.defs.stored_values import AUDIO_FILE, EDITS_FILE, STORED_FORMS

#: The tables of the assets that Postgres holds.
_TABLES: Mapping[str, type[Base]] = {
    "corrections": CorrectionRow,
    "embeddings": ChunkRow,
    "publication": TranscriptRow,
}
#: The files that an asset writes besides the file of its value.
_OTHER_FILES: Mapping[str, str] = {"audio": AUDIO_FILE, "refined_txt": EDITS_FILE, "publication": MANIFEST_FILE}


def catalogued(
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Return the assets with their files (in the recording's folder), table and source code in their metadata."""
    described = [
        _described(asset) if isinstance(asset, dg.AssetSpec) else asset.map_asset_specs(_described) for asset in assets
    ]
    with warnings.catch_warnings():
        # References to code are a beta feature of Dagster, which warns once for each asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        referenced = dg.with_source_code_references(described)
    return [asset for asset in referenced if isinstance(asset, (dg.AssetsDefinition, dg.AssetSpec))]


def _described(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.merge_attributes(metadata=_place(spec))


def _place(spec: dg.AssetSpec) -> Mapping[str, Any]:
    name = spec.key.to_user_string()
    form = STORED_FORMS.get(name)
    files = [*([form.file] if form else []), *([_OTHER_FILES[name]] if name in _OTHER_FILES else [])]
    return {
        **({"files": ", ".join(files)} if files else {}),
        **(_table_metadata(_TABLES[name]) if name in _TABLES else {}),
    }


def _table_metadata(row: type[Base]) -> Mapping[str, Any]:
    table = describe_table(row)
    columns = [
        dg.TableColumn(
            column.name,
            column.type,
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in table.columns
    ]
    return {"dagster/table_name": table.name, "dagster/column_schema": dg.TableSchema(columns)}
