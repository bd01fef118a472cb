"""A person who signs in: a client with a free port as its callback URL, a person with a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import AtlassianOAuthClient
from atlassian_auth_adapter.signin import loopback
from atlassian_auth_adapter.testing import AtlassianEmulator


@pytest.fixture
def client(make_client: Any, emulator: AtlassianEmulator, port: int) -> AtlassianOAuthClient:
    """A client without a login, registered with that port."""
    emulator.cloud.app.callback_url = f"http://localhost:{port}/callback"
    made: AtlassianOAuthClient = make_client(login=False)
    return made


class Person:
    """A person for the argument `tell`; does something with the URL on another thread."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.result: Any = None
        self._thread: threading.Thread | None = None
        self.does: Callable[[str], Any] = lambda url: None

    def __call__(self, text: str) -> None:
        """Called by `login` with each text."""
        self.told.append(text)
        if len(self.told) == 1:
            self._thread = threading.Thread(target=self._do, args=(self.url,))
            self._thread.start()

    @property
    def url(self) -> str:
        """The authorization URL that was told."""
        return next(word for word in self.told[0].split() if "/authorize?" in word)

    def _do(self, url: str) -> None:
        try:
            self.result = self.does(url)
        except Exception as error:
            self.result = error

    def done(self) -> Any:
        """The result of what the person did."""
        if self._thread is not None:
            self._thread.join(30)
            assert not self._thread.is_alive(), "the person is still busy"
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def person() -> Iterator[Person]:
    """A person for the argument `tell` of `login`."""
    made = Person()
    yield made
    made.done()


@pytest.fixture
def visit() -> Callable[[str], requests.Response]:
    """Opens a URL and follows redirects, without a proxy."""

    def get(url: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=20)

    return get


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test opens a browser by itself; afterwards no receiver is left."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    yield
    for receiver in tuple(loopback._receivers):
        receiver.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("atlassian-auth-receiver")]
