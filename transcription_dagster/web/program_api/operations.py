"""An operation of the API: its input and output are declared once, for the handler and for the description."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
from transcription_dagster.web.csrf import Csrf
from transcription_dagster.web.program_api.access import Access, Refusal, access_of, reads_everything

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
                raise ValueError("a text must not hold null characters")
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
    answer: Callable[[Call], BaseModel | Response | Awaitable[BaseModel | Response]]
    #: The query's parameters, or for methods other than GET and DELETE the fields of the JSON body.
    takes: type[Input] | None = None
    returns: type[BaseModel] | None = None
    #: Media type of the response.
    produces: str = "application/json"
    status: int = 200
    #: The body is a file, which the handler reads itself.
    takes_file: bool = False
    #: It returns the whole text, including what redaction removes.
    shows_everything: bool = False

    @property
    def has_body(self) -> bool:
        """Return whether the input is in the body."""
        return self.takes is not None and self.method not in ("GET", "DELETE") and not self.takes_file

    def route(self, engine: Engine, csrf: Csrf, settings: Settings) -> Route:
        """Return the route that validates a request, handles it in a thread, and turns errors into JSON."""

        async def endpoint(request: Request) -> Response:
            return await respond(lambda: self._answer(engine, csrf, settings, request))

        return Route(self.path, endpoint, methods=[self.method])

    async def _answer(self, engine: Engine, csrf: Csrf, settings: Settings, request: Request) -> Response:
        access = await run_in_threadpool(permitted, engine, csrf, request, self.scope)
        if self.shows_everything and not reads_everything(access, settings):
            raise Refusal(403, ONLY_REDACTED)
        recording = recording_id(request.path_params["recording"]) if "recording" in request.path_params else ""
        values = await self._values(request)
        call = Call(request, access, recording, values)
        is_coroutine = iscoroutinefunction(self.answer)
        answer: Any = self.answer(call) if is_coroutine else run_in_threadpool(self.answer, call)
        found: BaseModel | Response = await answer
        if isinstance(found, Response):
            return found
        return JSONResponse(found.model_dump(mode="json"), self.status)

    async def _values(self, request: Request) -> Any:
        if self.takes is None:
            return None
        if not self.has_body:
            return self.takes.model_validate(dict(request.query_params))
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "the body must be application/json")
        return self.takes.model_validate_json(await bounded_body(request), strict=True)


def permitted(engine: Engine, csrf: Csrf, request: Request, scope: TokenScope) -> Access:
    """Return the sender if it has the scope. Raises `Refusal`."""
    access = access_of(engine, csrf, request)
    if scope not in access.scopes:
        raise Refusal(403, f"the token {access.program!r} lacks the scope {scope}")
    return access


async def bounded_body(request: Request) -> bytes:
    """Return the body of a request. Raises `Refusal` if it is larger than `LARGEST_BODY`."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Refusal(413, f"the body is larger than {LARGEST_BODY} bytes")
    return body


async def respond(answer: Callable[[], Awaitable[Response]]) -> Response:
    """Return the response, or an error as `{"error": …}`."""
    try:
        return await answer()
    except Refusal as refusal:
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
        return JSONResponse({"error": refusal.complaint}, refusal.status, headers)
    except ValidationError as error:
        return JSONResponse({"error": validation_message(error)}, 422)
    except TranscriptionError as error:
        return JSONResponse({"error": str(error)}, status_of(error))


def status_of(error: TranscriptionError) -> int:
    """Return the HTTP status for an error."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    _log.error("%s: %s", type(error).__name__, error)
    return 500


def validation_message(error: ValidationError) -> str:
    """Return what is wrong with the values, in one line that does not repeat them."""
    wrong = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg'].removeprefix('Value error, ')}"
        for each in wrong[:5]
    )
