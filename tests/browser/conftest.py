"""Chromium with the page of the made-up run in it, and a watch over what it requests and complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.report.built import make
from tests.report.fake_run import write_params, write_run

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def absent(reason: str) -> None:
    """Skip for `reason`; where a browser is required, fail."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        absent(f"none of {', '.join(PROGRAMS)} is installed; .ci/browser installs one")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright is not installed; make env installs it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def index(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    settings = write_params(folder)
    write_run(folder, settings)
    built = make(folder, settings, folder / "reports")
    return built.out / "index.html"


@dataclass
class Opened:
    """The page, and what must stay empty: complaints, and requests for anything that is not the file itself."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Any, index: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page, newly opened at 1200 pixels; at the end of every test the watch must have seen nothing.

    `request.param`: options of the browser's context, e.g. `{"color_scheme": "dark"}`.
    """
    options = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
    context = browser.new_context(**options)
    own = index.as_uri()
    seen = Opened(context.new_page())

    def watch(route: Any) -> None:
        address = route.request.url
        if address.split("#")[0] == own or address.startswith(("data:", "blob:")):
            route.continue_()
        else:
            seen.requests.append(address)
            route.abort()

    context.route("**/*", watch)
    seen.page.on("request", lambda made: seen.requests.append(made.url) if made.url.startswith("http") else None)
    seen.page.on("websocket", lambda made: seen.requests.append(made.url))
    seen.page.on(
        "console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.goto(own)
    seen.page.wait_for_selector("html[data-ready=true]")
    yield seen
    assert seen.complaints == []
    assert seen.requests == []
    context.close()
