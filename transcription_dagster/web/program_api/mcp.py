"""The archive for assistants: a Model Context Protocol server with tools to search and read.

Streamable HTTP without sessions: every request is a POST answered by one JSON-RPC message, which the protocol allows
for a server that sends nothing on its own. See https://modelcontextprotocol.io/specification/2025-11-25.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transcription_dagster import __version__
from transcription_dagster.corrections.changes import ChangedWords
from transcription_dagster.corrections.reading import CorrectedReading, apply_changes, apply_refinement
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.defs.stored_values import stored_value
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.model import recording_id
from transcription_dagster.web.guard import Csrf
from transcription_dagster.web.program_api.correcting import Correcting
from transcription_dagster.web.program_api.operations import (
    MCP,
    Input,
    Refusal,
    bounded_body,
    reads_everything,
    require_scope,
    respond,
    validation_message,
)
from transcription_dagster.web.program_api.recordings import moments
from transcription_dagster.web.reading_room.archive import Archive

#: The supported versions of the protocol, newest first.
_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMETERS = -32700, -32600, -32601, -32602
#: Characters after which a reading is continued by another call.
_LONGEST_READING = 40_000
_INSTRUCTIONS = (
    "An archive of transcribed recordings. Search it, read around each match, and cite the moment of each statement: "
    "the recording's title, the time, and the link of the moment."
)


class SearchArguments(Input):
    """A query: keywords or a question."""

    query: str = Field(min_length=1, max_length=500)
    limit: int = Field(default=8, ge=1, le=50, description="Maximum number of moments to return.")


class ReadArguments(Input):
    """The recording and the part of it to read."""

    recording: str = Field(description="The UUID of the recording, from a search result.")
    start: float = Field(default=0.0, ge=0, description="Seconds from the start of the recording.")
    end: float | None = Field(default=None, description="Seconds; if unset, as much as fits in one result.")

    @model_validator(mode="after")
    def _goes_forward(self) -> ReadArguments:
        if self.end is not None and self.end < self.start:
            raise ValueError("`end` is before `start`")
        return self


class SourceMoment(BaseModel):
    """A moment that matches a query, with the link to cite as its source."""

    recording: str = Field(description="The UUID of the recording.")
    title: str | None
    recorded_at: datetime
    start: float = Field(description="Seconds from the start of the recording.")
    end: float
    speakers: list[str]
    text: str
    link: str = Field(description="Where to read and hear it.")


class SourceMoments(BaseModel):
    """The moments that match a query, best first."""

    moments: list[SourceMoment]


class SourceTurn(BaseModel):
    """One speaker's turn; times in seconds from the start of the recording."""

    start: float
    end: float
    speaker: str | None
    text: str
    link: str


class SourceTurns(BaseModel):
    """A part of a recording; `next_start` is where to continue, None at its end."""

    recording: str
    title: str | None
    turns: list[SourceTurn]
    next_start: float | None


