"""Tokens against cross-site request forgery."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from transcription_dagster.web.guard import Csrf

CSRF = Csrf("csrf-3000")
TOKEN = "a" * 31 + "_"


def request(cookie: str | None = None, *, scheme: str = "http") -> Request:
    headers = [] if cookie is None else [(b"cookie", f"{CSRF.cookie}={cookie}".encode())]
    server = ("localhost", 3000)
    return Request({"type": "http", "scheme": scheme, "server": server, "path": "/", "headers": headers})


def test_a_browser_keeps_its_token_and_gets_a_new_one_for_an_invalid_one():
    assert CSRF.token(request(TOKEN)) == TOKEN
    for cookie in (None, "", TOKEN[1:], f"{TOKEN}a", f"{TOKEN[1:]}!"):
        token = CSRF.token(request(cookie))
        assert token != cookie
        assert CSRF.is_valid(request(token), token)


@pytest.mark.parametrize(
    ("cookie", "sent"),
    [(TOKEN, ""), (TOKEN, TOKEN[1:]), (TOKEN, "\ud800"), (None, TOKEN), (None, ""), ("", ""), ("short", "short")],
)
def test_a_token_is_valid_only_if_it_is_the_cookies_and_could_be_ours(cookie: str | None, sent: str):
    assert not CSRF.is_valid(request(cookie), sent)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_kept_from_scripts_and_other_sites_and_over_tls_from_the_network(scheme: str):
    response = Response()
    CSRF.set_cookie(request(scheme=scheme), response, TOKEN)
    value, *attributes = response.headers["set-cookie"].split("; ")
    assert value == f"csrf-3000={TOKEN}"
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    assert ("Secure" in attributes) is (scheme == "https")
