"""What the tests of the refresh share beside the stores."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import AtlassianOAuthClient, FileTokenStore, TokenSet
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    separate_process_state,
    stored_login,
)
from atlassian_auth_adapter.testing.emulator import Hold

from .orders import DOCUMENT, rendered, states_in

Start = Callable[..., Future[Any]]
Held = Callable[[AtlassianOAuthClient], Hold]
Program = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a function on a thread of its own; its future."""
    with ThreadPoolExecutor(128) as pool:
        yield pool.submit


@pytest.fixture
def expired_client(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> Callable[..., AtlassianOAuthClient]:
    """Makes a client whose access token has just expired, with the arguments of `make_client`.

    The token endpoint will give that `answer`, so many times (None: always).
    """

    def make(
        *arguments: Any, answer: Any = None, times: int | None = 1, **changes: Any
    ) -> AtlassianOAuthClient:
        client: AtlassianOAuthClient = make_client(*arguments, **changes)
        clock.advance(3600)
        if answer:
            emulator.faults.next("token", answer, times=times)
        return client

    return make


@pytest.fixture
def newer(clock: FakeClock) -> TokenSet:
    """A token set that another process has obtained; the emulator does not know it."""
    return TokenSet("newer", "newer-refresh", clock.time() + 7200, "", "Bearer", clock.time())


@pytest.fixture
def another_process(make_client: Any) -> Callable[..., AtlassianOAuthClient]:
    """A client as another process has it: it shares the store that it is given, but no memory."""

    def make(*arguments: Any, **changes: Any) -> AtlassianOAuthClient:
        client: AtlassianOAuthClient = make_client(*arguments, **({"login": False} | changes))
        separate_process_state(client)
        return client

    return make


@pytest.fixture
def kept() -> Callable[[AtlassianOAuthClient], TokenSet]:
    """The token set that the client's store holds."""

    def find(client: AtlassianOAuthClient) -> TokenSet:
        login = stored_login(client)
        assert login
        assert login.token_set
        return login.token_set

    return find


@pytest.fixture
def held(emulator: AtlassianEmulator, clock: FakeClock) -> Held:
    """Expires the client's token; its refresh will stop after the server has rotated."""

    def hold(_: AtlassianOAuthClient) -> Hold:
        clock.advance(3600)
        hold = Hold(after=True)
        emulator.faults.next("token", hold)
        return hold

    return hold


@pytest.fixture
def let_time_pass(clock: FakeClock) -> Callable[..., None]:
    """Moves the clock, for those who sleep by it, until a future is done, or every flight."""

    def move(until: Future[Any] | None = None) -> None:
        for _ in range(5000):
            flights = [t for t in threading.enumerate() if t.name == "atlassian-auth-flight"]
            if until.done() if until else not flights:
                return
            clock.advance(5 if until else 20)
            if until:
                wait([until], 0.01)
            else:
                try:
                    flights[0].join(0.01)
                except RuntimeError:  # it is being started
                    threading.Event().wait(0.01)
        raise AssertionError("it does not end")

    return move


SCRIPT = """
import json, sys, threading
from atlassian_auth_adapter import CloudEnvironment, FileTokenStore, create_atlassian_oauth_client

arguments = json.loads(sys.argv[1])
store = FileTokenStore(arguments.pop("store"))
cloud = CloudEnvironment(*arguments.pop("cloud"))
client = create_atlassian_oauth_client(**arguments, store=store, cloud=cloud)
"""


@pytest.fixture
def program(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, tmp_path: Path
) -> Iterator[Program]:
    """Starts a Python program whose `client` shares a FileTokenStore with an expired login."""
    store = tmp_path / "tokens"
    # The login took place an hour ago by the machine's clock, which is the programs' clock.
    clock.jump(-3600)
    make_client(store=FileTokenStore(store))
    clock.jump(3600)
    side = emulator.cloud
    arguments = {
        "client_id": side.app.client_id,
        "client_secret": side.app.client_secret,
        "cloud_id": side.sites[0].id,
        "cloud": (side.auth_url, side.api_url, side.audience),
        "store": str(store),
    }
    started: list[subprocess.Popen[str]] = []

    def begin(body: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + textwrap.dedent(body), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream
            stream.close()


# --- test_every_order -----------------------------------------------------------------------------

WRITTEN = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of the explorer."""
    parser.addoption(
        "--write-orders", action="store_true", help=f"with --slow: write {DOCUMENT.name}"
    )


@pytest.fixture(scope="session")
def documented() -> dict[str, int]:
    """The states of docs/refresh.md, by the names of their worlds."""
    return states_in(DOCUMENT.read_text(encoding="utf-8")) if DOCUMENT.exists() else {}


@pytest.fixture
def written(request: pytest.FixtureRequest) -> dict[str, int] | None:
    """Where the counts go that are to be written; None when they are compared."""
    if not request.config.getoption("write_orders", False):
        return None
    return request.config.stash.setdefault(WRITTEN, {})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the document, if that was asked for."""
    if states := session.config.stash.get(WRITTEN, None):
        before = states_in(DOCUMENT.read_text(encoding="utf-8")) if DOCUMENT.exists() else {}
        DOCUMENT.write_text(rendered({**before, **states}), encoding="utf-8")
