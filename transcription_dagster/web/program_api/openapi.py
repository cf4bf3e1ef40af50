"""The description of the API (OpenAPI 3.1), generated from the operations that answer it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from transcription_dagster import __version__
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.web.program_api.operations import Operation

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFERENCE = "#/components/schemas/{model}"


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations."""
    models = {model for each in operations for model in (each.takes, each.returns) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "transcription-dagster",
            "version": __version__,
            "description": "Recordings, their texts, and people's corrections. Times are seconds from the start of the "
            "recording. Show a token of `transcription tokens create` as `Authorization: Bearer`.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "description": _scopes(operation),
        "operationId": _identifier(operation),
        "responses": {
            str(operation.status): {
                "description": "The answer.",
                "content": {operation.produces: _content(operation.returns)},
            },
            "default": {"description": "What went wrong.", "content": {"application/json": {"schema": _ERROR}}},
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.takes_file:
        described["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if operation.takes is not None and operation.has_body:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.takes)}},
        }
    elif operation.takes is not None:
        schema = operation.takes.model_json_schema(ref_template=_REFERENCE)
        required = schema.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": each}
            for name, each in schema["properties"].items()
        ]
    return described | ({"parameters": parameters} if parameters else {})


def _scopes(operation: Operation) -> str:
    needed = f"Needs the scope `{operation.scope}`."
    if not operation.shows_everything:
        return needed
    return f"{needed} Where only redacted files are published, also `{TokenScope.READ_UNREDACTED}`."


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    return {"schema": _reference(model)} if model is not None else {}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _identifier(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.removeprefix("/api"))
    return "_".join([operation.method.lower(), *words])
