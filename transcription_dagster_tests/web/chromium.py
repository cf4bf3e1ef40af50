"""The browser for the tests of pages, if the machine has one."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH")

#: Playwright's own five seconds are too short for a busy machine.
expect.set_options(timeout=60_000)
