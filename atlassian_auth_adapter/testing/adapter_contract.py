"""What every auth object must do, as tests that its own test class inherits.

    class TestMyAuth(AuthAdapterContract):
        request_error = mylibrary.RequestError

        def auth(self, source, **options):
            return MyAuth(source, **options)

        def exchange(self, *calls, auth, at_once=False, **options):
            ...send each call through one client, return a Reply for each...

        def rehearse(self, *calls, auth, answers=()):
            ...send each call to a double of the network, return what it was sent...

`SyncHTTPXFamilyContract` and `AsyncHTTPXFamilyContract` have done so for every library that speaks
the interface of httpx.

Needs pytest. The tests run against the emulator, on a clock of their own; none of them sleeps.
"""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import re
import ssl
import sys
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import pytest

from atlassian_auth_adapter.atlassian.gateway import CloudGateway, DataCenter, ResourceServer
from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients import (
    AtlassianOAuthClient,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ForeignOriginError,
    LoginRequiredError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
)
from atlassian_auth_adapter.events import Event
from atlassian_auth_adapter.sources import StaticTokenSource, TokenSource
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.clock import FakeClock
from atlassian_auth_adapter.testing.emulator import (
    AtlassianEmulator,
    Hold,
    LoggedRequest,
    Status,
)
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "DATA",
    "AsyncHTTPXFamilyContract",
    "AuthAdapterContract",
    "Call",
    "FixedTokenSource",
    "HTTPXFamilyContract",
    "OneWay",
    "Reply",
    "Sent",
    "SyncHTTPXFamilyContract",
    "World",
    "secrets_in",
]

#: Seconds for what must happen; only a failing test waits that long.
PATIENCE = 20.0

#: A body that no library sends in one piece, and of which no two parts are alike.
DATA = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(9000))

#: Bytes before the part of a file that is to be sent.
OFFSET = 1000

STATUSES = (301, 302, 303, 307, 308)

CLOUD_ID = "11111111-2222-3333-4444-555555555555"
OTHER_ID = "99999999-2222-3333-4444-555555555555"
BEARER = "secret-bearer"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that an adapter is to send.

    Attributes:
        method, url: As they are written.
        headers: Of the program.
        json, content, files: The body: a JSON value; bytes, a file or an iterable; or what the
            library takes for multipart: `{name: (filename, file)}`.
        auth: For this request only; None: the client's.
        stream: Whether the body of the response is streamed.
        follow_redirects: Whether redirects are followed.
        before: Called just before the request is sent.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: Any = None
    files: Any = None
    auth: Any = None
    stream: bool = False
    follow_redirects: bool = True
    before: Callable[[], object] = lambda: None

    @property
    def body(self) -> dict[str, Any]:
        """The one of `json`, `content` and `files` that there is, by its name."""
        every = {"json": self.json, "content": self.content, "files": self.files}
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, as a program would see it.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: All of it.
        url: Where it came from.
        history: Statuses of the responses before it.
        elapsed: Seconds that the library says it took.
        streamed: Whether the body was still on its way when the program got the response.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    history: tuple[int, ...]
    elapsed: float
    streamed: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as a double of the network has got it; names of headers in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]


class OneWay(io.RawIOBase):
    """A file that can be read once and cannot tell where it stands, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Hand out what comes next."""
        return self._data.readinto(buffer)


class _Boaster(OneWay):
    """A file that says that it can seek, and cannot."""

    def seekable(self) -> bool:
        return True


class FixedTokenSource(TokenSource):
    """Always the same token, for any resource server; remembers its events."""

    def __init__(self, resource_server: ResourceServer, access_token: str = BEARER) -> None:
        self.events: list[Event] = []
        self.on_event = self.events.append
        self._resource_server = resource_server
        self._token_set = TokenSet(access_token)

    @property
    def resource_server(self) -> ResourceServer:
        """Where the token is accepted."""
        return self._resource_server

    def current(self) -> TokenSet:
        """The token."""
        return self._token_set

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """The token, whatever is said about it."""
        return self._token_set


@dataclass(slots=True)
class World:
    """A local Atlassian with its time, and what was reported."""

    emulator: AtlassianEmulator
    clock: FakeClock
    events: list[Event] = field(default_factory=list)

    def login(self, flavour: str, **changes: Any) -> AtlassianOAuthClient:
        """A client of "cloud" or "data_center" that is logged in; its events come here."""
        side = getattr(self.emulator, flavour)
        arguments: dict[str, Any] = {
            "client_id": side.app.client_id,
            "client_secret": side.app.client_secret,
            "callback_url": side.app.callback_url,
            "clock": self.clock,
            "on_event": self.events.append,
        }
        if flavour == "cloud":
            arguments |= {
                "cloud_id": side.sites[0].id,
                "site_url": side.sites[0].url,
                "cloud": CloudEnvironment(side.auth_url, side.api_url, side.audience),
            }
        else:
            arguments["server_url"] = side.url
        client = create_atlassian_oauth_client(**(arguments | changes))
        client.oauth_complete(side.authorize(client.oauth_start()))
        self.emulator.reset_log()
        return client

    def named(self, name: str) -> list[Event]:
        """The events of that name, once every flight has landed."""
        landed()
        return [event for event in self.events if event.name == name]

    @property
    def refreshes(self) -> int:
        """How many refresh requests the authorization servers got."""
        landed()
        return self.emulator.count(grant_type="refresh_token")

    def at(self, path: str) -> list[LoggedRequest]:
        """The requests whose path ends so."""
        return [request for request in self.emulator.requests if request.path.endswith(path)]

    def leaks(self) -> list[LoggedRequest]:
        """The requests with which a secret went where it must not go."""
        emulator = self.emulator
        bases = {"server": emulator.data_center.context_path}
        leaks = []
        for request in emulator.requests:
            headers = dict(request.headers)
            if request.role == "server" and request.path.startswith(f"{bases['server']}/"):
                welcome = emulator.data_center.secrets
            elif request.role == "api" and re.match(self._gateway_paths, request.path):
                welcome = emulator.cloud.secrets
            else:
                welcome = frozenset()
            if any(f"Bearer {secret}" == headers.get("authorization") for secret in welcome):
                del headers["authorization"]
            if secrets_in(f"{request.target} {headers} {request.body!r}", emulator):
                leaks.append(request)
        return leaks

    @property
    def _gateway_paths(self) -> str:
        site = self.emulator.cloud.sites[0].id
        return rf"/(me|oauth/token/accessible-resources|ex/[a-z]+/{site}/[^.%]*)$"


