"""Tokens that forms and scripts of our own pages send along, and no page of another site knows.

The token stands in a cookie and in the page (double submit). The guard refuses requests of other sites already; this
holds also for a browser that does not say where a request comes from.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

#: Name of the header that scripts send, and of the field of a form.
HEADER, FIELD = "x-csrf-token", "csrf_token"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}\Z")


@dataclass(frozen=True, slots=True)
class Csrf:
    """The token of a browser. Browsers keep the cookies of all ports of a host together: the name holds the port."""

    cookie: str

    def token(self, request: HTTPConnection) -> str:
        """The browser's token, or a new one."""
        known = request.cookies.get(self.cookie, "")
        return known if _TOKEN.match(known) else secrets.token_urlsafe(24)

    def give(self, request: Request, response: Response, token: str) -> None:
        """Have the browser keep the token of the page that it is sent."""
        secure = request.url.scheme == "https"
        response.set_cookie(self.cookie, token, httponly=True, samesite="strict", secure=secure)

    def is_shown(self, request: HTTPConnection, shown: str) -> bool:
        """Whether what a request shows is the token of its browser."""
        known = request.cookies.get(self.cookie, "")
        return bool(_TOKEN.match(known)) and hmac.compare_digest(known.encode(), shown.encode(errors="replace"))