class _Error(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Caller:
    """The server's address as the caller sees it, and what the caller may read."""

    origin: str
    reads_everything: bool


@dataclass(frozen=True, slots=True)
class _Tool:
    title: str
    description: str
    arguments: type[Input]
    result: type[BaseModel]
    call: Callable[[Any, _Caller], BaseModel]


@dataclass(frozen=True, slots=True)
class Assistants:
    """Answers assistants' messages."""

    archive: Archive
    correcting: Correcting

    def routes(self, csrf: Csrf) -> list[BaseRoute]:
        """Return the endpoint. A GET, which would open a stream, is refused: the server sends nothing on its own."""

        async def endpoint(request: Request) -> Response:
            return await respond(lambda: self._response(request, csrf))

        return [Route(MCP, endpoint, methods=["GET", "POST", "DELETE"])]

    async def _response(self, request: Request, csrf: Csrf) -> Response:
        access = await run_in_threadpool(require_scope, self.archive.engine, csrf, request, TokenScope.READ)
        if request.method != "POST":
            return JSONResponse({"error": "send messages by POST; there are no sessions"}, 405, {"Allow": "POST"})
        version = request.headers.get("mcp-protocol-version", _VERSIONS[0])
        if version not in _VERSIONS:
            raise Refusal(400, f"unsupported protocol version; supported: {', '.join(_VERSIONS)}")
        try:
            # Unlike `json.loads`, it refuses what cannot be sent back: NaN and half characters.
            message = from_json(await bounded_body(request), allow_inf_nan=False)
        except ValueError:
            return _error_response(None, _PARSE_ERROR, "the body is not JSON")
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return _error_response(None, _INVALID_REQUEST, "a message with a `method` is expected")
        if "id" not in message:
            return Response(status_code=202)
        caller = _Caller(str(request.base_url).rstrip("/"), reads_everything(access, self.archive.settings))
        try:
            result = await run_in_threadpool(self._result, message["method"], message.get("params"), caller)
        except _Error as error:
            return _error_response(message["id"], error.code, str(error))
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _result(self, method: str, parameters: object, caller: _Caller) -> dict[str, Any]:
        values = parameters if isinstance(parameters, dict) else {}
        match method:
            case "initialize":
                version = values.get("protocolVersion")
                return {
                    "protocolVersion": version if version in _VERSIONS else _VERSIONS[0],
                    "capabilities": {"tools": {"listChanged": False}},
                    "serverInfo": {"name": "transcription-dagster", "version": __version__},
                    "instructions": _INSTRUCTIONS,
                }
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [_description(name, tool) for name, tool in self._tools().items()]}
            case "tools/call":
                return self._call(values, caller)
            case _:
                raise _Error(_NO_METHOD, f"there is no method {method[:100]!r}")

    def _tools(self) -> Mapping[str, _Tool]:
        search = "Find moments in the recordings by words and by meaning, each with its recording, time and link."
        read = "Read the corrected text of a recording, turn by turn, with times and speakers."
        return {
            "search": _Tool("Search the recordings", search, SearchArguments, SourceMoments, self._search),
            "read_recording": _Tool("Read a recording", read, ReadArguments, SourceTurns, self._read),
        }

    def _call(self, values: Mapping[str, Any], caller: _Caller) -> dict[str, Any]:
        tool = self._tools().get(str(values.get("name")))
        if tool is None:
            raise _Error(_INVALID_PARAMETERS, f"there is no tool {str(values.get('name'))[:100]!r}")
        try:
            arguments = tool.arguments.model_validate(values.get("arguments") or {})
            result = tool.call(arguments, caller).model_dump(mode="json")
        except ValidationError as error:
            return _tool_error(validation_message(error))
        except TranscriptionError as error:
            return _tool_error(str(error))
        return {
            "content": [{"type": "text", "text": json.dumps(result, ensure_ascii=False)}],
            "structuredContent": result,
        }

    def _search(self, arguments: SearchArguments, caller: _Caller) -> SourceMoments:
        matches = moments(self.archive, arguments.query, arguments.limit, redacted=not caller.reads_everything)
        return SourceMoments(
            moments=[
                SourceMoment(**moment.model_dump(exclude={"page", "snippet"}), link=f"{caller.origin}{moment.page}")
                for moment in matches
            ]
        )

    def _read(self, arguments: ReadArguments, caller: _Caller) -> SourceTurns:
        uuid = recording_id(arguments.recording)
        recording = self.archive.recording(uuid)
        reading = self.correcting.current(uuid).reading if caller.reads_everything else self._redacted(uuid)
        turns: list[SourceTurn] = []
        characters = 0
        next_start: float | None = None
        for turn in reading.turns():
            span = reading.stretch(turn.first, turn.stop)
            if span.end < arguments.start or not turn.words:
                continue
            if (arguments.end is not None and span.start > arguments.end) or characters > _LONGEST_READING:
                next_start = span.start
                break
            characters += len(turn.text)
            link = f"{caller.origin}/recordings/{uuid}?t={span.start:.2f}"
            turns.append(SourceTurn(start=span.start, end=span.end, speaker=turn.speaker, text=turn.text, link=link))
        return SourceTurns(recording=uuid, title=recording.title, turns=turns, next_start=next_start)

    def _redacted(self, uuid: str) -> CorrectedReading:
        """Return the redacted text. Raises `SourceNotFound` if there is none yet."""
        words = stored_value(self.archive.store, "redacted_json", uuid).words
        return apply_changes(apply_refinement(words, None), ChangedWords())


def _description(name: str, tool: _Tool) -> dict[str, Any]:
    return {
        "name": name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.arguments.model_json_schema(),
        "outputSchema": tool.result.model_json_schema(mode="serialization"),
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


def _tool_error(complaint: str) -> dict[str, Any]:
    """Return a failed call as a result, so that the assistant can read the error and try again."""
    return {"content": [{"type": "text", "text": complaint}], "isError": True}


def _error_response(identifier: object, code: int, message: str) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": message}})
