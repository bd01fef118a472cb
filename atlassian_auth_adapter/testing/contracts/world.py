"""A local Atlassian with its clock, requests and replies as values, and a search for secrets."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    OneServer,
    ResourceServer,
)
from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients.factory import create_atlassian_oauth_client
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.events import Event, OnEvent
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.testing.clock import FakeClock
from atlassian_auth_adapter.testing.emulator import LoggedRequest, Status
from atlassian_auth_adapter.testing.local import AtlassianEmulator
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "BEARER",
    "CLOUD",
    "CLOUD_ID",
    "DATA",
    "DATA_CENTER",
    "DATA_SHA256",
    "GATEWAY",
    "PATIENCE",
    "UNAUTHORIZED",
    "PARENT_SEGMENTS",
    "FalselySeekableFile",
    "Call",
    "FixedTokenSource",
    "UnseekableFile",
    "Reply",
    "SelfClosingFile",
    "Sent",
    "World",
    "echo",
    "wait_for_refreshes",
    "redirect",
    "secrets_in",
]

#: Seconds to wait for what must happen; only a failing test waits that long.
PATIENCE = 20.0

#: A body that no library sends in one piece, and of which no two parts are alike.
DATA = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(9000))
DATA_SHA256 = hashlib.sha256(DATA).hexdigest()

#: For tests that need no server.
BEARER = "secret-bearer"
CLOUD_ID = "11111111-2222-3333-4444-555555555555"
GATEWAY = f"https://api.atlassian.com/ex/jira/{CLOUD_ID}"
CLOUD = CloudGateway("https://api.atlassian.com", CLOUD_ID, site_url="https://acme.atlassian.net")
DATA_CENTER = OneServer("https://jira.example.com/jira")

#: Ways to write "..": each is understood by some server or proxy.
PARENT_SEGMENTS = ("..", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "..;", "..;x=y")

UNAUTHORIZED = Status(401, '{"code":401,"message":"Unauthorized"}')


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
    """A response, as a program sees it.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: All of it.
        url: Where it came from.
        history: Statuses of the responses before it.
        elapsed: Seconds that the library says it took.
        streamed: Whether the body was not read yet when the program got the response.
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
    """A request that was sent without a network; names of headers in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]


class UnseekableFile(io.RawIOBase):
    """A file that can be read once and cannot tell where it stands, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        return self._data.readinto(buffer)


class FalselySeekableFile(UnseekableFile):
    """A file that claims to be seekable, and is not."""

    def seekable(self) -> bool:
        """True, which is wrong."""
        return True


class SelfClosingFile(io.BytesIO):
    """A file that is closed by the time it is sent: it closes itself at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data = super().read(size)
        if not data:
            self.close()
        return data


class FixedTokenSource(TokenSource):
    """Always the same token, for any resource server; remembers its events."""

    def __init__(self, resource_server: ResourceServer, access_token: str = BEARER) -> None:
        self.events: list[Event] = []
        self.on_event: OnEvent | None = self.events.append
        self._resource_server = resource_server
        self._token_set = TokenSet(access_token)

    @property
    def resource_server(self) -> ResourceServer:
        """Where the token is accepted."""
        return self._resource_server

    def current(self) -> TokenSet:
        """The token."""
        return self._token_set

    def fresh(self) -> TokenSet | None:
        """The token."""
        return self.current()

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """The token, also when it was rejected."""
        return self._token_set


@dataclass(slots=True)
class World:
    """A local Atlassian with its clock, and the events that were reported."""

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

    def expire(self, flavour: str = "cloud") -> None:
        """The server rejects every access token issued so far."""
        getattr(self.emulator, flavour).expire_access_tokens()

    def named(self, name: str) -> list[Event]:
        """The events of that name, after every refresh has ended."""
        wait_for_refreshes()
        return [event for event in self.events if event.name == name]

    @property
    def refreshes(self) -> int:
        """How many refresh requests the authorization servers got."""
        wait_for_refreshes()
        return self.emulator.count(grant_type="refresh_token")

    def at(self, path: str) -> list[LoggedRequest]:
        """The requests whose path ends so."""
        return [request for request in self.emulator.requests if request.path.endswith(path)]

    @property
    def echoes(self) -> list[LoggedRequest]:
        """The requests to "/rest/echo" on any host."""
        return self.at("/rest/echo")

    def leaks(self) -> list[LoggedRequest]:
        """The requests that carried a secret to a place where it must not be sent."""
        emulator = self.emulator
        server_paths = f"{emulator.data_center.context_path}/"
        gateway_paths = re.compile(
            rf"/(me|oauth/token/accessible-resources|ex/[a-z]+/{emulator.cloud.sites[0].id}/[^.%]*)$"
        )
        leaks = []
        for request in emulator.requests:
            headers = dict(request.headers)
            if request.role == "server" and request.path.startswith(server_paths):
                allowed = emulator.data_center.secrets
            elif request.role == "api" and gateway_paths.match(request.path):
                allowed = emulator.cloud.secrets
            else:
                allowed = frozenset()
            if any(f"Bearer {secret}" == headers.get("authorization") for secret in allowed):
                del headers["authorization"]
            if secrets_in(f"{request.target} {headers} {request.body!r}", emulator):
                leaks.append(request)
        return leaks


def echo(client: AtlassianOAuthClient) -> str:
    """The URL at which the server answers with what it got, and from which account."""
    return f"{client.base_url}/rest/echo"


def redirect(client: AtlassianOAuthClient, target: str, status: int = 302) -> str:
    """The URL at which the server answers with a redirect."""
    return f"{client.base_url}/rest/redirect?to={quote(target, safe='')}&status={status}"


def secrets_in(text: str | bytes, emulator: AtlassianEmulator) -> set[str]:
    """The secrets of the emulator that are in the text."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return {secret for secret in emulator.secrets if secret in text}


def wait_for_refreshes() -> None:
    """Return when every refresh has ended and was reported."""
    for thread in threading.enumerate():
        if thread.name == "atlassian-auth-flight":
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a refresh does not end"
