"""httpx and httpx2 over each transport: redirects take no token and no session out of the grant.

Of all transports only httpcore's shows where a request goes. Over the others a redirect is followed
without the token at first.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import httpx2
import pytest

from atlassian_auth_adapter import (
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    ForeignOriginError,
    StaticTokenSource,
    TokenSet,
)
from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.testing.contracts.world import BEARER, FixedTokenSource

LIBRARIES = {httpx: AtlassianHTTPXAuth, httpx2: AtlassianHTTPX2Auth}
SYNC = ("httpcore", "mock", "wsgi")
#: Loading them would take most of the time.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: Those that reach a server need one; see `Wire`.
TRANSPORTS = ("httpcore", "httpcore, async", "mock", "mock, async", "wsgi", "asgi", "aiohttp")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    authorization: str
    cookie: str
    body: bytes


@dataclass(slots=True)
class Application:
    """Redirects from /jira/to/NUMBER, and takes the token everywhere else.

    Attributes:
        seen: What has arrived.
        redirects: Status and target of each NUMBER.
        rejections: So many requests are answered 401.
        accepts: The credential that it takes.
        cookie: A request without it is redirected to itself, with the cookie.
        sign_in: Where a request without the right credential is redirected; "": it gets a 401.
    """

    seen: list[Seen] = field(default_factory=list)
    redirects: list[tuple[int, str]] = field(default_factory=list)
    rejections: int = 0
    accepts: str = f"Bearer {BEARER}"
    cookie: str = ""
    sign_in: str = ""

    def answer(self, request: Seen) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        self.seen.append(request)
        if self.rejections:
            self.rejections -= 1
            return 401, {}
        if self.cookie not in request.cookie:
            return 302, {"Location": request.path, "Set-Cookie": f"{self.cookie}; Path=/"}
        if not request.path.startswith("/jira/to/"):
            if request.authorization == self.accepts:
                return 200, {}
            is_page = request.path == self.sign_in.partition("?")[0]
            refusal = (302, {"Location": self.sign_in}) if self.sign_in else (401, {})
            return (200, {"Content-Type": "text/html"}) if is_page else refusal
        status, target = self.redirects[int(request.path.removeprefix("/jira/to/"))]
        return status, {"Location": target}

    def wsgi(self, environ: Any, start: Any) -> list[bytes]:
        """As a WSGI application."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        status, headers = self.answer(
            Seen(
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ.get("HTTP_AUTHORIZATION", ""),
                environ.get("HTTP_COOKIE", ""),
                environ["wsgi.input"].read(length) if length else b"",
            )
        )
        start(f"{status} x", [*headers.items(), ("Content-Length", "0")])
        return [b""]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """As an ASGI application."""
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        status, answered = self.answer(
            Seen(
                scope["method"],
                scope["path"],
                headers.get("authorization", ""),
                headers.get("cookie", ""),
                body,
            )
        )
        raw = [(name.lower().encode(), value.encode()) for name, value in answered.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b""})

    def mock(self, request: Any) -> tuple[int, dict[str, str]]:
        """As what a MockTransport calls."""
        headers = request.headers
        return self.answer(
            Seen(
                request.method,
                request.url.path,
                headers.get("authorization", ""),
                headers.get("cookie", ""),
                request.content,
            )
        )


