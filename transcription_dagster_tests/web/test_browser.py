"""A real browser: attacks by another site's page, the login, and Dagster's UI."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright import sync_api as playwright

from transcription_dagster_tests.sources.web_server import Reply, web_server
from transcription_dagster_tests.stack.small_stack import until
from transcription_dagster_tests.web.chromium import CHROMIUM, needs_chromium, serious_violations
from transcription_dagster_tests.web.conftest import PASSWORD, Site

pytestmark = [needs_chromium, pytest.mark.slow]

#: Tries to delete a run in every way available to a page, and reports when each has ended.
ATTACK = """<!doctype html><title>attack</title><iframe name="sink"></iframe><script>
const site = "%(site)s", mutation = 'mutation { deletePipelineRun(runId: "%(run)s") { __typename } }';
const url = `${site}/graphql?query=${encodeURIComponent(mutation)}`, json = JSON.stringify({query: mutation});
const ended = source => new Promise(done => { source.onload = source.onerror = source.onclose = done; });
const text = (url, options) => fetch(url, options).then(response => response.text()).catch(error => error);
function image() { const picture = new Image(); picture.src = url; return ended(picture); }
function frame() {
  const frame = document.createElement("iframe");
  frame.src = url;
  document.body.append(frame);
  return ended(frame);
}
function form() {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url, enctype: "text/plain", target: "sink"});
  document.body.append(form);
  const sent = ended(document.querySelector("iframe[name=sink]"));
  form.submit();
  return sent;
}
function socket() {
  const socket = new WebSocket(site.replace("http", "ws") + "/graphql", "graphql-ws");
  socket.onopen = () => {
    socket.send(JSON.stringify({type: "connection_init"}));
    socket.send(JSON.stringify({type: "start", id: "1", payload: {query: mutation}}));
    setTimeout(() => socket.close(), 500);
  };
  return ended(socket);
}
Promise.all([
  image(), frame(), form(), socket(),
  text(url, {mode: "no-cors"}), text(url, {mode: "no-cors", method: "POST", body: ""}), text(url),
  text(`${site}/graphql`, {method: "POST", body: json}),
  text(`${site}/graphql`, {method: "POST", body: json, headers: {"Content-Type": "application/json"}}),
  navigator.sendBeacon(url, json),
]).then(() => { document.title = "everything was tried"; });
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser) -> Iterator[playwright.Page]:
    with browser.new_context() as context:
        yield context.new_page()


def test_a_page_of_another_site_deletes_nothing(page: playwright.Page, site: Site):
    run_id = site.add_run()
    attack = ATTACK % {"site": site.url, "run": run_id}
    with web_server(lambda _request: Reply(body=attack.encode(), headers={"Content-Type": "text/html"})) as attacker:
        # The same machine under another name is another site.
        page.goto(attacker.url.replace("127.0.0.1", "localhost"))
        page.wait_for_function("() => document.title === 'everything was tried'", timeout=60_000)
    assert site.has_run(run_id)


def test_axe_finds_nothing_serious_on_the_login(page: playwright.Page, closed_site: Site):
    page.goto(f"{closed_site.url}/login")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    playwright.expect(page.get_by_role("alert")).to_be_visible()
    assert serious_violations(page) == []


def test_dagsters_ui_works_behind_the_login(page: playwright.Page, closed_site: Site):
    run_id = closed_site.add_run()
    page.goto(f"{closed_site.url}/runs")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    playwright.expect(page.get_by_role("alert")).to_have_text("Wrong password.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{closed_site.url}/runs")
    playwright.expect(page.get_by_role("link", name=run_id[:8])).to_be_visible(timeout=60_000)

    page.goto(f"{closed_site.url}/login")
    page.get_by_role("button", name="Log out").click()
    playwright.expect(page.get_by_label("Password")).to_be_focused()
    page.goto(f"{closed_site.url}/runs")
    until(lambda: page.url.endswith("/login?next=%2Fruns"))
