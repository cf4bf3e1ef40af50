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


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations."""
    models = {model for operation in operations for model in (operation.input, operation.output) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "transcription-dagster",
            "version": __version__,
            "description": "Recordings, their texts, and people's corrections. Times are in seconds from the start of "
            "the recording. Send a token of `transcription tokens create` as `Authorization: Bearer`.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    description: dict[str, Any] = {
        "summary": operation.summary,
        "description": _scopes(operation),
        "operationId": _identifier(operation),
        "responses": {
            str(operation.status): {
                "description": "The result.",
                "content": {operation.media_type: _content(operation.output)},
            },
            "default": {"description": "The error.", "content": {"application/json": {"schema": _ERROR}}},
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.accepts_file:
        description["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if operation.input is not None and operation.has_body:
        description["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.input)}},
        }
    elif operation.input is not None:
        schema = operation.input.model_json_schema(ref_template=_REFERENCE)
        required = schema.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": parameter}
            for name, parameter in schema["properties"].items()
        ]
    return description | ({"parameters": parameters} if parameters else {})


def _scopes(operation: Operation) -> str:
    required = f"Needs the scope `{operation.scope}`."
    if not operation.shows_everything:
        return required
    return f"{required} Where only redacted files are published, also `{TokenScope.READ_UNREDACTED}`."


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    return {"schema": _reference(model)} if model is not None else {}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _identifier(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.removeprefix("/api"))
    return "_".join([operation.method.lower(), *words])
