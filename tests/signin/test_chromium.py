"""End to end: a real browser, the pages of the emulator, and what the person reads at the end.

Pictures of the pages are made when TEST_SCREENSHOTS names a directory.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    CloudEnvironment,
    Profile,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    login,
    save_profile,
)
from atlassian_auth_adapter.cli.main import main
from atlassian_auth_adapter.cli.terminal import console
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

    def note(message: Any) -> None:
        # The browser asks for an icon when it likes, perhaps after the test's servers have stopped.
        if not message.location["url"].endswith("/favicon.ico"):
            errors.append(message.text)

    tab.on("console", note)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    # These are right: a wrong state is refused, an entrance works once.
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


# --- error pages that do not lead back ------------------------------------------------------------

CALLBACK = {"callback_url": "http://localhost:PORT/other"}
CLIENT = {"client_id": "unknown"}
NOT_ADDED = {"scopes": ("read:jira-work",)}
NOT_RETRIEVED = "failed to retrieve client"

#: Whose app, what is wrong with it, which cause of the list says so (the first is the most probable
#: one), and what it has in common with the page.
ERROR_PAGES = {
    "scope": ("cloud", NOT_ADDED, 1, "scopes"),
    "callback": ("cloud", CALLBACK, 2, "unauthorized_client"),
    "client": ("cloud", CLIENT, 3, NOT_RETRIEVED),
    "not-shared": ("cloud", {}, 3, NOT_RETRIEVED),
    "no-such-scope": ("cloud", {"scopes": ("read:jira-wrok",)}, 1, "scopes"),
    "data-center-scope": ("data_center", NOT_ADDED, 1, "invalid_scope"),
    "data-center-callback": ("data_center", CALLBACK, 2, "redirect_uri"),
    "data-center-client": ("data_center", CLIENT, 3, "client"),
    "trello-scope": ("trello", {"scopes": ("write:board:trello",)}, 1, "scopes"),
    "trello-callback": ("trello", CALLBACK, 2, "unauthorized_client"),
    "trello-client": ("trello", CLIENT, 3, NOT_RETRIEVED),
    "bitbucket-callback": ("bitbucket", CALLBACK, 1, "redirect_uri"),
    "bitbucket-client": ("bitbucket", CLIENT, 2, "client"),
}
#: These are run by `make test` as well.
FIRST = ("scope", "callback", "not-shared", "data-center-scope")


class Interruptible:
    """A terminal on which the person types nothing, and presses Ctrl-C in the end."""

    def __init__(self) -> None:
        self.pressed = threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[Callable[[float], None]]:
        """In place of `pasted_lines`."""
        yield self._read

    def _read(self, seconds: float) -> None:
        if self.pressed.wait(seconds):
            raise KeyboardInterrupt


def _profile_for(side: Any, changes: dict[str, Any], port: int) -> Profile:
    """The profile of an app that has one scope of each product, but for what is wrong."""
    side.app.callback_url = f"http://localhost:{port}/callback"
    side.app.scopes = ("read:jira-user", "read:member:trello", "WRITE", "account")
    place: dict[str, Any] = {"product": side.name}
    if side.name == "data_center":
        place = {"server_url": side.url}
    else:
        audience = getattr(side, "audience", "")
        place["cloud"] = CloudEnvironment(side.auth_url, side.api_url, audience)
    if side.name == "cloud":
        place |= {"product": "jira", "site_url": side.sites[0].url}
    values = {"callback_url": side.app.callback_url, "client_id": side.app.client_id}
    scope = {"cloud": "read:jira-user", "trello": "read:member:trello", "bitbucket": "account"}
    values |= {"scopes": (scope.get(side.name, "WRITE"),), "store": "file"} | changes
    values["callback_url"] = values["callback_url"].replace("PORT", str(port))
    return save_profile(Profile("work", **place, **values), side.app.client_secret)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in ERROR_PAGES],
)
def test_an_error_page_that_does_not_lead_back(
    name: str, page: Any, emulator: Any, port: int, picture: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The page of Atlassian, and what the command prints at Ctrl-C: the causes, scopes first.

    Rows 6, 7, 11 and 15: a scope that the app lacks, a wrong callback, an unknown client, an app
    that is not shared. What the page says is in the list, with the value to compare.
    """
    flavour, changes, number, common = ERROR_PAGES[name]
    side, terminal, opened = getattr(emulator, flavour), Interruptible(), SimpleQueue[str]()
    if name == "not-shared":
        monkeypatch.setattr(side, "app_is_shared", False)
    monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
    monkeypatch.setenv("BROWSER", "something")
    monkeypatch.setattr(webbrowser, "open", opened.put)
    monkeypatch.setattr("atlassian_auth_adapter.cli.login.pasted_lines", terminal)
    profile = _profile_for(side, changes, port)
    console.cache_clear()
    codes = SimpleQueue[int]()
    running = threading.Thread(target=lambda: codes.put(main(["login", "--timeout", "60"])))
    running.start()
    try:
        page.goto(opened.get(timeout=20))
        shown = page.inner_text("body")
    finally:
        terminal.pressed.set()
        running.join(30)
    picture(page, f"error-{name}")
    printed = capsys.readouterr().err
    causes = re.findall(r"^  (\d)\. (.*)\n     (.*)$", printed, re.MULTILINE)
    assert [each for each, _, _ in causes] == ["1", "2", "3"]
    _, text, value = causes[number - 1]
    assert common in shown.lower()
    assert common in text
    wrong = next(iter(changes), "client_id")
    expected = getattr(profile, wrong)
    assert value == (" ".join(expected) if wrong == "scopes" else expected)
    assert codes.get(timeout=1) == 130
    assert not [secret for secret in emulator.secrets if secret in printed]