def secrets_in(text: str | bytes, emulator: AtlassianEmulator) -> set[str]:
    """The secrets of the emulator that stand in the text."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return {secret for secret in emulator.secrets if secret in text}


def landed() -> None:
    """Wait until every flight has landed and reported."""
    for thread in threading.enumerate():
        if thread.name == "atlassian-auth-flight":
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a flight does not land"


_UNAUTHORIZED = Status(401, '{"code":401,"message":"Unauthorized"}')

_GATEWAY = f"https://api.atlassian.com/ex/jira/{CLOUD_ID}"
_CLOUD = CloudGateway("https://api.atlassian.com", CLOUD_ID, site_url="https://acme.atlassian.net")
_DATA_CENTER = DataCenter("https://jira.example.com/jira")

#: Ways to write "up", of which some server or proxy understands each.
_UPS = ("..", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "..;", "..;x=y")

#: Where no token of the site CLOUD_ID must go.
_OUTSIDE_CLOUD = (
    f"https://evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"http://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:8443/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:80/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com.evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com./ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil-api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://somebody:pw@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://somebody@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:443@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example\\@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com\\@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com\\.evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example#@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example?@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example/?x=https://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID}0/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID};{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID}%2f{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/EX/JIRA/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com//ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/x/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex//{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/x/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/?/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/#/ex/jira/{CLOUD_ID}/rest/echo",
    "https://api.atlassian.com/ex/jira/",
    "https://api.atlassian.com/ex/jira",
    "https://api.atlassian.com/",
    "https://api.atlassian.com",
    "https://api.atlassian.com/oauth/token",
    "https://api.atlassian.com/admin/v1/orgs",
    "https://api.atlassian.com/me/x",
    "https://api.atlassian.com/restx",
    *(f"{_GATEWAY}/{up}/{OTHER_ID}/rest/echo" for up in _UPS),
    f"{_GATEWAY}\\..\\{OTHER_ID}/rest/echo",
    f"{_GATEWAY}/..\\{OTHER_ID}/rest/echo",
    f"{_GATEWAY}/..%5c{OTHER_ID}/rest/echo",
    f"{_GATEWAY}/..%2f{OTHER_ID}/rest/echo",
    f"{_GATEWAY}%2f..%2f{OTHER_ID}/rest/echo",
    f"{_GATEWAY}/..%252f{OTHER_ID}/rest/echo",
    f"{_GATEWAY}/rest/x\\..\\..\\..\\{OTHER_ID}",
    "https://acme.atlassian.net/",
    "https://acme.atlassian.net/browse/ABC-1",
    "https://acme.atlassian.net/secure/attachment/1/a.txt",
    "https://acme.atlassian.net/_edge/tenant_info",
    "https://acme.atlassian.net/wiki/download/attachments/1/a.txt",
    "https://acme.atlassian.net/wiki/spaces/DOCS",
    "https://acme.atlassian.net/wiki/restx",
    "https://acme.atlassian.net/me",
    f"https://acme.atlassian.net/ex/jira/{OTHER_ID}/rest/echo",
    "https://globex.atlassian.net/rest/api/3/myself",
    "https://acme.atlassian.net.evil.example/rest/api/3/myself",
    "https://acme.atlassian.net./rest/api/3/myself",
    "https://acme.atlassian.net:8443/rest/api/3/myself",
    "http://acme.atlassian.net/rest/api/3/myself",
    "https://somebody:pw@acme.atlassian.net/rest/api/3/myself",
    "https://acme.atlassian.net//rest/api/3/myself",
    *(f"https://acme.atlassian.net/rest/{up}/secure/x" for up in _UPS),
    "https://acme.atlassian.net/rest/..%2fsecure",
)

#: Where no token of https://jira.example.com/jira must go.
_OUTSIDE_DATA_CENTER = (
    "https://evil.example/jira/rest/echo",
    "http://jira.example.com/jira/rest/echo",
    "https://jira.example.com:8443/jira/rest/echo",
    "https://jira.example.com./jira/rest/echo",
    "https://jira.example.com.evil.example/jira/rest/echo",
    "https://example.com/jira/rest/echo",
    "https://somebody:pw@jira.example.com/jira/rest/echo",
    "https://jira.example.com@evil.example/jira/rest/echo",
    "https://evil.example\\@jira.example.com/jira/rest/echo",
    "https://jira.example.com\\@evil.example/jira/rest/echo",
    "https://jira.example.com/",
    "https://jira.example.com",
    "https://jira.example.com/jira2/rest/echo",
    "https://jira.example.com/confluence/rest/echo",
    "https://jira.example.com/JIRA/rest/echo",
    "https://jira.example.com//jira/rest/echo",
    "https://jira.example.com/jira%2frest/echo",
    "https://jira.example.com/confluence/jira/rest/echo",
    *(f"https://jira.example.com/jira/{up}/confluence/rest/echo" for up in _UPS),
    "https://jira.example.com/jira\\..\\confluence/rest/echo",
    "https://jira.example.com/jira/..\\confluence/rest/echo",
    "https://jira.example.com/jira/..%5cconfluence/rest/echo",
    "https://jira.example.com/jira/..%2fconfluence/rest/echo",
    "https://jira.example.com/jira%2f..%2fconfluence/rest/echo",
)

#: Where no token of https://jira.example.com must go.
_OUTSIDE_ROOT = (
    "https://evil.example/rest/echo",
    "http://jira.example.com/rest/echo",
    "https://jira.example.com:8443/rest/echo",
    "https://jira.example.com\\@evil.example/rest/echo",
    "https://jira.example.com\\.evil.example/rest/echo",
    "https://evil.example\\@jira.example.com/rest/echo",
    "https://evil.example\\/@jira.example.com/rest/echo",
    "https://jira.example.com@evil.example/rest/echo",
    "https://somebody@jira.example.com/rest/echo",
)

_OUTSIDE = [
    pytest.param(_CLOUD, _OUTSIDE_CLOUD, id="cloud"),
    pytest.param(_DATA_CENTER, _OUTSIDE_DATA_CENTER, id="data_center"),
    pytest.param(DataCenter("https://jira.example.com"), _OUTSIDE_ROOT, id="data_center_at_root"),
]

#: What goes with the token, and as what it arrives.
_INSIDE: tuple[tuple[ResourceServer, str, str], ...] = (
    (_CLOUD, f"{_GATEWAY}/rest/api/3/myself", ""),
    (_CLOUD, f"{_GATEWAY}/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y", ""),
    (_CLOUD, f"{_GATEWAY}/rest/api/3/issue/A%20B%2FC", ""),
    (_CLOUD, f"{_GATEWAY}/rest/api/3/attachment/a..b/...", ""),
    (_CLOUD, f"https://API.Atlassian.COM/ex/jira/{CLOUD_ID}/rest/x", f"{_GATEWAY}/rest/x"),
    (_CLOUD, f"https://api.atlassian.com:443/ex/jira/{CLOUD_ID}/rest/x", f"{_GATEWAY}/rest/x"),
    (_CLOUD, f"https://api.atlassian.com/ex/confluence/{CLOUD_ID}/wiki/api/v2/pages", ""),
    (_CLOUD, "https://api.atlassian.com/me", ""),
    (_CLOUD, "https://api.atlassian.com/oauth/token/accessible-resources", ""),
    (_CLOUD, "https://api.atlassian.com/rest/api/3/x?a=b", f"{_GATEWAY}/rest/api/3/x?a=b"),
    (
        _CLOUD,
        "https://api.atlassian.com/wiki/rest/api/x",
        f"https://api.atlassian.com/ex/confluence/{CLOUD_ID}/wiki/rest/api/x",
    ),
    (
        _CLOUD,
        "https://acme.atlassian.net/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y",
        f"{_GATEWAY}/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y",
    ),
    (_CLOUD, "https://acme.atlassian.net/rest/x/A%20B%2FC", f"{_GATEWAY}/rest/x/A%20B%2FC"),
    (_CLOUD, "https://ACME.Atlassian.net:443/rest/api/3/x", f"{_GATEWAY}/rest/api/3/x"),
    (
        _CLOUD,
        "https://acme.atlassian.net/wiki/api/v2/pages?cursor=x%3D%3D",
        f"https://api.atlassian.com/ex/confluence/{CLOUD_ID}/wiki/api/v2/pages?cursor=x%3D%3D",
    ),
    (
        _CLOUD,
        f"https://acme.atlassian.net/ex/jira/{CLOUD_ID}/rest/x",
        f"{_GATEWAY}/rest/x",
    ),
    (_DATA_CENTER, "https://jira.example.com/jira/rest/api/2/myself", ""),
    (_DATA_CENTER, "https://jira.example.com/jira", ""),
    (_DATA_CENTER, "https://jira.example.com/jira/", ""),
    (_DATA_CENTER, "https://jira.example.com/jira/secure/attachment/1/a%20b.txt", ""),
    (
        _DATA_CENTER,
        "https://JIRA.example.com:443/jira/rest/x?y",
        "https://jira.example.com/jira/rest/x?y",
    ),
)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


class AuthAdapterContract:
    """Inherit from it, describe the adapter, and these tests run with it."""

    #: Base of everything that the library raises because of a request.
    request_error: ClassVar[type[Exception]]
    #: What SDKs take for a lost connection and try again, with long pauses.
    connection_errors: ClassVar[tuple[type[Exception], ...]] = (ConnectionError,)
    #: What the library raises for a URL that it cannot read.
    url_errors: ClassVar[tuple[type[Exception], ...]] = (ValueError,)
    #: Bodies that the library can send twice, by names that `body` knows.
    replayable: ClassVar[tuple[str, ...]] = (
        "no body",
        "json",
        "bytes",
        "multipart",
        "file",
        "file from the middle",
    )
    #: Bodies that it can send once.
    one_shot: ClassVar[tuple[str, ...]] = ("generator", "unseekable file")
    #: Whether it turns a redirect to the site into one to the gateway.
    maps_redirects: ClassVar[bool] = False

    # What a subclass describes

    @abstractmethod
    def auth(self, source: Any, **options: Any) -> Any:
        """The auth object under test."""

    @abstractmethod
    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """Send the calls through one client with that auth object; proxies and `.netrc` are off.

        Args:
            calls: What to send.
            auth: Of the client.
            at_once: Whether they are sent all at once (threads, tasks) or in turn.
            options: Of the client, for tests of your own.
        """

    @abstractmethod
    def rehearse(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """Send the calls in turn to a double of the network, and return what it was sent.

        Args:
            calls: What to send.
            auth: Of the client.
            answers: Statuses and headers that the double answers; then 200.
        """

    def body(self, kind: str) -> dict[str, Any]:
        """The arguments of a `Call` for a body of that kind; DATA, unless it is JSON or nothing."""
        match kind:
            case "no body":
                return {}
            case "json":
                return {"json": {"summary": "Zoë ☃", "list": [1, 2, 3]}}
            case "bytes":
                return {"content": DATA}
            case "multipart":
                return {"files": {"file": ("a.bin", io.BytesIO(DATA))}}
            case "multipart of bytes":
                return {"files": {"file": ("a.bin", DATA)}}
            case "multipart of an unseekable file":
                return {"files": {"file": ("a.bin", OneWay(DATA))}}
            case "file":
                return {"content": io.BytesIO(DATA)}
            case "file from the middle":
                file = io.BytesIO(b"x" * OFFSET + DATA)
                file.seek(OFFSET)
                return {"content": file}
            case "generator":
                return {"content": (DATA[i : i + 5000] for i in range(0, len(DATA), 5000))}
            case "iterator":
                return {"content": iter([DATA[:100], DATA[100:]])}
            case "unseekable file":
                return {"content": OneWay(DATA)}
            case "file that cannot tell":
                return {"content": _Boaster(DATA)}
        raise AssertionError(f"there is no body {kind!r}")

    # What the tests share

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The kinds of bodies are the subclass's."""
        for name, kinds in (("whole", self.replayable), ("once", self.one_shot)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, kinds)

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """A local Atlassian with two Cloud sites and a Data Center."""
        clock = FakeClock()
        with AtlassianEmulator(clock, sites=2) as emulator:
            emulator.data_center.anonymous_access = False
            yield World(emulator, clock)
            landed()

    @pytest.fixture(params=["cloud", "data_center"])
    def flavour(self, request: pytest.FixtureRequest) -> str:
        """Both flavours, one after the other."""
        flavour: str = request.param
        return flavour

    def _get(self, *urls: str, auth: Any) -> list[Reply]:
        return self.exchange(*(Call("GET", url) for url in urls), auth=auth)

    # --- the token ------------------------------------------------------------------------------

    def test_every_request_carries_the_current_token(self, world: World, flavour: str) -> None:
        """A program that gives its client the auth object is known to the server by its name."""
        client = world.login(flavour)
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert b'"caller":""' not in reply.body
        (request,) = world.at("/rest/echo")
        assert request.headers["authorization"] == f"Bearer {client.get_access_token()}"
        assert reply.history == ()
        assert world.leaks() == []

    def test_the_scheme_is_spelled_as_data_center_compares_it(self, world: World) -> None:
        """Data Center answers with `token_type: bearer` and takes nothing but `Bearer`."""
        client = world.login("data_center")
        assert client.token_set().token_type == "bearer"
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert reply.headers["x-ausername"] != "anonymous"
        (request,) = world.at("/rest/echo")
        assert request.headers["authorization"].startswith("Bearer ")

    def test_auth_may_be_given_to_a_single_request(self, world: World) -> None:
        """A request's own auth object counts for this request, with everything it does."""
        client = world.login("cloud")
        url = f"{client.base_url}/rest/echo"
        world.emulator.cloud.expire_access_tokens()
        replies = self.exchange(
            Call("POST", url, content=DATA, auth=self.auth(client)), Call("GET", url), auth=None
        )
        assert [reply.status for reply in replies] == [200, 401]
        assert "authorization" not in world.at("/rest/echo")[-1].headers

    def test_a_personal_access_token_is_sent_and_its_rejection_handed_back(
        self, world: World
    ) -> None:
        """A static token has no successor: a 401 comes back as it is, after one request."""
        server = world.emulator.data_center
        good = StaticTokenSource(server.personal_access_token, server.url)
        bad = StaticTokenSource("revoked", server.url)
        url = f"{server.url}/rest/echo"
        (reply,) = self._get(url, auth=self.auth(good))
        assert reply.status == 200
        world.emulator.reset_log()
        (reply,) = self._get(url, auth=self.auth(bad))
        assert reply.status == 401
        assert reply.history == ()
        assert b"must be authenticated" in reply.body
        assert len(world.emulator.requests) == 1

    def test_a_token_that_has_ended_is_replaced_before_the_request(
        self, world: World, flavour: str, once: str
    ) -> None:
        """A one-shot upload after the end of the token simply works: no 401 is provoked."""
        client = world.login(flavour)
        world.clock.advance(3600)
        (reply,) = self.exchange(
            Call("POST", f"{client.base_url}/rest/echo", **self.body(once)),
            auth=self.auth(client),
        )
        assert reply.status == 200
        assert len(world.at("/rest/echo")) == 1
        assert world.refreshes == 1

    # --- a rejected token -----------------------------------------------------------------------

    def test_a_rejected_request_is_sent_again_whole(
        self, world: World, flavour: str, whole: str
    ) -> None:
        """The server rejects a token that looked valid: the same request goes out once more."""
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        method = "GET" if whole == "no body" else "POST"
        (reply,) = self.exchange(
            Call(method, f"{client.base_url}/rest/echo?a=b", **self.body(whole)),
            auth=self.auth(client),
        )
        first, second = world.at("/rest/echo")
        assert (reply.status, reply.history) == (200, (401,))
        assert reply.elapsed > 0
        assert (first.status, second.status) == (401, 200)
        assert first.target == second.target
        assert first.body_length == second.body_length
        assert first.body_sha256 == second.body_sha256
        if "content" in self.body(whole):
            assert second.body_sha256 == hashlib.sha256(DATA).hexdigest()
        elif whole not in ("no body", "json"):
            assert second.body_length > len(DATA)
        assert first.headers["authorization"] != second.headers["authorization"]
        assert set(first.headers.items()) ^ set(second.headers.items()) == {
            ("authorization", request.headers["authorization"]) for request in (first, second)
        }
        assert world.refreshes == 1
        assert world.leaks() == []

    def test_a_body_that_can_be_read_once_is_sent_once(
        self, world: World, flavour: str, once: str
    ) -> None:
        """No empty or cut body ever follows: the 401 comes back, and the next request works."""
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        url = f"{client.base_url}/rest/echo"
        first, second = self.exchange(
            Call("POST", url, **self.body(once)), Call("GET", url), auth=self.auth(client)
        )
        assert (first.status, first.history) == (401, ())
        assert b"uthenticated" in first.body or b"Unauthorized" in first.body
        (upload,) = (request for request in world.at("/rest/echo") if request.method == "POST")
        assert upload.body_length >= len(DATA)
        if "content" in self.body(once):
            assert upload.body_sha256 == hashlib.sha256(DATA).hexdigest()
        assert (second.status, second.history) == (200, ())
        assert world.refreshes == 1

    def test_a_second_rejection_is_handed_back(self, world: World, flavour: str) -> None:
        """If the new token is rejected as well, the program gets that answer: no third attempt."""
        client = world.login(flavour)
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED, times=2)
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert (reply.status, reply.history) == (401, (401,))
        assert len(world.at("/rest/echo")) == 2
        assert world.refreshes == 1

    def test_a_server_that_rejects_everything_burns_one_rotation(self, world: World) -> None:
        """Ten requests to a resource that always says 401 cost one refresh, not ten."""
        client = world.login("cloud")
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED, times=None)
        replies = self._get(*[f"{client.base_url}/rest/echo"] * 10, auth=self.auth(client))
        assert {reply.status for reply in replies} == {401}
        assert world.refreshes == 1

    def test_every_request_may_be_sent_again(self, world: World, flavour: str) -> None:
        """What was retried before does not count: each request has its own second chance."""
        client = world.login(flavour)
        side = getattr(world.emulator, flavour)

        def expire() -> None:
            side.expire_access_tokens()
            world.clock.advance(60)  # past the cool-down that follows a rejection

        call = Call("POST", f"{client.base_url}/rest/echo", content=DATA, before=expire)
        replies = self.exchange(*[call] * 3, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(200, (401,))] * 3
        assert world.refreshes == 3

    def test_a_token_that_was_replaced_meanwhile_is_not_replaced_again(self, world: World) -> None:
        """A 401 for the token before the current one costs another request, but no refresh."""
        client = world.login("cloud")
        hold = Hold(then=_UNAUTHORIZED)
        world.emulator.weather.next("/rest/echo", hold)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._get, f"{client.base_url}/rest/echo", auth=self.auth(client))
            hold.wait_arrived()
            world.emulator.cloud.expire_access_tokens()
            self._get(f"{client.base_url}/rest/api/3/serverInfo", auth=self.auth(client))
            hold.release()
            (reply,) = waiting.result(PATIENCE)
        assert (reply.status, reply.history) == (200, (401,))
        assert world.refreshes == 1

    def test_a_missing_scope_is_reported_and_nothing_is_refreshed(self, world: World) -> None:
        """Another token would lack the scope as well; the event says which ones were granted."""
        client = world.login("cloud", scopes=["read:jira-user", "offline_access"])
        url = f"{client.base_url}/rest/api/3/issue/ABC-1"
        (reply,) = self._get(url, auth=self.auth(client))
        assert (reply.status, reply.history) == (401, ())
        assert b"scope does not match" in reply.body
        assert world.refreshes == 0
        (event,) = world.named("scope_missing")
        assert set(event.fields["granted"].split()) == {"read:jira-user", "offline_access"}
        assert event.fields["path"] == urlsplit(url).path
        assert len(world.emulator.requests) == 1

    @pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 407, 410, 429, 500, 503])
    def test_other_refusals_say_nothing_about_the_token(
        self, world: World, flavour: str, status: int
    ) -> None:
        """Too many requests, missing rights or a broken server never cost a refresh."""
        client = world.login(flavour)
        world.emulator.weather.next("/rest/echo", Status(status, retry_after=5))
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert (reply.status, reply.history) == (status, ())
        assert world.refreshes == 0

    def test_throttling_by_the_gateway_is_handed_back(self, world: World) -> None:
        """A 429 with all its headers reaches the program, which knows best when to come back."""
        client = world.login("cloud")
        world.emulator.cloud.rate_limit = 7
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        assert world.refreshes == 0
        assert len(world.emulator.requests) == 1

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_token_that_ends_on_the_way_may_be_answered_by_403_or_404(
        self, world: World, status: int
    ) -> None:
        """The gateway has been seen to answer so to an expired token: then it was rejected."""
        client = world.login("cloud")
        world.emulator.cloud.expired_as = status
        hold = Hold()
        world.emulator.weather.next("/rest/echo", hold)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(
                self.exchange,
                Call("POST", f"{client.base_url}/rest/echo", content=DATA),
                auth=self.auth(client),
            )
            hold.wait_arrived()
            world.clock.advance(3600)
            hold.release()
            (reply,) = waiting.result(PATIENCE)
        assert (reply.status, reply.history) == (200, (status,))
        assert world.refreshes == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("flavour", ["cloud", "data_center"])
    def test_an_answer_as_to_nobody_is_asked_for_again(
        self, world: World, flavour: str, method: str
    ) -> None:
        """A dead token that is treated like none gives 200 with less data: that is no answer."""
        world.emulator.data_center.anonymous_access = True
        world.emulator.cloud.anonymous_readable = True
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        (reply,) = self.exchange(
            Call(method, f"{client.base_url}/rest/echo"), auth=self.auth(client)
        )
        assert (reply.status, reply.history) == (200, (200,))
        assert b'"caller":""' not in reply.body
        assert world.refreshes == 1
        assert len(world.named("anonymous")) == 1

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("flavour", ["cloud", "data_center"])
    def test_what_was_done_as_nobody_is_not_done_twice(
        self, world: World, flavour: str, method: str
    ) -> None:
        """The server has carried it out already; the next request has a good token."""
        world.emulator.data_center.anonymous_access = True
        world.emulator.cloud.anonymous_readable = True
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        url = f"{client.base_url}/rest/echo"
        first, second = self.exchange(
            Call(method, url, content=DATA), Call("GET", url), auth=self.auth(client)
        )
        assert (first.status, first.history) == (200, ())
        assert [request.method for request in world.at("/rest/echo")] == [method, "GET"]
        assert b'"caller":""' not in second.body
        assert world.refreshes == 1

    def test_a_redirect_to_the_login_page_is_asked_for_again(self, world: World) -> None:
        """Data Center sends somebody with a dead token to the login page, which is a 200."""
        client = world.login("data_center")
        url = f"{client.base_url}/secure/attachment/1/a.txt"
        world.emulator.data_center.expire_access_tokens()
        (reply,) = self._get(url, auth=self.auth(client))
        assert reply.status == 404  # there is no such attachment, and we may know
        assert "login.jsp" not in reply.url
        assert world.refreshes == 1

    def test_what_was_carried_out_before_a_redirect_is_not_carried_out_again(
        self, world: World, flavour: str
    ) -> None:
        """A POST is done and answered by 303; its page rejects the token: no second POST."""
        client = world.login(flavour)
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED)
        page = quote(f"{client.base_url}/rest/echo", safe="")
        url = f"{client.base_url}/rest/redirect?to={page}&status=303"
        self.exchange(Call("POST", url, content=DATA), auth=self.auth(client))
        assert [request.method for request in world.at("/rest/redirect")] == ["POST"]
        assert world.refreshes == 1

    @pytest.mark.parametrize("status", [307, 308])
    def test_a_redirected_upload_that_is_rejected_is_sent_again(
        self, world: World, status: int
    ) -> None:
        """Nothing was carried out on the way: the upload arrives, whole and once."""
        client = world.login("cloud")
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED)
        page = quote(f"{client.base_url}/rest/echo", safe="")
        url = f"{client.base_url}/rest/redirect?to={page}&status={status}"
        (reply,) = self.exchange(Call("POST", url, content=DATA), auth=self.auth(client))
        assert reply.status == 200
        *_, first, last = world.at("/rest/echo")
        assert (first.status, last.status) == (401, 200)
        assert last.body_sha256 == hashlib.sha256(DATA).hexdigest()
        assert world.refreshes == 1

    def test_a_download_stays_a_stream(self, world: World, flavour: str) -> None:
        """Before and after a rejection nothing is read ahead, and the connection lives on."""
        client = world.login(flavour)
        url = f"{client.base_url}/rest/echo"
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED)
        world.emulator.weather.next("/rest/echo", Status(200, DATA * 4), times=2)
        replies = self.exchange(
            *[Call("GET", url, stream=True)] * 2, Call("GET", url), auth=self.auth(client)
        )
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert [reply.history for reply in replies] == [(401,), (), ()]
        assert [reply.streamed for reply in replies] == [True, True, False]
        assert replies[0].body == replies[1].body == DATA * 4

    def test_a_rejection_can_be_read_although_it_was_looked_into(self, world: World) -> None:
        """A streamed 401 still has its body when it is handed back."""
        client = world.login("cloud")
        world.emulator.weather.next("/rest/echo", _UNAUTHORIZED, times=2)
        (reply,) = self.exchange(
            Call("GET", f"{client.base_url}/rest/echo", stream=True), auth=self.auth(client)
        )
        assert reply.status == 401
        assert reply.body == b'{"code":401,"message":"Unauthorized"}'

    # --- where the token goes -------------------------------------------------------------------

    @pytest.mark.parametrize(("server", "urls"), _OUTSIDE)
    def test_outside_of_the_grant_nobody_gets_the_token(
        self, server: ResourceServer, urls: Sequence[str]
    ) -> None:
        """The request goes out as the program wrote it, without a token."""
        auth = self.auth(FixedTokenSource(server))
        went: dict[str, Any] = {}
        for url in urls:
            with suppress(*self.url_errors):  # no URL for this library: nothing is sent
                went[url] = self.rehearse(Call("GET", url), auth=auth)
        assert [url for url, sent in went.items() if BEARER in str(sent)] == []
        assert [url for url, sent in went.items() if len(sent) != 1] == []
        moved = [url for url, (sent,) in went.items() if _host(sent.url) not in url.lower()]
        assert moved == []
        assert len(went) > len(urls) / 2

    @pytest.mark.parametrize(("server", "urls"), _OUTSIDE)
    def test_outside_of_the_grant_nothing_is_sent_if_so_chosen(
        self, server: ResourceServer, urls: Sequence[str]
    ) -> None:
        """`foreign="raise"` raises, and the error is one of the library's as well."""
        auth = self.auth(FixedTokenSource(server), foreign="raise")
        sent: list[Sent] = []
        raised: list[Exception] = []
        for url in urls:
            try:
                sent += self.rehearse(Call("GET", url), auth=auth)
            except ForeignOriginError as error:
                raised.append(error)
            except self.url_errors:
                pass
        assert sent == []
        assert all(isinstance(error, self.request_error) for error in raised)
        assert not any(isinstance(error, self.connection_errors) for error in raised)
        assert len(raised) > len(urls) / 2

    def test_within_the_grant_the_token_is_sent(self) -> None:
        """Also from a URL of the site, which is turned into the gateway's, query and all."""
        for server, url, arrives in _INSIDE:
            (sent,) = self.rehearse(
                Call("GET", url, headers={"Cookie": "a=b"}),
                auth=self.auth(FixedTokenSource(server), foreign="raise"),
            )
            assert sent.url.replace(":443/", "/") == (arrives or url)
            assert sent.headers["authorization"] == f"Bearer {BEARER}", url
            if arrives and _host(url) != _host(arrives):
                assert "cookie" not in sent.headers, url
            host = sent.headers.get("host", "").removesuffix(":443")
            assert host in ("", _host(sent.url)), url

    def test_a_program_s_host_header_does_not_follow_to_the_gateway(self) -> None:
        """The gateway is asked as itself, whatever virtual host was named for the site."""
        (sent,) = self.rehearse(
            Call("GET", "https://acme.atlassian.net/rest/x", headers={"Host": "acme.example"}),
            auth=self.auth(FixedTokenSource(_CLOUD)),
        )
        assert sent.headers.get("host", "api.atlassian.com") == "api.atlassian.com"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/x", "https://api.atlassian.com/admin/v1/orgs"]
    )
    def test_another_credential_for_another_place_is_left_alone(self, url: str) -> None:
        """A program that logs in elsewhere by its own header goes on doing so."""
        (sent,) = self.rehearse(
            Call("GET", url, headers={"Authorization": "Basic eDp5", "Cookie": "a=b"}),
            auth=self.auth(FixedTokenSource(_CLOUD)),
        )
        assert sent.headers["authorization"] == "Basic eDp5"
        assert sent.headers["cookie"] == "a=b"
        assert sent.url == url

    def test_a_foreign_origin_is_reported_once(self) -> None:
        """However often a program asks there, and from however many threads."""
        source = FixedTokenSource(_CLOUD)
        auth = self.auth(source)
        urls = ["https://evil.example/a", "https://evil.example/b", "https://evil.example:8443/a"]
        with ThreadPoolExecutor(8) as pool:
            for future in [
                pool.submit(self.rehearse, *[Call("GET", url) for url in urls], auth=auth)
                for _ in range(8)
            ]:
                future.result(PATIENCE)
        assert sorted(event.fields["origin"] for event in source.events) == [
            "https://evil.example",
            "https://evil.example:8443",
        ]
        assert {event.name for event in source.events} == {"foreign_origin"}

    @pytest.mark.parametrize("status", STATUSES)
    def test_a_redirect_to_another_origin_loses_the_token(self, status: int) -> None:
        """To clear text, to another host, however its name is dressed up."""
        hosts = {"api.atlassian.com", "jira.example.com"}
        for server, url, target in (
            (_CLOUD, f"{_GATEWAY}/rest/x", f"http://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/x"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "https://evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "//evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "///evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "\\\\evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "https://api.atlassian.com@evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", "https://api.atlassian.com\\@evil.example/"),
            (_CLOUD, f"{_GATEWAY}/rest/x", f"{_GATEWAY}:443@evil.example/".replace("/ex", "\\ex")),
            (_CLOUD, f"{_GATEWAY}/rest/x", "https://api.atlassian.com./"),
            (_DATA_CENTER, f"{_DATA_CENTER.base_url}/x", "http://jira.example.com/jira/x"),
            (_DATA_CENTER, f"{_DATA_CENTER.base_url}/x", "https://jira.example.com:8443/jira/x"),
        ):
            try:
                first, *others = self.rehearse(
                    Call("GET", url),
                    auth=self.auth(FixedTokenSource(server)),
                    answers=[(status, {"Location": target})],
                )
            except (self.request_error, *self.url_errors):
                continue  # the library does not go there
            assert first.headers["authorization"] == f"Bearer {BEARER}"
            for sent in others:
                parts = urlsplit(sent.url)
                if parts.hostname in hosts and parts.scheme == "https" and not parts.port:
                    continue  # it reads the target as a path; the emulator's tests judge those
                assert BEARER not in str(sent), target

    @pytest.mark.parametrize("status", STATUSES)
    def test_no_redirect_of_the_gateway_takes_the_token_along(
        self, world: World, status: int
    ) -> None:
        """Neither to another host, port, account path or cloud id, nor by way of dots."""
        client = world.login("cloud")
        api, foreign = world.emulator.cloud.api_url, world.emulator.foreign_url
        ours, other = (site.id for site in world.emulator.cloud.sites)
        targets = [
            f"{foreign}/x",
            f"{foreign.replace('127.0.0.1', 'localhost')}/x",
            foreign.removeprefix("http:") + "/x",
            f"{api.replace('127.0.0.1', 'localhost')}/ex/jira/{ours}/rest/echo",
            f"{world.emulator.data_center.url}/rest/echo",
            f"{world.emulator.cloud.auth_url}/oauth/token",
            f"{world.emulator.cloud.media_url}/avatars/x.png",
            f"{world.emulator.cloud.sites[0].url}/browse/ABC-1",
            f"{world.emulator.cloud.sites[1].url}/rest/api/3/myself",
            f"{api}/ex/jira/{other}/rest/echo",
            f"/ex/jira/{other}/rest/echo",
            f"../../{other}/rest/echo",
            f"{api}/admin/v1/orgs",
            f"{api}/oauth/token",
            f"//{ours}@{api.removeprefix('http://')}/ex/jira/{ours}/rest/echo",
            *(f"{api}/ex/jira/{ours}/{up}/{other}/rest/echo" for up in _UPS),
            f"{api}/ex/jira/{ours}/..%2f{other}/rest/echo",
            f"{api}/ex/jira/{ours}/..%5c{other}/rest/echo",
            f"{api}/ex/jira/{ours}\\..\\{other}/rest/echo",
            f"{api}/ex/jira/{other}/%2e%2e/{ours}/rest/echo",
            f"{api}/ex/jira/{other}/../{ours}/rest/echo",
        ]
        self._follow(world, client, targets, status)

    @pytest.mark.parametrize("status", STATUSES)
    def test_no_redirect_of_data_center_takes_the_token_along(
        self, world: World, status: int
    ) -> None:
        """Neither to another host or port, nor to another application on the same one."""
        client = world.login("data_center")
        base, foreign = world.emulator.data_center.url, world.emulator.foreign_url
        origin = base.removesuffix("/jira")
        targets = [
            f"{foreign}/x",
            foreign.removeprefix("http:") + "/x",
            f"{base.replace('127.0.0.1', 'localhost')}/rest/echo",
            f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[0].id}/rest/echo",
            f"{origin}/",
            f"{origin}/jira2/rest/echo",
            f"{origin}/confluence/rest/echo",
            "/confluence/rest/echo",
            "../../confluence/rest/echo",
            f"{origin}//jira/rest/echo",
            *(f"{base}/{up}/confluence/rest/echo" for up in _UPS),
            f"{base}/..%2fconfluence/rest/echo",
            f"{base}\\..\\confluence/rest/echo",
            f"{origin}/confluence/%2e%2e/jira/rest/echo",
            f"{origin}/confluence/../jira/rest/echo",
        ]
        self._follow(world, client, targets, status)

    def test_a_client_that_knows_its_site_only(self, world: World) -> None:
        """The cloud id is asked for with the first request, which is already judged by it."""
        ours, other = world.emulator.cloud.sites
        gateway = f"{world.emulator.cloud.api_url}/ex/jira"
        for url, arrives, status in (
            (f"{ours.url}/rest/echo", f"{gateway}/{ours.id}/rest/echo", 200),
            (f"{ours.url}/browse/ABC-1", f"{ours.url}/browse/ABC-1", 200),
            (f"{gateway}/{ours.id}/rest/echo", f"{gateway}/{ours.id}/rest/echo", 200),
            (f"{gateway}/{other.id}/rest/echo", f"{gateway}/{other.id}/rest/echo", 401),
            (f"{other.url}/rest/echo", f"{other.url}/rest/echo", 401),
        ):
            client = world.login("cloud", cloud_id="", account=url)
            (reply,) = self._get(url, auth=self.auth(client))
            assert (reply.url, reply.status) == (arrives, status)
        assert world.leaks() == []
        assert world.refreshes == 0

    def test_the_site_s_urls_are_sent_to_the_gateway(self, world: World) -> None:
        """With body and query, and again with the new token after a rejection."""
        client = world.login("cloud")
        world.emulator.cloud.expire_access_tokens()
        url = f"{world.emulator.cloud.sites[0].url}/rest/echo?a=%20b"
        (reply,) = self.exchange(
            Call("POST", url, **self.body("multipart")), auth=self.auth(client)
        )
        assert (reply.status, reply.history) == (200, (401,))
        assert reply.url == f"{client.base_url}/rest/echo?a=%20b"
        first, second = world.emulator.requests[0], world.emulator.requests[-1]
        assert first.role == second.role == "api"
        assert first.headers["host"] == urlsplit(client.base_url).netloc
        assert first.body_sha256 == second.body_sha256

    def test_a_file_that_was_closed_meanwhile_is_not_sent_again(self, world: World) -> None:
        """It cannot be rewound, so the 401 comes back instead of an error about files."""
        client = world.login("cloud")
        file = io.BytesIO(DATA)
        hold = Hold(then=_UNAUTHORIZED)
        world.emulator.weather.next("/rest/echo", hold)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(
                self.exchange,
                Call("POST", f"{client.base_url}/rest/echo", content=file),
                auth=self.auth(client),
            )
            hold.wait_arrived()
            file.close()
            hold.release()
            (reply,) = waiting.result(PATIENCE)
        assert reply.status == 401
        assert len(world.at("/rest/echo")) == 1
        assert world.refreshes == 1

    def _follow(
        self, world: World, client: AtlassianOAuthClient, targets: list[str], status: int
    ) -> None:
        auth = self.auth(client)
        method = "POST" if status in (307, 308) else "GET"
        for target in targets:
            world.emulator.reset_log()
            to = quote(target, safe="")
            call = Call(method, f"{client.base_url}/rest/redirect?to={to}&status={status}")
            # The library may not go there, or nobody is there.
            with suppress(self.request_error, *self.url_errors):
                self.exchange(call, auth=auth)
            first = world.emulator.requests[0]
            assert first.headers["authorization"].startswith("Bearer "), target
            assert world.leaks() == [], target
        assert world.refreshes == 0

    def test_a_redirect_within_the_grant_keeps_the_token(self, world: World, flavour: str) -> None:
        """Absolute or relative, the next hop is known by its name as the first one was."""
        client = world.login(flavour)
        path = urlsplit(client.base_url).path
        for target in (f"{client.base_url}/rest/echo", f"{path}/rest/echo", "echo"):
            url = f"{client.base_url}/rest/redirect?to={quote(target, safe='')}"
            (reply,) = self._get(url, auth=self.auth(client))
            assert (reply.status, reply.history) == (200, (302,)), target
            assert b'"caller":""' not in reply.body

    def test_a_redirect_to_the_site(self, world: World) -> None:
        """Goes to the gateway where the library lets us; never does the site get the token."""
        client = world.login("cloud")
        target = f"{world.emulator.cloud.sites[0].url}/rest/echo?a=%20b"
        url = f"{client.base_url}/rest/redirect?to={quote(target, safe='')}"
        (reply,) = self._get(url, auth=self.auth(client))
        assert world.leaks() == []
        assert world.refreshes == 0
        if self.maps_redirects:
            assert reply.status == 200
            assert reply.url == f"{client.base_url}/rest/echo?a=%20b"
            assert {request.role for request in world.emulator.requests} == {"api"}
        else:
            assert reply.status == 401

    def test_a_foreign_host_that_says_401_gets_nothing(self, world: World) -> None:
        """Asked directly or by way of a redirect, it provokes neither a token nor a refresh."""
        client = world.login("cloud")
        foreign = f"{world.emulator.foreign_url}/status/401"
        redirect = f"{client.base_url}/rest/redirect?to={quote(foreign, safe='')}"
        replies = self._get(foreign, redirect, auth=self.auth(client))
        assert [reply.status for reply in replies] == [401, 401]
        assert len([each for each in world.emulator.requests if each.role == "foreign"]) == 2
        assert world.leaks() == []
        assert world.refreshes == 0

    def test_a_foreign_host_cannot_make_us_act_at_atlassian(
        self, world: World, flavour: str
    ) -> None:
        """What a stranger's redirect asks of the gateway is asked as nobody, and asked once."""
        client = world.login(flavour)
        foreign = world.emulator.foreign_url
        ours = quote(f"{client.base_url}/rest/echo", safe="")
        there_and_back = quote(f"{foreign}/redirect?to={ours}", safe="")
        replies = self._get(
            f"{foreign}/redirect?to={ours}",
            f"{client.base_url}/rest/redirect?to={there_and_back}",
            auth=self.auth(client),
        )
        assert [reply.status for reply in replies] == [401, 401]
        first, second = world.at("/rest/echo")
        assert "authorization" not in first.headers
        assert "authorization" not in second.headers
        assert world.refreshes == 0
        assert world.leaks() == []

    def test_redirects_that_are_not_followed_are_handed_back(self, world: World) -> None:
        """The program decides; asking the same again works as before."""
        client = world.login("cloud")
        foreign = quote(f"{world.emulator.foreign_url}/x", safe="")
        url = f"{client.base_url}/rest/redirect?to={foreign}"
        replies = self.exchange(
            *[Call("GET", url, follow_redirects=False)] * 2, auth=self.auth(client)
        )
        assert [reply.status for reply in replies] == [302, 302]
        assert {request.role for request in world.emulator.requests} == {"api"}

    def test_a_rejection_before_a_redirect(self, world: World, flavour: str) -> None:
        """The token dies, the renewed request is redirected: the next hop has the new token."""
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        to = quote(f"{client.base_url}/rest/echo", safe="")
        (reply,) = self._get(f"{client.base_url}/rest/redirect?to={to}", auth=self.auth(client))
        assert reply.status == 200
        (echoed,) = world.at("/rest/echo")
        assert echoed.status == 200
        assert world.refreshes == 1

    def test_a_rejection_before_a_redirect_to_a_stranger(self, world: World, flavour: str) -> None:
        """The new token stays here just as the old one would have."""
        client = world.login(flavour)
        getattr(world.emulator, flavour).expire_access_tokens()
        to = quote(f"{world.emulator.foreign_url}/x", safe="")
        (reply,) = self._get(f"{client.base_url}/rest/redirect?to={to}", auth=self.auth(client))
        assert reply.status == 200
        assert world.leaks() == []
        assert world.refreshes == 1

    def test_attachments_come_from_the_media_host_without_our_token(self, world: World) -> None:
        """Cloud redirects a download to another host, which has a token of its own in the URL."""
        client = world.login("cloud", scopes=["read:jira-work", "write:jira-work"])
        issue = f"{client.base_url}/rest/api/3/issue"
        auth = self.auth(client)
        key = "KAN-1"
        found = self._get(f"{client.base_url}/rest/api/3/search/jql?jql=order+by+key", auth=auth)
        if keys := re.findall(rb'"key":"([A-Z]+-\d+)"', found[0].body):
            key = keys[0].decode()
        (uploaded,) = self.exchange(
            Call(
                "POST",
                f"{issue}/{key}/attachments",
                headers={"X-Atlassian-Token": "no-check"},
                **self.body("multipart"),
            ),
            auth=auth,
        )
        assert uploaded.status == 200, uploaded.body
        link = re.search(rb'"content":"([^"]+)"', uploaded.body)
        assert link is not None
        (download,) = self.exchange(Call("GET", link[1].decode(), stream=True), auth=auth)
        assert download.body == DATA
        assert world.emulator.requests[-1].role == "media"
        assert world.leaks() == []

    # --- errors ---------------------------------------------------------------------------------

    def _broken(self, world: World, cause: str) -> tuple[AtlassianOAuthClient, type[Exception]]:
        """A client that cannot renew its token, and what it says then."""
        match cause:
            case "grant revoked":
                client = world.login("cloud")
                world.emulator.cloud.revoke_grants()
                return client, LoginRequiredError
            case "no refresh token":
                return world.login("cloud", scopes=["read:jira-user"]), LoginRequiredError
            case "token endpoint down":
                client = world.login("cloud")
                world.emulator.weather.next("token", Status(503), times=None)
                return client, TokenEndpointUnavailableError
            case "wrong client secret":
                client = world.login("cloud")
                world.emulator.cloud.app.client_secret += "x"
                return client, TokenRequestRefusedError
        store = _BreakingStore()
        client = world.login("cloud", store=store)
        store.broken = True
        return client, TokenStoreError

    _CAUSES: ClassVar = (
        "grant revoked",
        "no refresh token",
        "token endpoint down",
        "wrong client secret",
        "store broken",
    )

    @pytest.mark.parametrize("when", ["before the request", "after a rejection"])
    @pytest.mark.parametrize("cause", _CAUSES)
    def test_an_error_is_one_of_ours_and_one_of_the_library_s(
        self, world: World, cause: str, when: str
    ) -> None:
        """SDKs that catch their library's errors catch ours, and never wait for a connection."""
        client, kind = self._broken(world, cause)
        if when == "before the request":
            world.clock.advance(3600)
        else:
            world.emulator.cloud.expire_access_tokens()
        with pytest.raises(self.request_error) as raised:
            self.exchange(
                Call("POST", f"{client.base_url}/rest/echo", content=DATA), auth=self.auth(client)
            )
        assert isinstance(raised.value, kind)
        assert isinstance(raised.value, AtlassianAuthError)
        error: Any = raised.value
        assert not isinstance(error, (ConnectionError, *self.connection_errors))
        assert len(world.at("/rest/echo")) == (when == "after a rejection")
        assert error.request.method == "POST"
        assert str(error.request.url) == f"{client.base_url}/rest/echo"
        self._assert_clean(error, world)
        again: Any = pickle.loads(pickle.dumps(error))
        assert again.request.method == "POST"
        assert str(again) == str(error)
        assert getattr(again, "reason", "") == getattr(error, "reason", "")
        assert isinstance(again, kind)
        assert isinstance(again, self.request_error)
        self._assert_clean(again, world)
        assert str(copy.copy(error)) == str(copy.deepcopy(error)) == str(error)

    def _assert_clean(self, error: BaseException, world: World) -> None:
        """No secret in whatever a log or a debugger shows of an error, its causes and contexts."""
        found: list[BaseException] = [error]
        for one in found:  # grows on the way
            request, response = getattr(one, "request", None), getattr(one, "response", None)
            text = f"{one} {one!r} {one.args} {vars(one)} {response}"
            text += f"{getattr(request, 'headers', '')} {getattr(request, 'url', '')}"
            text += f"{pickle.dumps(one)!r}"
            assert secrets_in(text, world.emulator) == set()
            assert response is None
            found += [e for e in (one.__cause__, one.__context__) if e and e not in found]

    def test_an_error_of_the_option_raise_can_be_pickled(self, world: World) -> None:
        """It names the origin and nothing else of the URL."""
        client = world.login("cloud")
        with pytest.raises(ForeignOriginError) as raised:
            self._get(
                f"{world.emulator.foreign_url}/a?key=confidential",
                auth=self.auth(client, foreign="raise"),
            )
        assert world.emulator.requests == ()
        assert "confidential" not in str(raised.value)
        assert world.emulator.foreign_url in str(raised.value)
        again = pickle.loads(pickle.dumps(raised.value))
        assert isinstance(again, ForeignOriginError)
        assert isinstance(again, self.request_error)

    def test_after_an_error_the_client_works_on(self, world: World) -> None:
        """Once the token endpoint is back, the next request needs nothing but itself."""
        client, _ = self._broken(world, "token endpoint down")
        world.emulator.cloud.expire_access_tokens()
        url = f"{client.base_url}/rest/echo"
        auth = self.auth(client)
        with pytest.raises(TokenEndpointUnavailableError):
            self._get(url, auth=auth)
        world.emulator.weather.clear()
        world.clock.advance(60)
        (reply,) = self._get(url, auth=auth)
        assert reply.status == 200

    # --- the object -----------------------------------------------------------------------------

    def test_copies_are_the_same_object(self, world: World) -> None:
        """Two owners of one rotating refresh token would end the login."""
        auth = self.auth(world.login("cloud"))
        assert copy.copy(auth) is auth
        assert copy.deepcopy(auth) is auth
        assert copy.deepcopy({"auth": auth})["auth"] is auth

    def test_a_pickle_holds_no_secret_and_works_here(self, world: World, flavour: str) -> None:
        """What comes out shares the login with what went in."""
        client = world.login(flavour)
        pickled = pickle.dumps(self.auth(client, foreign="raise"))
        assert secrets_in(pickled, world.emulator) == set()
        again = pickle.loads(pickled)
        assert (again.source, again.foreign) == (client, "raise")
        getattr(world.emulator, flavour).expire_access_tokens()
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=again)
        assert reply.status == 200
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=self.auth(client))
        assert (reply.status, reply.history) == (200, ())
        assert world.refreshes == 1

    def test_it_prints_no_secret(self, world: World, flavour: str) -> None:
        """Neither the object nor what it is made of."""
        auth = self.auth(world.login(flavour))
        text = f"{auth} {auth!r} {vars(auth)}"
        assert secrets_in(text, world.emulator) == set()

    def test_it_is_true(self, world: World) -> None:
        """Libraries ask `if auth:` and mean whether there is one; pairs they take for Basic."""
        auth = self.auth(world.login("cloud"))
        assert auth
        assert not isinstance(auth, tuple | dict)

    @pytest.mark.parametrize(
        ("arguments", "options"), [(("token",), {}), ((None,), {}), ((len,), {})]
    )
    def test_it_takes_token_sources_only(
        self, arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> None:
        """A token as a string is not one; the error names what to pass."""
        with pytest.raises(TypeError, match="TokenSource"):
            self.auth(*arguments, **options)

    def test_the_option_foreign_is_checked(self) -> None:
        """A misspelled option is no silent "bare"."""
        with pytest.raises(ValueError, match="bare"):
            self.auth(FixedTokenSource(_CLOUD), foreign="rise")

    # --- many at once ---------------------------------------------------------------------------

    def test_a_crowd_with_a_rejected_token_refreshes_once(self, world: World, flavour: str) -> None:
        """Sixteen requests are under way when the token dies: one refresh, sixteen answers."""
        client = world.login(flavour)
        hold = Hold()
        world.emulator.weather.next("/rest/echo", hold, times=16)
        with ThreadPoolExecutor(1) as pool:
            crowd = pool.submit(
                partial(self.exchange, at_once=True, auth=self.auth(client)),
                *[Call("POST", f"{client.base_url}/rest/echo", content=DATA)] * 16,
            )
            hold.wait_arrived(16)
            getattr(world.emulator, flavour).expire_access_tokens()
            hold.release()
            replies = crowd.result(PATIENCE)
        assert [(reply.status, reply.history) for reply in replies] == [(200, (401,))] * 16
        shas = {request.body_sha256 for request in world.at("/rest/echo")}
        assert shas == {hashlib.sha256(DATA).hexdigest()}
        assert len(world.at("/rest/echo")) == 32
        assert world.refreshes == 1

    def test_a_crowd_with_a_token_that_has_ended_refreshes_once(
        self, world: World, flavour: str
    ) -> None:
        """Sixteen requests start after its end: one refresh, and no request is rejected."""
        client = world.login(flavour)
        world.clock.advance(3600)
        call = Call("GET", f"{client.base_url}/rest/echo")
        replies = self.exchange(*[call] * 16, auth=self.auth(client), at_once=True)
        assert [(reply.status, reply.history) for reply in replies] == [(200, ())] * 16
        assert world.refreshes == 1

    def test_threads_with_clients_of_their_own_share_one_object(self, world: World) -> None:
        """Four threads, each with a client (and an event loop, if it has any): one refresh."""
        client = world.login("cloud")
        auth = self.auth(client)
        world.emulator.cloud.expire_access_tokens()
        call = Call("POST", f"{client.base_url}/rest/echo", content=DATA)
        barrier = threading.Barrier(4)

        def work() -> list[Reply]:
            barrier.wait(PATIENCE)
            return self.exchange(*[call] * 4, auth=auth, at_once=True)

        with ThreadPoolExecutor(4) as pool:
            replies = [
                reply
                for future in [pool.submit(work) for _ in range(4)]
                for reply in future.result(PATIENCE)
            ]
        assert {reply.status for reply in replies} == {200}
        assert len(replies) == 16
        assert world.refreshes == 1


#: Loads no certificates, which would take most of the time of a test.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _BreakingStore(MemoryTokenStore):
    """A store that fails once `broken` is set."""

    broken = False

    def load(self, key: Any) -> Any:
        if self.broken:
            raise TokenStoreError("the disk is gone")
        return super().load(key)


class HTTPXFamilyContract(AuthAdapterContract):
    """The contract for a library that speaks httpx's interface; sync, or on a `backend` of anyio.

    Attributes:
        library: The module.
        auth_class: The class under test.
        backend: "asyncio" or "trio" for the async client, "" for the sync one.
    """

    library: ClassVar[Any]
    auth_class: ClassVar[Any]
    backend: ClassVar[str] = ""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not hasattr(cls, "library"):
            return
        cls.request_error = cls.library.RequestError
        cls.connection_errors = (cls.library.TransportError, ConnectionError)
        cls.url_errors = (cls.library.InvalidURL, cls.library.UnsupportedProtocol)
        if cls.backend:
            cls.replayable = ("no body", "json", "bytes", "multipart", "multipart of bytes")
            cls.one_shot = ("generator", "async file", "multipart of an unseekable file")
        else:
            cls.replayable = (*AuthAdapterContract.replayable, "multipart of bytes")
            cls.one_shot = (
                "generator",
                "iterator",
                "unseekable file",
                "file that cannot tell",
                "multipart of an unseekable file",
            )

    def auth(self, source: Any, **options: Any) -> Any:
        """The auth object under test."""
        return self.auth_class(source, **options)

    def body(self, kind: str) -> dict[str, Any]:
        """Async clients take async iterables for what is streamed."""
        if self.backend and kind == "generator":
            return {"content": _slowly(DATA)}
        if kind == "async file":
            return {"content": _AsyncFile(DATA)}
        if kind == "file from the middle":  # the library would announce the whole file
            return {**super().body(kind), "headers": {"Content-Length": str(len(DATA))}}
        return super().body(kind)

    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """See `AuthAdapterContract`."""
        options = {
            "trust_env": False,
            "timeout": PATIENCE,
            "verify": _NO_TLS,
            "auth": auth,
            **options,
        }
        if self.backend:
            import anyio

            run = self._exchange_async if not at_once else self._exchange_async_at_once
            return anyio.run(run, calls, options, backend=self.backend)
        with self.library.Client(**options) as client:
            if not at_once:
                return [self._one(client, call) for call in calls]
            with ThreadPoolExecutor(len(calls)) as pool:
                return list(pool.map(partial(self._one, client), calls))

    def _one(self, client: Any, call: Call) -> Reply:
        request, options = self._request(client, call)
        response = client.send(request, **options)
        try:
            streamed = not hasattr(response, "_content")
            response.read()
        finally:
            response.close()
        return _reply(response, streamed)

    async def _exchange_async(
        self, calls: Iterable[Call], options: Mapping[str, Any]
    ) -> list[Reply]:
        async with self.library.AsyncClient(**options) as client:
            return [await self._one_async(client, call) for call in calls]

    async def _exchange_async_at_once(
        self, calls: Iterable[Call], options: Mapping[str, Any]
    ) -> list[Reply]:
        import anyio

        replies: dict[int, Reply] = {}

        async def work(client: Any, number: int, call: Call) -> None:
            replies[number] = await self._one_async(client, call)

        async with (
            self.library.AsyncClient(**options) as client,
            anyio.create_task_group() as group,
        ):
            for number, call in enumerate(calls):
                group.start_soon(work, client, number, call)
        return [replies[number] for number in sorted(replies)]

    async def _one_async(self, client: Any, call: Call) -> Reply:
        request, options = self._request(client, call)
        response = await client.send(request, **options)
        try:
            streamed = not hasattr(response, "_content")
            await response.aread()
        finally:
            await response.aclose()
        return _reply(response, streamed)

    def _request(self, client: Any, call: Call) -> tuple[Any, dict[str, Any]]:
        call.before()
        request = client.build_request(call.method, call.url, headers=call.headers, **call.body)
        options: dict[str, Any] = {
            "stream": call.stream,
            "follow_redirects": call.follow_redirects,
        }
        if call.auth is not None:
            options["auth"] = call.auth
        return request, options

    def test_through_a_proxy_the_rules_are_the_same(self, world: World) -> None:
        """A proxy gets the whole URL in the request line, also that of a redirected request."""
        client = world.login("cloud")
        api = world.emulator.cloud.api_url
        ours, other = (site.id for site in world.emulator.cloud.sites)
        auth = self.auth(client)
        for target in (f"{api}/ex/jira/{other}/rest/echo", f"{api}/ex/jira/{ours}/rest/echo"):
            url = f"{client.base_url}/rest/redirect?to={quote(target, safe='')}"
            self.exchange(Call("GET", url), auth=auth, proxy=api)
        hops = world.at("/rest/echo")
        assert ["authorization" in hop.headers for hop in hops] == [False, True]
        assert [hop.status for hop in hops] == [401, 200]
        assert world.refreshes == 0

    def test_the_wrong_object_names_the_right_one(self) -> None:
        """Httpx takes any callable for auth: ours says which class to use, before sending."""
        from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth

        right = self.auth_class.__name__
        source = FixedTokenSource(_CLOUD)
        for cls in (AtlassianAuth, AtlassianHTTPXAuth, AtlassianHTTPX2Auth):
            if cls is self.auth_class:
                continue
            wrong: Any = cls(source)
            sent: list[Sent] = []
            with pytest.raises(TypeError, match=rf"use {right}\(") as raised:
                sent = self.rehearse(Call("GET", f"{_GATEWAY}/rest/x"), auth=wrong)
            assert cls.__name__ in str(raised.value)
            assert sent == []

    def rehearse(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """See `AuthAdapterContract`."""
        sent: list[Sent] = []
        left = iter(answers)

        def answer(request: Any) -> Any:
            headers = {name.lower(): value for name, value in request.headers.items()}
            sent.append(Sent(request.method, str(request.url), headers))
            status, fields = next(left, (200, {}))
            return self.library.Response(status, headers=dict(fields))

        self.exchange(*calls, auth=auth, transport=self.library.MockTransport(answer))
        return sent


class SyncHTTPXFamilyContract(HTTPXFamilyContract):
    """What concerns the sync client only, and objects of the library that both clients share."""

    def test_the_same_request_may_be_sent_again_and_again(self, world: World) -> None:
        """Also one to the site, also when its token dies, also more often than calls nest."""
        client = world.login("cloud")
        seen: list[str] = []
        extensions = {"trace": lambda name, _: seen.append(name)}
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            request = http.build_request(
                "POST",
                f"{world.emulator.cloud.sites[0].url}/rest/echo",
                content=DATA,
                extensions=extensions,
            )
            for _ in range(3):
                world.emulator.cloud.expire_access_tokens()
                world.clock.advance(60)
                assert http.send(request).status_code == 200
            double = self.library.MockTransport(lambda _: self.library.Response(200))
            with self.library.Client(auth=self.auth(client), transport=double) as idle:
                for _ in range(2 * sys.getrecursionlimit()):
                    idle.send(request)
            seen.clear()
            assert http.send(request).status_code == 200
        assert len([name for name in seen if name.endswith("send_request_headers.started")]) == 1
        assert {request.role for request in world.emulator.requests} == {"api", "auth"}
        assert world.refreshes == 3

    def test_the_program_s_trace_does_not_see_a_token_that_is_not_sent(self, world: World) -> None:
        """What it is shown of a hop is what goes over the wire."""
        client = world.login("cloud")
        shown: list[dict[bytes, bytes]] = []

        def trace(name: str, info: Mapping[str, Any]) -> None:
            if name.endswith("send_request_headers.started"):
                shown.append({key.lower(): value for key, value in info["request"].headers})

        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        url = f"{client.base_url}/rest/redirect?to={quote(other, safe='')}"
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            http.get(url, follow_redirects=True, extensions={"trace": trace})
        assert [b"authorization" in headers for headers in shown] == [True, False]
        assert world.leaks() == []

    def test_the_next_request_of_a_redirect_carries_no_token_away(self, world: World) -> None:
        """A program that follows redirects by itself sends what the library has prepared."""
        client = world.login("cloud")
        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            for target in (f"{world.emulator.foreign_url}/x", other):
                to = quote(target, safe="")
                response = http.get(f"{client.base_url}/rest/redirect?to={to}")
                http.send(response.next_request)
                http.send(response.next_request, auth=None)
        assert world.leaks() == []
        assert len(world.emulator.requests) == 6

    def test_a_stream_of_the_program_s_own_is_sent_once(self, world: World) -> None:
        """Whatever a stream class wraps: how it reads is not known, so nothing is rewound."""

        class Counted(self.library.SyncByteStream):  # type: ignore[name-defined,misc]
            def __init__(self, data: bytes) -> None:
                self._stream = io.BytesIO(data)

            def __iter__(self) -> Iterator[bytes]:
                yield self._stream.read()

        class Fielded(Counted):
            fields: ClassVar[list[Any]] = []

        class Derived(type(self.library.Request("POST", "http://x", content=iter([b""])).stream)):  # type: ignore[misc]
            pass

        client = world.login("cloud")
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            for stream in (Counted(DATA), Fielded(DATA), Derived(io.BytesIO(DATA))):
                world.emulator.reset_log()
                world.clock.advance(60)
                world.emulator.cloud.expire_access_tokens()
                request = self.library.Request(
                    "POST",
                    f"{client.base_url}/rest/echo",
                    stream=stream,
                    headers={
                        "Host": urlsplit(client.base_url).netloc,
                        "Content-Length": str(len(DATA)),
                    },
                )
                assert http.send(request).status_code == 401
                (upload,) = world.at("/rest/echo")
                assert upload.body_sha256 == hashlib.sha256(DATA).hexdigest()

    def test_one_connection_serves_all_attempts(self, world: World) -> None:
        """What was rejected is read to its end, so that its connection is used again."""
        client = world.login("cloud")
        url = f"{client.base_url}/rest/echo"
        world.emulator.weather.next("/rest/echo", Status(401, DATA))
        world.emulator.weather.next("/rest/echo", Status(200, DATA))
        made: list[str] = []
        extensions = {"trace": lambda name, _: made.append(name)}
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            with http.stream("GET", url, extensions=extensions) as response:
                assert b"".join(response.iter_bytes(5000)) == DATA
            assert http.get(url, extensions=extensions).status_code == 200
        assert made.count("connection.connect_tcp.started") == 1
        assert len(world.at("/rest/echo")) == 3

    def test_a_response_can_be_pickled(self, world: World) -> None:
        """As caches and process pools do."""
        client = world.login("cloud")
        world.emulator.cloud.expire_access_tokens()
        with self.library.Client(auth=self.auth(client), verify=_NO_TLS) as http:
            response = http.get(f"{client.base_url}/rest/echo")
        assert pickle.loads(pickle.dumps(response)).json() == response.json()
        assert pickle.loads(pickle.dumps(response.request)).url == response.request.url


class AsyncHTTPXFamilyContract(HTTPXFamilyContract):
    """What concerns event loops."""

    # Async clients take no files.
    test_a_file_that_was_closed_meanwhile_is_not_sent_again = None  # type: ignore[assignment]

    def _run(self, work: Callable[[], Any]) -> Any:
        import anyio

        return anyio.run(work, backend=self.backend)

    def test_the_event_loop_runs_on_while_a_token_is_fetched(self, world: World) -> None:
        """Other requests of the same loop do not wait for a refresh that takes long."""
        import anyio

        client = world.login("cloud")
        world.clock.advance(3600)
        hold = Hold()
        world.emulator.weather.next("token", hold)

        async def main() -> list[int]:
            statuses: list[int] = []
            async with (
                self.library.AsyncClient(auth=self.auth(client), verify=_NO_TLS) as http,
                anyio.create_task_group() as group,
            ):

                async def get(url: str) -> None:
                    statuses.append((await http.get(url)).status_code)

                group.start_soon(get, f"{client.base_url}/rest/echo")
                await anyio.to_thread.run_sync(hold.wait_arrived)
                await get(f"{world.emulator.foreign_url}/status/204")
                hold.release()
            return statuses

        assert self._run(main) == [204, 200]

    @pytest.mark.parametrize("when", ["before the request", "after a rejection"])
    def test_a_cancelled_task_loses_no_login(self, world: World, when: str) -> None:
        """The refresh it waited for is finished and kept; the next loop has the new token."""
        import anyio

        client = world.login("cloud")
        auth = self.auth(client)
        if when == "before the request":
            world.clock.advance(3600)
        else:
            world.emulator.cloud.expire_access_tokens()
        hold = Hold(after=True)
        world.emulator.weather.next("token", hold)

        async def main() -> None:
            async with (
                self.library.AsyncClient(auth=auth, verify=_NO_TLS) as http,
                anyio.create_task_group() as group,
            ):
                group.start_soon(http.get, f"{client.base_url}/rest/echo")
                await anyio.to_thread.run_sync(hold.wait_arrived)
                group.cancel_scope.cancel()

        self._run(main)
        hold.release()
        landed()
        (reply,) = self._get(f"{client.base_url}/rest/echo", auth=auth)
        assert (reply.status, reply.history) == (200, ())
        assert world.refreshes == 1

    def test_a_real_async_file_is_sent_once(self, world: World, tmp_path: Path) -> None:
        """Anyio's files say that they can seek, and mean that one may await it."""
        import anyio

        client = world.login("cloud")
        world.emulator.cloud.expire_access_tokens()
        path = tmp_path / "a.bin"
        path.write_bytes(DATA)

        async def main() -> list[int]:
            statuses = []
            async with self.library.AsyncClient(auth=self.auth(client), verify=_NO_TLS) as http:
                for _ in range(2):
                    async with await anyio.open_file(path, "rb") as file:
                        response = await http.post(f"{client.base_url}/rest/echo", content=file)
                        statuses.append(response.status_code)
            return statuses

        assert self._run(main) == [401, 200]
        shas = [request.body_sha256 for request in world.at("/rest/echo")]
        assert shas == [hashlib.sha256(DATA).hexdigest()] * 2

    def test_one_object_serves_sync_and_async_clients(self, world: World) -> None:
        """At the same time, with one refresh between them."""
        client = world.login("cloud")
        auth = self.auth(client)
        url = f"{client.base_url}/rest/echo"
        hold = Hold()
        world.emulator.weather.next("/rest/echo", hold, times=2)

        def sync() -> int:
            with self.library.Client(auth=auth, verify=_NO_TLS) as http:
                return int(http.get(url).status_code)

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.submit(sync), pool.submit(self._get, url, auth=auth)
            hold.wait_arrived(2)
            world.emulator.cloud.expire_access_tokens()
            hold.release()
            (reply,) = other.result(PATIENCE)
            assert (one.result(PATIENCE), reply.status) == (200, 200)
        assert world.refreshes == 1


def _reply(response: Any, streamed: bool) -> Reply:
    return Reply(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
        response.content,
        str(response.url),
        tuple(each.status_code for each in response.history),
        _seconds(response),
        streamed,
    )


def _seconds(response: Any) -> float:
    try:
        return float(response.elapsed.total_seconds())
    except RuntimeError:  # of a double: it was there at once
        return 0.0


async def _slowly(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 5000):
        yield data[start : start + 5000]


class _AsyncFile:
    """A file as anyio and trio have them: it says that it can seek, and seeking must be awaited."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def seekable(self) -> bool:
        return True

    async def tell(self) -> int:
        return self._file.tell()

    async def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while chunk := self._file.read(5000):
            yield chunk
