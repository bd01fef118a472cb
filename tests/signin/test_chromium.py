"""End to end: a real browser, the emulator's consent page, and what the person reads at the end.

Pictures of the pages are made when TEST_SCREENSHOTS names a directory.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    login,
)
from atlassian_auth_adapter.testing.emulator import CloseBefore

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium of the system; TEST_CHROMIUM names another one."""
    program = os.environ.get("TEST_CHROMIUM") or shutil.which("chromium")
    if not program:
        _missing("no chromium: apt-get install chromium, or name one in TEST_CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("no playwright: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Login(threading.Thread):
    """A login on its own thread, because Playwright needs the one of the test."""

    def __init__(self, client: Any, **arguments: Any) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._run = lambda: login(client, tell=self._tell, **({"timeout": 30} | arguments))
        self._told = threading.Event()
        self._text = ""
        self.start()

    def run(self) -> None:
        """Run the login."""
        try:
            self._run()
        except Exception as error:
            self.error = error
        self._told.set()

    def _tell(self, text: str) -> None:
        self._text += text
        self._told.set()

    @property
    def url(self) -> str:
        """The URL that the person has to open."""
        assert self._told.wait(20)
        return next(word for word in self._text.split() if "/authorize?" in word)

    def end(self) -> Exception | None:
        """How it ended."""
        self.join(30)
        assert not self.is_alive(), "the login does not end"
        return self.error


@pytest.fixture
def picture() -> Callable[[Any, str], None]:
    """Takes a picture of a page, where pictures are wanted: light and dark, wide and narrow."""
    directory = os.environ.get("TEST_SCREENSHOTS")

    def take(page: Any, name: str) -> None:
        if not directory:
            return
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for look, width in (("wide", 1000), ("narrow", 320)):
                page.set_viewport_size({"width": width, "height": 640})
                page.screenshot(path=Path(directory) / f"{name}-{look}-{scheme}.png")

    return take


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A tab of a browser without history; an error on its console fails the test."""
    context = chromium.new_context()
    tab, errors = context.new_page(), []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    # These are right: there is no icon, a wrong state is refused, an entrance works once.
    assert not [text for text in errors if not re.search("status of 4(0.|10)", text)]


def _agree(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Accept").click()


def test_signing_in(page: Any, client: Any, emulator: Any, port: int, picture: Any) -> None:
    """Consent, then the page of success; address and history hold neither code nor state."""
    running = Login(client)
    _agree(page, running.url)
    page.get_by_role("heading", name="You are signed in").wait_for()
    assert page.url == f"http://localhost:{port}/callback"
    assert running.end() is None
    assert client.test_connection().name == "Ada Example"
    assert emulator.count("authorization_code", "issued") == 1
    picture(page, "success")
    page.go_back()
    page.go_forward()
    assert "code=" not in page.url
    assert not page.evaluate("document.referrer")


def test_signing_in_by_the_entrance(
    page: Any, client: Any, emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the browser is started with leads to the consent page, without a trace of the state."""
    opened: SimpleQueue[str] = SimpleQueue()
    monkeypatch.setenv("BROWSER", "something")
    monkeypatch.setattr(webbrowser, "open", opened.put)
    running = Login(client)
    entrance = opened.get(timeout=20)
    _agree(page, entrance)
    page.get_by_role("heading", name="You are signed in").wait_for()
    assert running.end() is None
    page.goto(entrance)
    page.get_by_role("heading", name="This address was opened before").wait_for()
    assert emulator.count("authorization_code", "issued") == 1


@pytest.mark.slow
def test_loading_the_page_again(page: Any, client: Any, emulator: Any, picture: Any) -> None:
    """Again and again a friendly page, and no second exchange."""
    running = Login(client)
    _agree(page, running.url)
    page.get_by_role("heading", name="You are signed in").wait_for()
    assert running.end() is None
    for _ in range(2):
        page.reload()
        page.get_by_role("heading", name="You are already signed in").wait_for()
    picture(page, "already")
    assert emulator.count("authorization_code") == 1


@pytest.mark.slow
def test_the_redirect_in_a_second_tab(page: Any, client: Any, emulator: Any) -> None:
    """A tab that was copied, or restored with its session: already signed in."""
    redirects: list[str] = []
    page.on("request", lambda request: redirects.append(request.url))
    running = Login(client)
    _agree(page, running.url)
    page.get_by_role("heading", name="You are signed in").wait_for()
    assert running.end() is None
    (redirect,) = {url for url in redirects if "code=" in url}
    second = page.context.new_page()
    second.goto(redirect)
    second.get_by_role("heading", name="You are already signed in").wait_for()
    assert "code=" not in second.url
    assert emulator.count("authorization_code") == 1


@pytest.mark.slow
def test_two_tabs_that_both_agree(page: Any, client: Any, emulator: Any) -> None:
    """The authorization URL was opened twice: the first counts, the second tab says so."""
    running = Login(client)
    second = page.context.new_page()
    for tab in (page, second):
        tab.goto(running.url)
    second.get_by_role("button", name="Accept").click()
    second.get_by_role("heading", name="You are signed in").wait_for()
    page.get_by_role("button", name="Accept").click()
    page.get_by_role("heading", name="You are already signed in").wait_for()
    assert running.end() is None
    assert emulator.count("authorization_code") == 1


def test_declining(page: Any, client: Any, emulator: Any, picture: Any) -> None:
    """No is an answer: the page says what it means, loaded again it says the same."""
    running = Login(client)
    page.goto(running.url)
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="You did not give access").wait_for()
    assert isinstance(running.end(), AuthorizationDeniedError)
    assert not emulator.token_requests
    picture(page, "denied")
    page.reload()
    page.get_by_role("heading", name="You did not give access").wait_for()


def test_a_wrong_state(page: Any, client: Any, emulator: Any, port: int) -> None:
    """A link with another state is refused; the login goes on and succeeds."""
    running = Login(client)
    page.goto(running.url)
    answer = page.goto(f"http://localhost:{port}/callback?code=stolen&state=guessed")
    assert answer.status == 400
    assert "sign-in" in page.content()
    assert not emulator.token_requests
    _agree(page, running.url)
    page.get_by_role("heading", name="You are signed in").wait_for()
    assert running.end() is None


@pytest.mark.slow
def test_coming_back_too_late(page: Any, client: Any, emulator: Any, picture: Any) -> None:
    """The program has stopped waiting: the page says so, nothing is exchanged."""
    running = Login(client, timeout=0.01)
    page.goto(running.url)
    assert isinstance(running.end(), AuthorizationTimeoutError)
    page.get_by_role("button", name="Accept").click()
    page.get_by_role("heading", name="That took too long").wait_for()
    assert not emulator.token_requests
    picture(page, "late")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unreachable", "wrong secret"])
def test_an_exchange_that_fails(
    name: str, page: Any, client: Any, emulator: Any, picture: Any
) -> None:
    """The person agreed but is not signed in: the page says what to do, and holds no secret."""
    running = Login(client)
    if name == "unreachable":
        emulator.faults.next("token", CloseBefore())
        title, kind = "Atlassian could not be reached", TokenEndpointUnavailableError
    else:
        emulator.cloud.app.client_secret = "an0ther-s3cret"
        title, kind = "This program is not set up correctly", TokenRequestRefusedError
    _agree(page, running.url)
    page.get_by_role("heading", name=title).wait_for()
    assert isinstance(running.end(), kind)
    page.get_by_text("Details", exact=True).click()
    picture(page, f"failed-{name.replace(' ', '-')}")
    assert not [secret for secret in emulator.secrets if secret in page.content()]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