class Renewing(FixedTokenSource):
    """Has another token once one was rejected."""

    generation = 0

    def name(self, generation: int) -> str:
        """The token of a generation."""
        return f"renewed-{generation}" if generation else BEARER

    def current(self) -> TokenSet:
        return TokenSet(self.name(self.generation))

    def token_set(self, rejected: str | None = None) -> TokenSet:
        self.generation += rejected == self.name(self.generation)
        return self.current()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Wire:
    """A library over a transport to the application."""

    library: Any
    transport: str
    application: Application
    origin: str

    def source(self) -> FixedTokenSource:
        """Its token is accepted below /jira."""
        return FixedTokenSource(OneServer(f"{self.origin}/jira"))

    def to(self, target: str, status: int = 302) -> str:
        """The URL of a redirect."""
        self.application.redirects.append((status, target))
        return f"{self.origin}/jira/to/{len(self.application.redirects) - 1}"

    def send(
        self, source: Any, url: str, *, method: str = "GET", foreign: Any = "bare", **options: Any
    ) -> Any:
        """The response, redirects followed."""
        auth = LIBRARIES[self.library](source, foreign=foreign)
        ours = {name: options.pop(name) for name in ("cookies", "event_hooks") if name in options}
        arguments = {
            "auth": auth,
            "follow_redirects": True,
            "trust_env": False,
            "verify": NO_CERTIFICATES,
            "transport": self._transport(),
            **ours,
        }
        if self.transport in SYNC:
            with self.library.Client(**arguments) as client:
                return client.request(method, url, **options)

        async def send() -> Any:
            async with self.library.AsyncClient(**arguments) as client:
                return await client.request(method, url, **options)

        return asyncio.run(send())

    def _transport(self) -> Any:
        application, library = self.application, self.library
        match self.transport.partition(",")[0]:
            case "mock":

                def answer(request: Any) -> Any:
                    status, headers = application.mock(request)
                    return library.Response(status, headers=headers)

                return library.MockTransport(answer)
            case "wsgi":
                return library.WSGITransport(application.wsgi)
            case "asgi":
                return library.ASGITransport(application.asgi)
            case "aiohttp":
                name = "httpx_aiohttp.httpx2" if library is httpx2 else "httpx_aiohttp"
                return pytest.importorskip(name).AiohttpTransport()
        return None


@pytest.fixture
def application() -> Application:
    """What records the requests."""
    return Application()


