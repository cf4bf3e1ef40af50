"""Render pages: templates and their filters, the content security policy, and error pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
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
from transcription_dagster.language.codes import WHISPER_LANGUAGES
from transcription_dagster.search.query import MATCH_END, MATCH_START
from transcription_dagster.transcripts.conversation import shown_speaker
from transcription_dagster.web.guard import Csrf
from transcription_dagster.web.refusals import TO_LIST, accepts_pages, refusal_response

#: Whisper's languages that are written from right to left.
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})


def short_clock(seconds: float) -> str:
    """Format a time or a duration as `m:ss`, or as `h:mm:ss` from an hour on, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def day(when: datetime) -> str:
    """Return a date such as `4 May 2026`."""
    return f"{when.day} {when:%b %Y}"


def moment(when: datetime) -> str:
    """Return a time in UTC in the format of HTML's `datetime` attributes."""
    return when.isoformat(timespec="seconds")


def language_name(code: str) -> str:
    """Return the English name of a language and region, such as `English (US)`, or its code if it has no name."""
    primary, _, region = code.partition("-")
    name = WHISPER_LANGUAGES.get(primary.lower())
    if name is None:
        return code
    return f"{name.capitalize()} ({region})" if region else name.capitalize()


def direction(code: str) -> str:
    """Return the writing direction of a language as a value of HTML's `dir` attribute."""
    return "rtl" if code.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"


def marked(snippet: str) -> Markup:
    """Return a search snippet with its matches in `<mark>` and everything else escaped."""
    escaped = str(escape(snippet))
    return Markup(escaped.replace(MATCH_START, "<mark>").replace(MATCH_END, "</mark>"))  # noqa: S704 - escaped above


_NOT_FOUND = (InvalidRecordingId, UnknownRecording, SourceNotFound)

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "clock": short_clock,
    "day": day,
    "direction": direction,
    "moment": moment,
    "language_name": language_name,
    "marked": marked,
    "shown_speaker": shown_speaker,
}
_NO_RECORDING = "There is no recording at this address. The link may be incomplete."
_COMPLAINTS: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not accept requests of this kind. Open it from its page.",
}
#: Characters of a page that are sent together.
_CHUNK_CHARACTERS = 32_000
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
        streamed: bool = False,
    ) -> Response:
        """Render a page. `media_origin` is the other server that its audio and video come from, if any.

        A long page is `streamed`: its beginning is sent before its end is rendered.
        """
        token = self.csrf.token(request)
        context = {**values, "csrf_token": token, "has_login": self.has_login}
        headers = {"Content-Security-Policy": _policy(media_origin)}
        if streamed:
            pieces = _templates.get_template(template).generate({**context, "request": request})
            response: Response = StreamingResponse(_chunks(pieces), status, headers, media_type="text/html")
        else:
            response = _templates.TemplateResponse(request, template, context, status, headers=headers)
        self.csrf.set_cookie(request, response, token)
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
        response = self._complain(request, HTTPStatus.INTERNAL_SERVER_ERROR, complaint)
        # The server closes the connection after such an error; a client that does not know would send into it.
        response.headers["Connection"] = "close"
        return response

    def refused(self, request: Request, error: Exception) -> Response:
        """Report an error that Starlette found in a request, such as a missing file."""
        if not isinstance(error, HTTPException):
            raise error
        phrase = HTTPStatus(error.status_code).phrase
        complaint = _COMPLAINTS.get(error.status_code, f"The server cannot answer this request: {phrase.lower()}.")
        return refusal_response(request, error.status_code, complaint, TO_LIST, error.headers)

    def not_found(self, request: Request) -> Response:
        """Respond to an unknown address with 404."""
        return self._complain(request, HTTPStatus.NOT_FOUND, _COMPLAINTS[HTTPStatus.NOT_FOUND])

    def _complain(self, request: Request, status: HTTPStatus, complaint: str) -> Response:
        if not accepts_pages(request):
            return JSONResponse({"error": complaint}, status)
        values = {"phrase": status.phrase, "complaint": complaint}
        return self.render(request, "error.html", values, status=status)


def _status_of(error: TranscriptionError) -> HTTPStatus:
    if isinstance(error, _NOT_FOUND):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, TransientError) else HTTPStatus.INTERNAL_SERVER_ERROR


def _chunks(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces of a few characters each into chunks that are worth sending."""
    chunk, length = [], 0
    for piece in pieces:
        chunk.append(piece)
        length += len(piece)
        if length >= _CHUNK_CHARACTERS:
            yield "".join(chunk)
            chunk, length = [], 0
    yield "".join(chunk)


def _policy(media_origin: str) -> str:
    media = f"'self' {media_origin}".strip()
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"media-src {media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
