"""A browser for the tests of pages, and a page that fails its test where its scripts fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
# Milliseconds; on a machine that does other things a page can take many times as long as alone.
PATIENCE = 180_000


@pytest.fixture(scope="module")
def browser() -> Iterator:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed (apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, request):
    """A page that fails the test if its scripts fail or the browser reports a violation of the security policy.

    Its parameter, if it has one, is what the browser plays: size of the screen, colours, a phone.
    """
    context = browser.new_context(**getattr(request, "param", {"viewport": {"width": 1366, "height": 768}}))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Security Policy" in message.text else None)
    yield page
    context.close()
    assert faults == []
