"""Operations of the API: who may call one, how requests are validated, and how errors become responses.

An operation declares its input and output once, for the handler and for the OpenAPI description.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from transcription_dagster.database import tokens
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.errors import (
    CorrectionConflict,
    InvalidRecordingId,
    InvalidVocabulary,
    RecordingForgotten,
    SourceNotFound,
    SourceRefused,
    TranscriptionError,
    TransientError,
    UnknownRecording,
    UnusableCorrection,
)
from transcription_dagster.model import recording_id
from transcription_dagster.settings import Settings
from transcription_dagster.web.guard import CSRF_HEADER, Csrf

#: Paths that accept a token. The wall of the login admits requests with a token there; `access_of` checks the token.
API, MCP = "/api/", "/mcp"


class Refusal(Exception):
    """A refused request: the status and the reason."""

    def __init__(self, status: int, complaint: str) -> None:
        super().__init__(complaint)
        self.status = status
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class Access:
    """Who sends a request: the token's name, or None for a browser, whose users give their name."""

    program: str | None
    scopes: frozenset[TokenScope]


def reads_everything(access: Access, settings: Settings) -> bool:
    """Return whether the sender may read text that redaction removes: by its scope, or if everything is published."""
    return settings.publish == "all" or TokenScope.READ_UNREDACTED in access.scopes


def token_of(request: HTTPConnection) -> str | None:
    """Return a request's bearer token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def has_token(request: HTTPConnection) -> bool:
    """Return whether a request brings a token to a path that accepts tokens."""
    path = request.scope["path"]
    return (path == MCP or path.startswith(API)) and token_of(request) is not None


def access_of(engine: Engine, csrf: Csrf, request: Request) -> Access:
    """Return who sends a request and what it may do: the scopes of its token, or everything for a logged-in browser.

    The wall of the login has already checked the password, if there is one. Raises `Refusal` for an unknown token, and
    for a browser's change without a valid CSRF token.
    """
    token = token_of(request)
    if token is not None:
        owner = tokens.find(engine, token)
        if owner is None:
            raise Refusal(401, "the token is unknown or revoked; `transcription tokens create` makes one")
        return Access(owner.name, owner.scopes)
    changes = request.method not in ("GET", "HEAD")
    if changes and _is_from_browser(request) and not csrf.is_valid(request, request.headers.get(CSRF_HEADER, "")):
        raise Refusal(403, "the page is outdated or from another server: reload it")
    return Access(None, frozenset(TokenScope))


def _is_from_browser(request: HTTPConnection) -> bool:
    """Return whether a request names a page or has cookies: browsers do either, other programs neither."""
    headers = request.headers
    return "origin" in headers or "sec-fetch-site" in headers or "cookie" in headers


#: Enough for a turn of 20,000 characters, or a vocabulary of some thousand terms.
LARGEST_BODY = 1_000_000

ONLY_REDACTED = (
    "only redacted files are published (TRANSCRIPTION_PUBLISH): read those that the recording lists in `files`, or use "
    f"a token with the scope {TokenScope.READ_UNREDACTED}"
)

_STATUSES: Sequence[tuple[type[TranscriptionError], int]] = (
    (CorrectionConflict, 409),
    (InvalidRecordingId, 404),
    (UnknownRecording, 404),
    (SourceNotFound, 404),
    (RecordingForgotten, 410),
    (UnusableCorrection, 422),
    (InvalidVocabulary, 422),
    (SourceRefused, 422),
    (TransientError, 503),
)

_log = logging.getLogger(__name__)


class Input(BaseModel):
    """The input of an operation. An unknown name is an error, so that a misspelt filter does not list everything."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _has_no_null_character(cls, value: object) -> object:
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and "\0" in text:
                raise ValueError("a text must not contain null characters")
        return value


@dataclass(frozen=True, slots=True)
class Call:
    """A validated request: the sender, the recording in the path, and the values of query and body."""

    request: Request
    access: Access
    #: Canonical UUID; empty for an operation that does not concern a recording.
    recording: str
    values: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path, and their handler."""

    method: str
    path: str
    scope: TokenScope
    summary: str
    #: Runs in a thread, unless it is a coroutine.
    handler: Callable[[Call], BaseModel | Response | Awaitable[BaseModel | Response]]
    #: The query's parameters, or for methods other than GET and DELETE the fields of the JSON body.
    input: type[Input] | None = None
    output: type[BaseModel] | None = None
    #: Media type of the response.
    media_type: str = "application/json"
    status: int = 200
    #: The body is a file, which the handler reads itself.
    accepts_file: bool = False
    #: Whether it returns the whole text, including what redaction removes.
    shows_everything: bool = False

    @property
    def has_body(self) -> bool:
        """Return whether the input is in the body."""
        return self.input is not None and self.method not in ("GET", "DELETE") and not self.accepts_file

    def route(self, engine: Engine, csrf: Csrf, settings: Settings) -> Route:
        """Return the route, which validates requests and turns errors into JSON."""

        async def endpoint(request: Request) -> Response:
            return await respond(lambda: self._response(engine, csrf, settings, request))

        return Route(self.path, endpoint, methods=[self.method])

    async def _response(self, engine: Engine, csrf: Csrf, settings: Settings, request: Request) -> Response:
        access = await run_in_threadpool(require_scope, engine, csrf, request, self.scope)
        if self.shows_everything and not reads_everything(access, settings):
            raise Refusal(403, ONLY_REDACTED)
        recording = recording_id(request.path_params["recording"]) if "recording" in request.path_params else ""
        values = await self._values(request)
        call = Call(request, access, recording, values)
        is_coroutine = iscoroutinefunction(self.handler)
        pending: Any = self.handler(call) if is_coroutine else run_in_threadpool(self.handler, call)
        result: BaseModel | Response = await pending
        if isinstance(result, Response):
            return result
        return JSONResponse(result.model_dump(mode="json"), self.status)

    async def _values(self, request: Request) -> Any:
        if self.input is None:
            return None
        if not self.has_body:
            return self.input.model_validate(dict(request.query_params))
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "the body must be application/json")
        return self.input.model_validate_json(await bounded_body(request), strict=True)


def require_scope(engine: Engine, csrf: Csrf, request: Request, scope: TokenScope) -> Access:
    """Return the access of a request's sender. Raises `Refusal` if it lacks the scope, and as `access_of` does."""
    access = access_of(engine, csrf, request)
    if scope not in access.scopes:
        raise Refusal(403, f"the token {access.program!r} lacks the scope {scope}")
    return access


async def bounded_body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """Return the body of a request. Raises `Refusal` if it has more than `largest` bytes."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise Refusal(413, f"the body is larger than {largest} bytes")
    return body


async def respond(handle: Callable[[], Awaitable[Response]]) -> Response:
    """Return the response of `handle`, or its error as `{"error": …}`."""
    try:
        return await handle()
    except Refusal as refusal:
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
        return JSONResponse({"error": refusal.complaint}, refusal.status, headers)
    except ValidationError as error:
        return JSONResponse({"error": validation_message(error)}, 422)
    except TranscriptionError as error:
        return JSONResponse({"error": str(error)}, status_of(error))


def status_of(error: TranscriptionError) -> int:
    """Return the HTTP status for an error."""
    for error_class, status in _STATUSES:
        if isinstance(error, error_class):
            return status
    _log.error("%s: %s", type(error).__name__, error)
    return 500


def validation_message(error: ValidationError) -> str:
    """Return what is wrong with the input, in one line that does not repeat the values."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in problems[:5]
    )
