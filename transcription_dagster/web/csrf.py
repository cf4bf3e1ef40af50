"""Tokens against cross-site request forgery, sent along by our own pages' forms and scripts.

The token is in a cookie and in the page (double submit). The guard already refuses requests of other sites; the token
also protects users of browsers that do not say where a request comes from.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

#: Name of the header that scripts send, and of the form field.
HEADER, FIELD = "x-csrf-token", "csrf_token"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}\Z")


@dataclass(frozen=True, slots=True)
class Csrf:
    """The token of a browser. The cookie's name includes the port: browsers share cookies between ports of a host."""

    cookie: str

    def token(self, request: HTTPConnection) -> str:
        """Return the browser's token, or a new one."""
        known = request.cookies.get(self.cookie, "")
        return known if _TOKEN.match(known) else secrets.token_urlsafe(24)

    def give(self, request: Request, response: Response, token: str) -> None:
        """Set the cookie to the token of the page."""
        secure = request.url.scheme == "https"
        response.set_cookie(self.cookie, token, httponly=True, samesite="strict", secure=secure)

    def is_shown(self, request: HTTPConnection, shown: str) -> bool:
        """Return whether a request shows its browser's token."""
        known = request.cookies.get(self.cookie, "")
        return bool(_TOKEN.match(known)) and hmac.compare_digest(known.encode(), shown.encode(errors="replace"))
