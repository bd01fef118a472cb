"""What all tests share: time, a local Atlassian, and clients that are logged in to it."""

from __future__ import annotations

import gc
import os
import random
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
import sqlalchemy

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    CloudEnvironment,
    Event,
    TokenSet,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.relay import Relay

# The same examples in every run, and no test that depends on how busy the machine is.
STEADY = hypothesis.settings(deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("short", STEADY, max_examples=24)
hypothesis.settings.register_profile("slow", STEADY, max_examples=150)
hypothesis.settings.register_profile("fuzz", STEADY, max_examples=1000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose between `make test`, `make slow` and `make fuzz`."""
    parser.addoption(
        "--slow", action="store_true", help="also run the tests marked slow; more examples"
    )
    parser.addoption("--fuzz", action="store_true", help="so many examples that it takes an hour")


def pytest_configure(config: pytest.Config) -> None:
    """Test modules are imported after this, so `hypothesis.settings` there has these defaults."""
    chosen = [name for name in ("fuzz", "slow") if config.getoption(name)]
    hypothesis.settings.load_profile(next(iter(chosen), "short"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --slow the tests marked slow are deselected; with it they begin first, so that no
    worker is left alone with one of them in the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not config.getoption("slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        del items[: len(slow)]


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector looks at it no more."""
    gc.freeze()


#: Of the library: flights.
THREADS = ("atlassian-auth-flight",)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many states of the refresh were explored (tests/refresh/test_every_order.py)."""
    counts = [
        int(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "states"
    ]
    if counts:
        terminalreporter.write_line(
            f"refresh: {sum(counts):,} states explored in {len(counts)} worlds"
        )


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test moves; library and emulator share it."""
    return FakeClock()


@pytest.fixture
def emulator(clock: FakeClock) -> Iterator[AtlassianEmulator]:
    """A local Atlassian, Cloud and Data Center, on the test's clock."""
    with AtlassianEmulator(clock) as running:
        yield running


class MakeClient(Protocol):
    """Makes a client of the emulator; keyword arguments replace the usual ones."""

    def __call__(
        self, flavour: str = "cloud", *, login: bool = True, **changes: Any
    ) -> AtlassianOAuthClient: ...


@pytest.fixture
def make_client(emulator: AtlassianEmulator, clock: FakeClock) -> MakeClient:
    """Makes a client for a flavour of the emulator, logged in unless told otherwise."""

    def make(flavour: str = "cloud", *, login: bool = True, **changes: Any) -> AtlassianOAuthClient:
        side = getattr(emulator, flavour)
        arguments: dict[str, Any] = {
            "client_id": side.app.client_id,
            "client_secret": side.app.client_secret,
            "callback_url": side.app.callback_url,
            "clock": clock,
        }
        if flavour == "cloud":
            arguments |= {
                "cloud_id": side.sites[0].id,
                "site_url": side.sites[0].url,
                "cloud": CloudEnvironment(side.auth_url, side.api_url, side.audience),
            }
        elif flavour == "bitbucket":
            hosts = CloudEnvironment(side.auth_url, side.api_url, "")
            arguments |= {"product": "bitbucket", "cloud": hosts}
        elif flavour == "trello":
            hosts = CloudEnvironment(side.auth_url, side.api_url, side.audience)
            arguments |= {"product": "trello", "cloud": hosts}
        else:
            arguments["server_url"] = side.url
        client = create_atlassian_oauth_client(**(arguments | changes))
        if login:
            client.oauth_complete(side.authorize(client.oauth_start()))
        return client

    return make


class Events(list[Event]):
    """An `on_event` hook that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    @property
    def names(self) -> list[str]:
        """The names, in the order of arrival."""
        return [event.name for event in self]


@pytest.fixture
def events() -> Events:
    """An `on_event` hook that remembers; call `landed()` first to have all of them."""
    return Events()


@pytest.fixture
def landed() -> Callable[[], None]:
    """Waits until every flight has landed and reported."""

    def wait() -> None:
        for thread in threading.enumerate():
            if thread.name in THREADS and thread is not threading.current_thread():
                while not thread.is_alive() and thread in threading.enumerate():
                    time.sleep(0)  # it is being started by another thread
                if thread.is_alive():
                    thread.join(20)
                assert not thread.is_alive(), "a flight does not land"

    return wait


@pytest.fixture(autouse=True)
def _no_flight_is_left(landed: Callable[[], None]) -> Iterator[None]:
    """A test ends when its flights have landed."""
    yield
    landed()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Finds a port that is free, and stays so: the system assigns no port of this range by itself.

    Other tests, beside this one, open connections all the time.
    """

    def find() -> int:
        for port in random.sample(range(20_000, 32_000), 100):
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise AssertionError("every port is taken")

    return find


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    """A port at which no program listens."""
    return free_port()


@pytest.fixture
def signals() -> Iterator[None]:
    """Programs that the test starts heed Ctrl-C and hang-ups, as in a terminal.

    They inherit what is ignored, and a shell that runs the tests in the background, or `nohup`, has
    these signals ignored.
    """
    names = [name for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A requests session, closed afterwards."""
    with requests.Session() as running:
        yield running


@pytest.fixture
def secrets_of() -> Callable[[TokenSet | None], set[str]]:
    """The secrets of a token set."""

    def secrets(token_set: TokenSet | None) -> set[str]:
        return {token_set.access_token, token_set.refresh_token} if token_set else set()

    return secrets


def _server(variable: str, usual: str) -> str:
    """The URL of a server that answers; without one the test is skipped, or fails in CI."""
    url = os.environ.get(variable) or usual
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), 5).close()
    except OSError as error:
        reason = f"no server at {parts.hostname}:{parts.port} ({error}); {variable} names another"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis to use with keys of one's own."""
    return _server("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """A PostgreSQL database to make tables of one's own in, as SQLAlchemy spells it."""
    url = _server("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def schema_url(postgres_url: str) -> Iterator[str]:
    """The same database with a schema of one's own, in which tables have their usual names."""
    engine, name = sqlalchemy.create_engine(postgres_url), f"test_{secrets.token_hex(8)}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.CreateSchema(name))
    yield f"{postgres_url}?options=-csearch_path%3D{name}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.DropSchema(name, cascade=True))
    engine.dispose()


@pytest.fixture(scope="session")
def mysql_url() -> str:
    """A MariaDB or MySQL database to make tables of one's own in, as SQLAlchemy spells it."""
    url = _server("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test")
    return url.replace("mysql://", "mysql+pymysql://")


@pytest.fixture
def relay() -> Iterator[Callable[[str], tuple[Relay, str]]]:
    """Puts a relay in front of the server of a URL; returns it with the URL that leads there."""
    with ExitStack() as stack:

        def put(url: str) -> tuple[Relay, str]:
            parts = urlsplit(url)
            between = stack.enter_context(Relay(parts.hostname or "", parts.port or 0))
            host = f"{parts.hostname}:{parts.port}"
            return between, url.replace(host, f"127.0.0.1:{between.port}")

        yield put


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A certificate authority of the tests, and a client certificate (`servers.Pki`)."""
    from .servers import Pki

    return Pki.within(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that end in `.test` are names of this machine, to which proxies are used."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *arguments: Any, **named: Any) -> Any:
        is_ours = isinstance(host, str) and host.endswith(".test")
        return resolve("127.0.0.1" if is_ours else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.fixture
def forward_proxy(no_proxies: None, names: None) -> Iterator[Any]:
    """A `servers.ForwardProxy`; the environment names no proxy."""
    from .servers import ForwardProxy, raw_server

    proxy = ForwardProxy()
    with raw_server(proxy.serve) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy
