"""The login by browsers and programs, on the real application on a real port."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.errors import ServiceRefused
from transcription_dagster.stack.startup import dagster_ready
from transcription_dagster.web.login import TRIES_PER_ADDRESS, own_path
from transcription_dagster_tests.web.conftest import PASSWORD, Site

QUERY = {"query": "{ version }"}
PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def browser(closed_site: Site) -> Iterator[httpx.Client]:
    with closed_site.client(headers={"Origin": closed_site.url}) as client:
        yield client


def log_in(browser: httpx.Client, password: str = PASSWORD, following: str = "/runs?view=all") -> httpx.Response:
    return browser.post("/login", data={"password": password, "next": following})


def test_only_the_login_is_accessible_without_a_session(browser: httpx.Client):
    for path in ("/graphql?query={version}", "/server_info", "/runs", "/robots.txt", "/logout", "/login/", "//login"):
        assert browser.get(path).status_code == 401
    assert browser.post("/graphql", json=QUERY).status_code == 401
    assert browser.post("/report_asset_materialization/transcript").status_code == 401
    assert browser.get("/health").json() == {"status": "ok"}


def test_a_page_leads_to_the_login_and_the_login_back_to_it(browser: httpx.Client):
    redirect = browser.get("/runs?view=all", headers=PAGE)
    assert (redirect.status_code, redirect.headers["Location"]) == (303, "/login?next=%2Fruns%3Fview%3Dall")
    page = browser.get(redirect.headers["Location"])
    assert page.is_success
    assert 'value="/runs?view=all"' in page.text
    answer = log_in(browser)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs?view=all")
    assert browser.get(answer.headers["Location"], headers=PAGE).is_success
    assert browser.post("/graphql", json=QUERY).json() == {"data": {"version": "1"}}
    assert "You are logged in" in browser.get("/login").text


def test_a_form_sent_after_the_session_ended_gets_a_page_that_leads_to_the_login(browser: httpx.Client):
    page = browser.post("/vocabulary/terms", data={"term": "Wrenmouth"}, headers=PAGE)
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "the session has ended" in page.text
    assert '<a href="/login">Log in</a>' in page.text


def test_a_form_that_is_too_large_is_refused_with_a_page(browser: httpx.Client):
    page = browser.post("/login", data={"password": "x" * 100_000}, headers=PAGE)
    assert (page.status_code, page.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert '<a href="/login">Log in</a>' in page.text


def test_the_cookie_is_http_only_and_same_site(browser: httpx.Client, closed_site: Site):
    cookie = log_in(browser).headers["Set-Cookie"]
    attributes = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes
    assert cookie.startswith(f"transcription-{httpx.URL(closed_site.url).port}=")
    assert PASSWORD not in cookie


def test_behind_tls_the_cookie_is_secure(browser: httpx.Client, closed_site: Site):
    headers = {"X-Forwarded-Proto": "https", "Origin": closed_site.url.replace("http:", "https:")}
    answer = browser.post("/login", data={"password": PASSWORD}, headers=headers)
    assert "; secure" in answer.headers["Set-Cookie"].lower()


def test_a_wrong_password_is_reported_and_gives_no_session(browser: httpx.Client):
    answer = log_in(browser, "guess")
    assert answer.status_code == 401
    assert "Wrong password." in answer.text
    assert 'role="alert"' in answer.text
    assert "guess" not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/runs").status_code == 401


def test_a_forged_cookie_gives_no_access(browser: httpx.Client):
    log_in(browser)
    ((name, token),) = browser.cookies.items()
    browser.cookies.clear()
    for forged in (token[:-1], token.replace(".", "x", 1), "true", ""):
        assert browser.get("/runs", headers={"Cookie": f"{name}={forged}"}).status_code == 401
    assert browser.get("/runs", headers={"Cookie": f"{name}={token}"}).is_success


def test_a_cookie_is_invalid_after_logout(browser: httpx.Client):
    log_in(browser)
    ((name, token),) = browser.cookies.items()
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert not browser.cookies
    assert browser.get("/runs", headers={"Cookie": f"{name}={token}"}).status_code == 401


def test_another_site_cannot_log_users_in_or_out(browser: httpx.Client):
    log_in(browser)
    foreign = {"Origin": "https://attacker.example"}
    assert browser.post("/logout", headers=foreign).status_code == 403
    assert browser.post("/login", data={"password": PASSWORD}, headers=foreign).status_code == 403
    assert browser.get("/runs").is_success


def test_a_far_too_large_form_is_refused(browser: httpx.Client):
    assert log_in(browser, "x" * 100_000).status_code == 413


def test_programs_send_the_password_with_each_request(closed_site: Site):
    run_id = closed_site.add_run()
    with DagsterClient(closed_site.url, SecretStr(PASSWORD)) as dagster:
        assert [run.id for run in dagster.runs(ids=[run_id])] == [run_id]
    with DagsterClient(closed_site.url) as dagster, pytest.raises(ServiceRefused, match="TRANSCRIPTION_UI_PASSWORD"):
        dagster.runs()
    # Without a daemon, the command waits for it after the login.
    assert not dagster_ready(closed_site.url, SecretStr(PASSWORD))
    with closed_site.client() as client:
        assert client.post("/graphql", json=QUERY, auth=("anybody", PASSWORD)).is_success
        encoded = base64.b64encode(f"anybody:{PASSWORD}".encode()).decode()
        assert client.post("/graphql", json=QUERY, headers={"Authorization": f"basic  {encoded}"}).is_success
        for header in ("Basic", "Basic !", "Basic eA==", f"Basic !{encoded}", f"Bearer {PASSWORD}", PASSWORD):
            assert client.post("/graphql", json=QUERY, headers={"Authorization": header}).status_code == 401


def test_a_password_sent_with_a_request_counts_more_than_its_session(browser: httpx.Client):
    log_in(browser)
    assert browser.get("/runs").is_success
    # A program gets no redirect, even for a page.
    assert browser.get("/runs", auth=("anybody", "guess"), headers=PAGE).status_code == 401


def test_a_websocket_needs_the_session_too(browser: httpx.Client, closed_site: Site):
    url = closed_site.url.replace("http:", "ws:") + "/graphql"
    with pytest.raises(InvalidStatus):
        connect(url, subprotocols=[Subprotocol("graphql-ws")], proxy=None)
    log_in(browser)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    with connect(
        url, subprotocols=[Subprotocol("graphql-ws")], additional_headers={"Cookie": cookie}, proxy=None
    ) as up:
        up.send(json.dumps({"type": "connection_init"}))
        assert json.loads(up.recv(timeout=30)) == {"type": "connection_ack"}


def test_guessing_is_blocked_and_open_sessions_continue(serve: Callable[..., Site]):
    site = serve(ui_password=PASSWORD)
    with site.client() as known, site.client() as guesser:
        log_in(known)
        for number in range(TRIES_PER_ADDRESS):
            attempt = ("x", f"guess {number}")
            wrong = guesser.get("/runs", auth=attempt) if number % 2 else log_in(guesser, attempt[1])
            assert wrong.status_code == 401
        stopped = log_in(guesser)
        assert (stopped.status_code, stopped.headers["Retry-After"]) == (429, "600")
        assert "Too many wrong passwords" in stopped.text
        stopped = guesser.get("/runs", auth=("x", PASSWORD))
        assert (stopped.status_code, stopped.headers["Retry-After"]) == (429, "600")
        assert known.get("/runs").is_success


@pytest.mark.parametrize(
    "place",
    [
        *("", "runs", "//attacker.example", "https://attacker.example", "/\\attacker.example", "\\/attacker.example"),
        *("/\t/attacker.example", "/\n/attacker.example", "javascript:alert(1)", "///attacker.example", "/a\r\nX: y"),
    ],
)
def test_the_login_leads_to_no_other_site(place: str):
    assert own_path(place) == "/"


def test_the_login_leads_to_any_page_of_this_server():
    for place in ("/", "/runs/1?a=b&c=%20d", "/assets/transcript?partition=a#b", "/a//b"):
        assert own_path(place) == place
