"""The browser for the tests of pages, if the machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH")

#: Playwright's own five seconds are too short for a busy machine.
expect.set_options(timeout=60_000)


@contextmanager
def new_page(context: BrowserContext) -> Iterator[tuple[Page, list[str]]]:
    """Open a page in a context that tests share, and yield it with the list of its errors.

    A context of its own would take twice the CPU time. What the page stores is deleted at the end.
    """
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page, complaints
    origin = page.evaluate("location.origin")
    # A page may still store something when it is left.
    page.goto("about:blank")
    storage = {"origin": origin, "storageTypes": "local_storage"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", storage)
    page.close()


def serious_violations(page: Page) -> list[tuple[str, str, str]]:
    """Return the violations found by axe that keep people from using the page, in light and in dark colours."""
    page.emulate_media(color_scheme="light")
    violations = Axe().run(page).response["violations"]
    # Only contrasts depend on the scheme.
    page.emulate_media(color_scheme="dark")
    violations += Axe().run(page, options={"runOnly": ["color-contrast"]}).response["violations"]
    serious = [each for each in violations if each["impact"] in ("serious", "critical")]
    return [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in serious]
