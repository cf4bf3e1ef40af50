"""Render the pages of the reading room: templates, content security policy, and error pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.templating import Jinja2Templates

from transcription_dagster.errors import (
    InvalidRecordingId,
    SourceNotFound,
    TranscriptionError,
    TransientError,
    UnknownRecording,
)
from transcription_dagster.transcripts.conversation import shown_speaker
from transcription_dagster.web import formats
from transcription_dagster.web.csrf import Csrf

_NOT_FOUND = (InvalidRecordingId, UnknownRecording, SourceNotFound)

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "clock": formats.short_clock,
    "day": formats.day,
    "direction": formats.direction,
    "moment": formats.moment,
    "language_name": formats.language_name,
    "marked": formats.marked,
    "shown_speaker": shown_speaker,
}
_NO_RECORDING = "There is no recording at this address. The link may be incomplete."
#: Characters of a page that are sent together.
_PART = 32_000
_templates = Jinja2Templates(env=_environment)


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders the pages' templates."""

    csrf: Csrf
    #: Whether there is a login, so that pages offer a logout.
    has_login: bool = False

    def render(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any],
        *,
        status: int = 200,
        media_origin: str = "",
        in_parts: bool = False,
    ) -> Response:
        """Render a page. `media_origin` is the other server that its audio and video come from, if any.

        A long page is sent `in_parts`, the first before the last is rendered.
        """
        token = self.csrf.token(request)
        context = {**values, "csrf_token": token, "has_login": self.has_login}
        headers = {"Content-Security-Policy": _policy(media_origin)}
        if in_parts:
            pieces = _templates.get_template(template).generate({**context, "request": request})
            response: Response = StreamingResponse(_parts(pieces), status, headers, media_type="text/html")
        else:
            response = _templates.TemplateResponse(request, template, context, status, headers=headers)
        self.csrf.give(request, response, token)
        return response

    def error(self, request: Request, error: Exception) -> Response:
        """Report an error: as a page to a browser, as JSON to any other program."""
        if not isinstance(error, TranscriptionError):
            raise error
        complaint = _NO_RECORDING if isinstance(error, InvalidRecordingId) else str(error)
        return self._complain(request, _status_of(error), complaint)

    def failed(self, request: Request, _error: Exception) -> Response:
        """Report an unexpected error without its details; the server logs them."""
        complaint = "The server could not answer because of an error in the program. Its log has the details."
        return self._complain(request, HTTPStatus.INTERNAL_SERVER_ERROR, complaint)

    def not_found(self, request: Request) -> Response:
        """Report that there is no such page."""
        return self._complain(request, HTTPStatus.NOT_FOUND, "There is nothing at this address.")

    def _complain(self, request: Request, status: HTTPStatus, complaint: str) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"error": complaint}, status)
        values = {"phrase": status.phrase, "complaint": complaint}
        return self.render(request, "error.html", values, status=status)


def _status_of(error: TranscriptionError) -> HTTPStatus:
    if isinstance(error, _NOT_FOUND):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, TransientError) else HTTPStatus.INTERNAL_SERVER_ERROR


def _parts(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces of text, a few characters each, into parts that are worth a packet."""
    part, length = [], 0
    for piece in pieces:
        part.append(piece)
        length += len(piece)
        if length >= _PART:
            yield "".join(part)
            part, length = [], 0
    yield "".join(part)


def _policy(media_origin: str) -> str:
    media = f"'self' {media_origin}".strip()
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"media-src {media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