@pytest.fixture
def served(application: Application) -> Iterator[str]:
    """The origin of a server with the application."""
    server = make_server("127.0.0.1", 0, application.wsgi, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Each transport."""
    name: str = request.param
    return name


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def wire(request: pytest.FixtureRequest, transport: str, application: Application) -> Wire:
    """Each library over each transport."""
    is_real = transport.startswith(("httpcore", "aiohttp"))
    origin = request.getfixturevalue("served") if is_real else "http://localhost"
    return Wire(request.param, transport, application, origin)


def test_a_redirect_out_of_the_grant_loses_the_token(wire: Wire) -> None:
    """On the same origin, however the path is written, and also in the second hop."""
    targets = ["/confluence/x", f"{wire.origin}/x", "/jira2/x", "/jira/%252e%252e/x", "../../../x"]
    targets += [wire.to("/confluence/x"), wire.to(wire.to("/x"))]
    for target, status in zip(targets, cycle((301, 302, 303, 307, 308)), strict=False):
        wire.application.seen.clear()
        wire.send(wire.source(), wire.to(target, status))
        for request in wire.application.seen:
            assert not request.authorization or request.path.startswith("/jira/to/"), target
        assert wire.application.seen[0].authorization == f"Bearer {BEARER}"
        assert wire.application.seen[-1].authorization == ""


def test_a_header_of_the_program_does_not_replace_the_token(wire: Wire) -> None:
    """And is not in its place where a redirect leads."""
    headers = {"authorization": "Basic eDp5"}
    wire.send(wire.source(), wire.to("/confluence/x"), headers=headers)
    credentials = [request.authorization for request in wire.application.seen]
    assert credentials == [f"Bearer {BEARER}", ""]


def test_a_redirect_within_the_grant_ends_with_the_token(wire: Wire) -> None:
    """However many there are, relative or absolute."""
    targets = ["/jira/x", f"{wire.origin}/jira/x", wire.to("../x")]
    for target in (*targets, wire.to(targets[-1])):
        wire.application.seen.clear()
        answer = wire.send(wire.source(), wire.to(target))
        assert answer.status_code == 200
        assert BEARER not in repr(answer.request.headers.raw)  # error reporters show it
        if not wire.transport.startswith("httpcore"):  # sent again
            assert answer.request.content == b""  # read: httpx-aiohttp frames it as no body
        assert wire.application.seen[-1].path == "/jira/x"
        assert len(wire.application.seen) <= 10


def test_a_redirect_after_a_rejection_is_judged_as_well(wire: Wire) -> None:
    """The request that is sent again is redirected: within the grant, and out of it."""
    for target, status in (("/jira/x", 200), ("/confluence/x", 401)):
        wire.application.seen.clear()
        wire.application.rejections = 1
        source = wire.source()
        assert wire.send(source, wire.to(target)).status_code == status
        last = wire.application.seen[-1]
        assert (last.path, bool(last.authorization)) == (target, status == 200)
        assert [event.name for event in source.events] == ["foreign_origin"] * (status == 401)


def test_a_redirected_upload_arrives_with_the_token_and_complete(wire: Wire) -> None:
    """Once it is accepted, and not once more."""
    for status in (307, 308):
        wire.application.seen.clear()
        answer = wire.send(
            wire.source(), wire.to("/jira/x", status), method="POST", content=b"every byte"
        )
        assert answer.status_code == 200
        assert wire.application.seen[-1].body == b"every byte"
        accepted = [
            request
            for request in wire.application.seen
            if request.path == "/jira/x" and request.authorization
        ]
        assert len(accepted) == 1


def test_a_redirected_upload_that_was_rejected_is_sent_again(wire: Wire) -> None:
    """Complete, and with the new token."""
    source = Renewing(OneServer(f"{wire.origin}/jira"))
    wire.application.accepts = "Bearer renewed-1"
    url = wire.to(wire.to("/jira/x", 307), 308)
    assert wire.send(source, url, method="POST", content=b"bytes").status_code == 200
    last = wire.application.seen[-1]
    assert (last.path, last.body) == ("/jira/x", b"bytes")


def test_the_login_page_that_an_upload_was_sent_to_gets_no_token(wire: Wire) -> None:
    """A transport without the token in a redirect is no reason to renew it."""
    source = Renewing(OneServer(f"{wire.origin}/jira"))
    wire.application.sign_in = "/jira/login.jsp?os_destination=%2Fx"
    wire.send(source, wire.to("/jira/x", 307), method="POST", content=b"bytes")
    assert source.generation == 0
    pages = [each for each in wire.application.seen if each.path == "/jira/login.jsp"]
    assert [page.authorization for page in pages] == [""] * len(pages)


def test_a_cookie_that_a_redirect_sets_is_sent(wire: Wire) -> None:
    """Also with the token: a load balancer that gets none redirects again, without an end."""
    wire.application.cookie = "node=2"
    assert wire.send(wire.source(), f"{wire.origin}/jira/x").status_code == 200
    last = wire.application.seen[-1]
    assert (last.cookie, last.authorization) == ("node=2", f"Bearer {BEARER}")
    assert len(wire.application.seen) <= 3


@pytest.mark.parametrize("follow_redirects", [True, False])
def test_a_request_that_worked_after_a_redirect_to_sign_in_counts_as_accepted(
    wire: Wire, follow_redirects: bool
) -> None:
    """So a token that is revoked early is replaced, however often."""
    source = Renewing(OneServer(f"{wire.origin}/jira"))
    for generation in range(5):
        wire.application.accepts = f"Bearer {source.name(generation + 1)}"
        wire.application.sign_in = "/jira/login.jsp?os_destination=%2Fx"
        answer = wire.send(source, f"{wire.origin}/jira/x", follow_redirects=follow_redirects)
        assert (answer.status_code, source.generation) == (200, generation + 1)


def test_the_session_of_another_person_is_not_sent_with_the_token(wire: Wire) -> None:
    """Data Center prefers the session; other cookies stay. At first and after redirects."""
    source = StaticTokenSource.personal_access_token(BEARER, f"{wire.origin}/jira")
    cookies = {"JSESSIONID": "of-another-person", "balancer": "node-2"}
    for target in ("/jira/x", wire.to("/jira/x"), "/confluence/x"):
        answer = wire.send(source, wire.to(target), cookies=cookies)
        assert answer.status_code == (401 if target == "/confluence/x" else 200)
    for request in wire.application.seen:
        assert not (request.authorization and "of-another-person" in request.cookie)
    first = wire.application.seen[0]
    assert first.cookie == "balancer=node-2"


def test_a_foreign_host_after_a_redirect_is_reported(wire: Wire) -> None:
    """Also an application beside the grant: where it is, once, and the token is not sent."""
    source = wire.source()
    for _ in range(2):
        wire.send(source, wire.to("/confluence/x"))
    assert [event.name for event in source.events] == ["foreign_origin"] * 2  # of two objects
    assert {event.fields["origin"] for event in source.events} == {
        wire.origin.replace("http://localhost:80", "http://localhost")
    }


def test_with_foreign_raise_a_redirect_out_of_the_grant_is_an_error(wire: Wire) -> None:
    """Over httpcore nothing is sent there; over other transports it is known afterwards only."""
    for status, method in ((302, "GET"), (307, "POST"), (308, "PUT")):
        wire.application.seen.clear()
        with pytest.raises(ForeignOriginError) as raised:
            wire.send(
                wire.source(),
                wire.to("/confluence/x", status),
                method=method,
                foreign="raise",
                content=b"body" if method != "GET" else None,
            )
        assert isinstance(raised.value, wire.library.RequestError)
        assert len(wire.application.seen) == (1 if wire.transport.startswith("httpcore") else 2)
        assert BEARER not in str(wire.application.seen[1:])


def test_foreign_raise_leaves_redirects_that_are_not_followed_alone(wire: Wire) -> None:
    """The program decides where it goes."""
    answer = wire.send(
        wire.source(), wire.to("https://evil.example/"), foreign="raise", follow_redirects=False
    )
    assert answer.headers["location"] == "https://evil.example/"


def test_programs_see_and_change_the_headers_of_a_request(wire: Wire) -> None:
    """Event hooks see the token; what they set is sent, also after a redirect."""
    auth = LIBRARIES[wire.library](wire.source())
    shown: list[tuple[Any, ...]] = []

    def hook(request: Any) -> None:
        headers = request.headers
        headers["X-Program"] = "one"
        headers.update({"X-Other": "two"})
        headers.setdefault("X-Third", "three")
        headers["X-Gone"] = "gone"
        del headers["x-gone"]
        shown.append((request.url.path, "authorization" in headers, len(headers)))
        assert isinstance(headers, wire.library.Headers)
        assert headers == headers.copy() == wire.library.Headers(list(headers.multi_items()))
        assert set(headers) == set(headers.keys()) == set(dict(headers.items()))
        assert headers.get_list("x-program") == ["one"]
        assert list(headers.values())
        assert (b"X-Other", b"two") in headers.raw
        assert BEARER not in repr(headers)

    transport = wire.library.MockTransport(lambda request: _redirect(wire.library, request))
    with wire.library.Client(
        auth=auth, event_hooks={"request": [hook]}, transport=transport, follow_redirects=True
    ) as client:
        response = client.get(f"{wire.origin}/jira/to")
    assert response.request.headers["x-program"] == "one"
    assert [(path, has_token) for path, has_token, _ in shown] == [
        (urlsplit(f"{wire.origin}/jira/to").path, True),
        ("/confluence", False),
    ]


def test_a_program_may_take_the_token_off(wire: Wire) -> None:
    """By an event hook: the request goes out without it, and so does the one of its redirect."""

    def hook(request: Any) -> None:
        request.headers.pop("Authorization", None)

    async def hook_async(request: Any) -> None:
        hook(request)

    is_sync = wire.transport in SYNC
    hooks = {"request": [hook if is_sync else hook_async]}
    wire.send(wire.source(), wire.to("/jira/x"), event_hooks=hooks)
    assert {request.authorization for request in wire.application.seen} == {""}
    assert wire.application.seen[-1].path == "/jira/x"


def _redirect(library: Any, request: Any) -> Any:
    if request.url.path == "/jira/to":
        return library.Response(302, headers={"Location": "/confluence"})
    assert request.headers["x-other"] == "two"
    return library.Response(200)
