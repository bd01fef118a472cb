"""Not one secret in anything that a program prints, logs, raises or pickles."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import httpx2
import pytest
import requests
import trio
from hypothesis import example, given, strategies as st

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianAuthError,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    CloudEnvironment,
    MemoryTokenStore,
    create_atlassian_oauth_client,
    records,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.records.authorizations import Authorizations
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    Body,
    CloseAfter,
    CloseBefore,
    CutBody,
    Redirect,
    Status,
    TruncatedJSON,
)
from atlassian_auth_adapter.testing.state import shared_login

from . import reporters

WRONG = "wr0ng+client/secret=&s3cr3t"
PASSWORD = "pr0xy+pass/word=s3cr3t"
PROXY = f"http://user:{quote(PASSWORD, safe='')}@proxy.example.com:8080"


class _Store:
    """A store in memory that can be told to fail; its errors repeat all that it was given."""

    def __init__(self) -> None:
        self.inner = MemoryTokenStore()
        self.failures = 0

    def _fail(self, *given: object) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise RuntimeError(f"the disk is full: {' '.join(map(str, given))}")

    def load(self, name: str) -> Entry | None:
        return self.inner.load(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        self._fail(name, text)
        self.inner.save(name, text, expected=expected)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        return self.inner.lock(name, timeout=timeout)


class _Log(logging.Handler):
    """Everything that any logger says, with its arguments and tracebacks."""

    def __init__(self, shown: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        self.shown += [record.getMessage(), repr(record.args)]
        if record.exc_info and record.exc_info[1]:
            self.shown += _texts_of(record.exc_info[1])


@contextmanager
def _debug_log(shown: list[str]) -> Iterator[None]:
    root, handler = logging.getLogger(), _Log(shown)
    levels = {name: logging.getLogger(name).level for name in (None, "atlassian_auth_adapter")}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _texts_of(error: BaseException) -> list[str]:
    """Everything that can be reached from an error."""
    shown = ["".join(traceback.format_exception(error)), *reporters.shown_of(error)]
    seen: set[int] = set()
    to_see: list[Any] = [error]
    while to_see:
        each = to_see.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        shown += [repr(each), str(each)]
        if isinstance(each, BaseException):
            to_see += [each.__cause__, each.__context__, *each.args]
        if isinstance(each, AtlassianAuthError):  # a library's own error holds its own request
            to_see += [getattr(each, "request", None), getattr(each, "response", None)]
            shown.append(repr(pickle.dumps(each)))
        shown += [f"{name}={value!r}" for name, value in getattr(each, "__dict__", {}).items()]
        shown += [repr(dict(getattr(each, "headers", None) or {}))]
    return shown


class _World:
    """An emulator, clients of it, and everything that was ever shown."""

    def __init__(self, flavour: str, emulator: AtlassianEmulator, clock: FakeClock) -> None:
        self.emulator, self.clock, self.shown = emulator, clock, list[str]()
        self.side: Any = getattr(emulator, flavour)
        self.store = _Store()
        self.handed: set[str] = set()
        self.arguments: dict[str, Any] = {
            "client_id": self.side.app.client_id,
            "callback_url": self.side.app.callback_url,
            "clock": clock,
            "store": self.store,
            "on_event": lambda event: self.shown.append(f"{event} {event!r}"),
            "proxy": {"ftp": PROXY},
        }
        if flavour == "cloud":
            hosts = self.side.auth_url, self.side.api_url, self.side.audience
            self.arguments |= {
                "cloud": CloudEnvironment(*hosts),
                "site_url": self.side.sites[0].url,
            }
            self.path = "/rest/api/3/myself"
        else:
            self.arguments["server_url"] = self.side.url
            self.path = "/rest/api/2/myself"
        self.client: Any = self.made(self.side.app.client_secret)

    def made(self, secret: str) -> Any:
        return create_atlassian_oauth_client(client_secret=secret, **self.arguments)

    @property
    def url(self) -> str:
        return str(self.client.base_url) + self.path

    @property
    def login(self) -> Login | None:
        return records.load(self.store, self.client.token_key, Login)[0]

    @property
    def authorizations(self) -> Authorizations | None:
        key = self.client.token_key.for_authorizations()
        return records.load(self.store, key, Authorizations)[0]

    @property
    def refresh_token(self) -> str:
        login = self.login
        return login.token_set.refresh_token if login and login.token_set else "none-s3cr3t"

    def secrets(self) -> set[str]:
        pending = self.authorizations
        started = pending.requests if pending else ()
        waiting = {secret for each in started for secret in (each.state, each.code_verifier)}
        return {WRONG, PASSWORD, *self.emulator.secrets, *waiting} - {""}


# --- what may happen ------------------------------------------------------------------------------


def _login(world: _World) -> None:
    world.client.oauth_complete(world.side.authorize(world.client.oauth_start()))


def _wrong_state(world: _World) -> None:
    redirect = world.side.authorize(world.client.oauth_start())
    world.client.oauth_complete(redirect[:-3] + "xyz")


def _old_code(world: _World) -> None:
    redirect = world.side.authorize(world.client.oauth_start())
    world.clock.advance(120)
    world.client.oauth_complete(redirect)


def _denied(world: _World) -> None:
    world.client.oauth_complete(world.side.deny(world.client.oauth_start()))


def _requests(world: _World, target: str = "") -> None:
    auth = AtlassianAuth(world.client)
    with requests.Session() as session:
        session.proxies = {"ftp": PROXY}
        response = session.get(target or world.url, auth=auth, timeout=30)
    world.shown += [repr(auth), repr(response)]


def _httpx(library: Any, adapter: Any) -> Callable[[_World], None]:
    def get(world: _World) -> None:
        with library.Client(auth=adapter(world.client)) as client:
            world.shown += [repr(client), repr(client.get(world.url))]

    return get


def _httpx_async(run: Any) -> Callable[[_World], None]:
    def get(world: _World) -> None:
        url = world.url

        async def main() -> None:
            async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(world.client)) as client:
                world.shown.append(repr(await client.get(url)))

        run(main)

    return get


def _aiohttp(world: _World) -> None:
    world.shown += map(repr, ask(world.client, world.url))


def _foreign_raises(world: _World) -> None:
    auth = AtlassianAuth(world.client, foreign="raise")
    requests.get(world.emulator.foreign_url, auth=auth, timeout=30)


def _cut_rejection(world: _World) -> None:
    world.side.expire_access_tokens()
    world.emulator.faults.next("resource", CutBody())
    _requests(world)


def _resent_in_vain(world: _World) -> None:
    world.side.expire_access_tokens()
    world.emulator.faults.next("resource", Status(401))
    world.emulator.faults.next("resource", CloseBefore())
    _requests(world)


def _redirected(world: _World) -> None:
    world.emulator.faults.next("resource", Redirect(f"{world.emulator.foreign_url}/x", 302))
    _requests(world)


def _wrong_secret(world: _World) -> None:
    world.made(WRONG).oauth2_retrieve_access_token(refresh_token=world.refresh_token)


def _failing_store(world: _World) -> None:
    world.store.failures = 1
    world.client.refresh()


def _unsaved(world: _World) -> None:
    world.store.failures = 0
    if world.login is None:
        return
    saved = world.store.save
    calls = iter([False, True])

    def save(name: str, text: str, *, expected: int | None) -> None:
        if next(calls, False):
            raise RuntimeError(f"the disk is full: {text}")
        saved(name, text, expected=expected)

    world.store.save = save  # type: ignore[method-assign]
    try:
        world.client.refresh()
    finally:
        del world.store.save


def _pickled(world: _World) -> None:
    auth = AtlassianAuth(world.client)
    world.client._arguments.pop("store", None)  # one of a test, which has no pickle
    for thing in (world.client, auth, world.client.transport, world.client.status()):
        world.shown.append(pickle.dumps(thing).decode("latin-1"))
        world.shown += [repr(thing), repr(getattr(thing, "__dict__", ""))]


def _printed(world: _World) -> None:
    client = world.client
    for thing in (client, vars(client), client.current(), client.status(), client.base_url):
        world.shown += [repr(thing), str(thing)]
    inside = [shared_login(client), *vars(client).values()]
    world.shown += [repr(vars(thing)) for thing in inside if hasattr(thing, "__dict__")]
    world.shown.append(repr(world.store.load(client.token_key.name)))
    world.shown += [repr(world.login), repr(world.authorizations)]


def _weather(where: str, fault: Any, times: int = 1) -> Callable[[_World], None]:
    return lambda world: world.emulator.faults.next(where, fault, times)


OPERATIONS: dict[str, Callable[[_World], object]] = {
    "login": _login,
    "login with a wrong state": _wrong_state,
    "login with an old code": _old_code,
    "login denied": _denied,
    "login started": lambda world: world.client.oauth_start(),
    "requests": _requests,
    "requests to a foreign host": lambda world: _requests(world, world.emulator.foreign_url),
    "requests to a foreign host, raising": _foreign_raises,
    "requests, redirected away": _redirected,
    "requests, the rejection is cut": _cut_rejection,
    "requests, sent again in vain": _resent_in_vain,
    "httpx": _httpx(httpx, AtlassianHTTPXAuth),
    "httpx2": _httpx(httpx2, AtlassianHTTPX2Auth),
    "aiohttp": _aiohttp,
    "httpx on asyncio": _httpx_async(lambda main: asyncio.run(main())),
    "httpx on trio": _httpx_async(trio.run),
    "an hour passes": lambda world: world.clock.advance(3600),
    "a minute passes": lambda world: world.clock.advance(60),
    "tokens end early": lambda world: world.side.expire_access_tokens(),
    "the grant is revoked": lambda world: world.side.revoke_grants(),
    "a refresh": lambda world: world.client.refresh(),
    "a token": lambda world: world.client.get_access_token(),
    "take over": lambda world: world.client.oauth2_retrieve_access_token(
        refresh_token=world.side.issue()["refresh_token"]
    ),
    "wrong secret": _wrong_secret,
    "the store fails": _failing_store,
    "the new token is not saved": _unsaved,
    "test connection": lambda world: world.client.test_connection(),
    "accessible resources": lambda world: world.client.accessible_resources(),
    "revoke": lambda world: world.client.revoke(),
    "forget": lambda world: world.client.forget(),
    "print": _printed,
    "pickle": _pickled,
    "the answer is lost": _weather("token", CloseAfter()),
    "answers are lost": _weather("token", CloseAfter(), 9),
    "the answer is cut": _weather("token", CutBody(), 3),
    "the answer is truncated": _weather("token", TruncatedJSON(), 3),
    "a login page": _weather("token", HTML(), 3),
    "an empty answer": _weather("token", Body(b"", after=True), 3),
    "a redirect": _weather("token", Redirect("http://127.0.0.1:9/x"), 3),
    "an outage": _weather("token", Status(503, retry_after=900)),
    "revocation fails": _weather("revoke", Status(500)),
    "revocation is lost": _weather("revoke", CloseBefore()),
    "a resource rejects": _weather("resource", Status(401), 2),
    "a resource is lost": _weather("resource", CloseBefore(), 2),
    "a resource is odd": _weather("resource", HTML()),
    "the site is down": _weather("tenant_info", Status(500)),
}


def _leaks(world: _World) -> list[str]:
    client_id = world.side.app.client_id
    found = set()
    for secret in world.secrets():
        for spelling in reporters.spellings(secret, client_id):
            for text in world.shown:
                at = text.find(spelling)
                if at >= 0:
                    found.add(text[max(0, at - 160) : at + 12])
    return sorted(found)


def _run(flavour: str, operations: list[str]) -> list[str]:
    clock = FakeClock()
    with AtlassianEmulator(clock) as emulator:
        world = _World(flavour, emulator, clock)
        with _debug_log(world.shown):
            for name in operations:
                try:
                    OPERATIONS[name](world)
                except Exception as error:
                    world.shown += _texts_of(error)
        emulator.faults.clear()
        for request in emulator.requests:
            if request.role in ("foreign", "media", "site"):
                world.shown.append(f"{request.role} {request.target} {dict(request.headers)}")
                world.shown.append(request.body.decode("latin-1"))
        return _leaks(world)


flavours = pytest.mark.parametrize("flavour", ["cloud", "data_center"])


@flavours
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_single_step_shows_a_secret(flavour: str, operation: str) -> None:
    """Each thing that may happen, to a client that is logged in, and what comes of it."""
    after = ["test connection", "a refresh", "requests", "revoke", "print"]
    assert not _run(flavour, ["login", operation, *after])


@flavours
@pytest.mark.parametrize("trouble", ["an outage", "answers are lost", "the grant is revoked"])
@pytest.mark.parametrize(
    "sent",
    [
        *("requests", "httpx", "httpx on asyncio", "aiohttp", "test connection"),
        *(pytest.param(sent, marks=pytest.mark.slow) for sent in ("httpx2", "httpx on trio")),
    ],
)
def test_a_rejected_token_that_cannot_be_renewed_is_not_shown(
    flavour: str, trouble: str, sent: str
) -> None:
    """The error that a request ends with holds neither the rejected token nor the spent one."""
    assert not _run(
        flavour, ["login", sent, trouble, "tokens end early", sent, "a resource rejects", sent]
    )


@flavours
@example(["forget", "login denied", "the store fails", "login"])  # another class of error
@given(st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=9))
def test_no_sequence_of_steps_shows_a_secret(flavour: str, operations: list[str]) -> None:
    """In any order of what may happen: not in a repr, a log, an error or its frames."""
    assert not _run(flavour, ["login", *operations])


def test_the_scanner_finds_what_it_looks_for() -> None:
    """A secret in a log, in a local of the library or in a chained error is found."""
    clock = FakeClock()
    with AtlassianEmulator(clock) as emulator:
        world = _World("cloud", emulator, clock)
        _login(world)
        assert not _leaks(world)
        token = str(world.client.get_access_token())  # not hidden any more
        for leak in (
            lambda: world.shown.append(f"Authorization: Bearer {token}"),
            lambda: world.shown.append(quote(world.side.app.client_secret, safe="")),
            lambda: world.shown.append(token[:30]),
            lambda: world.shown.extend(_texts_of(_chained(token))),
            lambda: _logged(world.shown, token),
        ):
            world.shown.clear()
            leak()
            assert _leaks(world)


def _chained(token: str) -> Exception:
    error = RuntimeError("outer")
    error.__context__ = ValueError(token)
    return error


def _logged(shown: list[str], token: str) -> None:
    with _debug_log(shown):
        logging.getLogger("httpcore.http11").debug("headers %s", [("Authorization", token)])
