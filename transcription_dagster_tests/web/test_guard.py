"""Requests of browsers and programs to the real application on a real port."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster_tests.web.conftest import Site

DELETE = "mutation M($id: String!) { deletePipelineRun(runId: $id) { __typename } }"
VERSION = "query Q { version }"
JSON = {"Content-Type": "application/json"}
#: The headers of Chromium for a request from another site's script, image or form.
CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PAGE = {"Accept": "text/html,*/*;q=0.8"}
FRAME = LINK | {"Sec-Fetch-Dest": "iframe"}


def _deletion(run_id: str) -> str:
    return DELETE.replace("($id: String!)", "").replace("$id", f'"{run_id}"')


def test_programs_without_browser_headers_are_served(site: Site):
    with site.client() as client:
        assert client.post("/graphql", json={"query": VERSION}).json()["data"]["version"]
        assert client.get("/graphql", params={"query": VERSION}).json()["data"]["version"]
    run_id = site.add_run()
    with DagsterClient(site.url) as dagster:
        assert [run.id for run in dagster.runs(ids=[run_id])] == [run_id]


def test_pages_of_the_ui_are_served_and_may_give_commands(site: Site):
    run_id = site.add_run()
    own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    with site.client() as client:
        page = client.get("/runs", headers={"Accept": "text/html", "Sec-Fetch-Site": "none"})
        assert "/_next/static/" in page.text
        for version in ("application/json", "application/json; charset=utf-8"):
            body = json.dumps({"query": VERSION})
            assert client.post("/graphql", content=body, headers=own | {"Content-Type": version}).is_success
        answer = client.post("/graphql", json={"query": DELETE, "variables": {"id": run_id}}, headers=own)
    assert answer.json()["data"]["deletePipelineRun"]["__typename"] == "DeletePipelineRunSuccess"
    assert not site.has_run(run_id)


def test_a_refused_browser_gets_a_page_and_a_program_json(site: Site):
    unknown = {"Host": "other.example"}
    with site.client() as client:
        page = client.get("/recordings", headers=unknown | PAGE)
        report = client.get("/recordings", headers=unknown)
    assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert f"<p>{report.json()['error']}</p>" in page.text
    assert "TRANSCRIPTION_UI_HOSTS" in page.text
    assert "href" not in page.text


def test_the_page_of_a_refusal_leads_back_and_allows_only_its_own_style(site: Site):
    with site.client() as client:
        page = client.post("/vocabulary/terms", headers=PAGE | {"Sec-Fetch-Site": "cross-site"})
    assert page.status_code == 403
    assert '<a href="/recordings">All recordings</a>' in page.text
    assert "default-src 'none'; style-src 'nonce-" in page.headers["content-security-policy"]


def test_a_missing_style_is_reported_as_a_page_to_a_browser_and_as_json_to_a_program(site: Site):
    with site.client() as client:
        page = client.get("/recordings/static/missing.css", headers=PAGE)
        report = client.get("/recordings/static/missing.css")
    assert (page.status_code, report.status_code) == (404, 404)
    assert "<h1>Not Found</h1>" in page.text
    assert '<a href="/recordings">All recordings</a>' in page.text
    assert report.json() == {"error": "There is nothing at this address."}


def test_a_page_behind_a_proxy_is_served_under_the_proxys_name(site: Site):
    own = {"Origin": "https://speech.example.org", "Sec-Fetch-Site": "same-origin"}
    with site.client() as client:
        for host in ("speech.example.org", None):
            headers = own | ({"Host": host} if host else {})
            assert client.post("/graphql", json={"query": VERSION}, headers=headers).is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:3000"},
        {"Host": ""},
        {"Origin": "https://attacker.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        CROSS_SITE,
        FRAME,
        # Submitting a form is a navigation too, but a POST.
        LINK,
    ],
)
def test_a_command_from_another_page_is_refused(site: Site, headers: dict[str, str]):
    run_id = site.add_run()
    with site.client() as client:
        answer = client.post("/graphql", json={"query": DELETE, "variables": {"id": run_id}}, headers=headers)
        report = client.post("/report_asset_materialization/transcript", headers=headers)
    assert (answer.status_code, report.status_code) == (403, 403)
    assert set(answer.json()) == {"error"}
    assert site.has_run(run_id)


def test_reads_by_another_sites_page_are_refused_but_links_work(site: Site):
    with site.client() as client:
        for headers in (CROSS_SITE, FRAME, {"Host": "attacker.example"}, {"Origin": "https://attacker.example"}):
            for path in ("/", "/server_info", f"/graphql?query={VERSION}", "/health"):
                assert client.get(path, headers=headers).status_code == 403
        assert client.get("/runs", headers=LINK).is_success
        assert client.options("/graphql", headers={"Origin": "https://attacker.example"}).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Accept": "image/avif"}, LINK, {"Sec-Fetch-Site": "same-origin"}])
@pytest.mark.parametrize("others", ["", "query Q { version } ", "fragment F on Query { version } "])
def test_a_mutation_by_get_is_refused_for_all_clients(site: Site, others: str, headers: dict[str, str]):
    run_id = site.add_run()
    mutation = others + (DELETE if others else _deletion(run_id))
    variables = json.dumps({"id": run_id})
    with site.client() as client:
        for name in ("M", "Q", None):
            query = {"query": mutation, "variables": variables} | ({"operationName": name} if name else {})
            assert client.get("/graphql", params=query, headers=headers).status_code == 405
    assert site.has_run(run_id)


def _bodies(run_id: str) -> dict[str, dict[str, Any]]:
    request = {"query": _deletion(run_id)}
    text, multipart = json.dumps(request), {"operations": (None, json.dumps(request)), "map": (None, "{}")}
    return {
        "text with the mutation in the URL": {"params": request, "headers": {"Content-Type": "text/plain"}},
        "nothing, with the mutation in the URL": {"params": request},
        "JSON as text": {"content": text, "headers": {"Content-Type": "text/plain"}},
        "text that mentions JSON": {"content": text, "headers": {"Content-Type": "text/plain; application/json"}},
        "a form": {"data": request},
        "a form of several parts": {"files": multipart},
        "GraphQL": {"content": request["query"], "headers": {"Content-Type": "application/graphql"}},
        "JSON without a type": {"content": text},
        "several types": {
            "content": text,
            "headers": [("Content-Type", "text/plain"), ("Content-Type", "application/json")],
        },
        "a batch": {"json": [request, request]},
        "JSON whose query is a list": {"json": {"query": [request["query"]]}},
        "JSON that is none": {"content": "{", "headers": JSON},
        "JSON that is nested too deeply": {"content": "[" * 100_000, "headers": JSON},
    }


@pytest.mark.parametrize("kind", _bodies(""))
def test_a_command_that_is_not_one_json_object_is_refused(site: Site, kind: str):
    run_id = site.add_run()
    with site.client() as client:
        answer = client.post("/graphql", **_bodies(run_id)[kind])
    assert answer.status_code in (400, 415)
    assert site.has_run(run_id)


def _socket(site: Site, **headers: str):
    url = site.url.replace("http:", "ws:") + "/graphql"
    origin = headers.pop("Origin", None)
    return connect(
        url,
        subprotocols=[Subprotocol("graphql-ws")],
        origin=Origin(origin) if origin else None,
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
        proxy=None,
    )


def _ask(site: Site, query: str, **headers: str) -> dict[str, Any]:
    """Return a websocket's answer to `query`."""
    with _socket(site, **headers) as websocket:
        websocket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(websocket.recv(timeout=30)) == {"type": "connection_ack"}
        websocket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        return json.loads(websocket.recv(timeout=30))


def test_a_subscription_of_the_ui_is_served(site: Site):
    query = f'subscription {{ pipelineRunLogs(runId: "{site.add_run()}") {{ __typename }} }}'
    for origin in ({"Origin": site.url}, {}):
        assert _ask(site, query, **origin)["payload"]["data"]["pipelineRunLogs"]["__typename"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://attacker.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_a_websocket_of_another_page_is_not_opened(site: Site, headers: dict[str, str]):
    with pytest.raises(InvalidStatus) as refused:
        _socket(site, **headers)
    assert refused.value.response.status_code == 403


def test_a_mutation_over_a_websocket_is_refused(site: Site):
    run_id = site.add_run()
    answer = _ask(site, _deletion(run_id))
    assert (answer["type"], answer["payload"]["message"]) == ("error", "a websocket accepts only subscriptions")
    assert site.has_run(run_id)


def test_responses_carry_security_headers(site: Site):
    with site.client() as client:
        for answer in (client.get("/runs"), client.post("/graphql", json={"query": VERSION})):
            headers: httpx.Headers = answer.headers
            assert headers["X-Frame-Options"] == "SAMEORIGIN"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers
