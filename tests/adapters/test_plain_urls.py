"""The fast test in front: it never says yes where the careful way says no, and changes nothing."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from hypothesis import example, given, strategies as st
from multidict import CIMultiDict
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from yarl import URL

from atlassian_auth_adapter import (
    AtlassianAiohttpAuth,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
)
from atlassian_auth_adapter.adapters import aiohttp as of_aiohttp, requests as of_requests
from atlassian_auth_adapter.adapters._auth import AuthObject
from atlassian_auth_adapter.adapters._httpx_urls import (
    location_of,
    relocated,
    sent_elsewhere,
    text_of,
    url_text,
)
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    OneServer,
    ResourceServer,
    SeveralServers,
)
from atlassian_auth_adapter.atlassian.plain_urls import PlainURLs
from atlassian_auth_adapter.atlassian.verdicts import DATA_POLICY, Verdict, is_ordinary, judge
from atlassian_auth_adapter.testing.contracts.world import BEARER, CLOUD, CLOUD_ID, FixedTokenSource

from .wire_cases import GRANTS, Generator

API, SITE = "https://api.atlassian.com", "https://acme.atlassian.net"
GATEWAY = CloudGateway(API, CLOUD_ID, site_url=SITE, gateway_paths=("/graphql", "/public/teams"))
SERVERS: tuple[ResourceServer, ...] = (
    GATEWAY,
    CLOUD,
    *(
        CloudGateway(API, CLOUD_ID),
        CloudGateway(API, CLOUD_ID, site_url=API),
        CloudGateway(API, ""),
        CloudGateway(API, CLOUD_ID, "/ex/x", "http://localhost:7991", gateway_paths=("/rest",)),
        CloudGateway("http://127.0.0.1:7990/x", "a.b", site_url=SITE),
        OneServer("https://jira.example.com/jira"),
        OneServer("https://jira.example.com"),
        OneServer("https://J.example.com:443/jira/"),
        OneServer("https://jira!.example.com/a;b/c%20d"),
        OneServer("http://[::1]:7990/jira"),
        OneServer(f"{API}/admin", other_paths=r"/users/[^/]+/manage(?:/.*)?"),
        OneServer("https://jira.example.com", token_paths=("/rest", "/api/1.0")),
        OneServer("http://localhost:7990/jira", token_paths=("/wiki",)),
        SeveralServers(OneServer(SITE), (OneServer(f"{API}/jsm/assets"),)),
    ),
    *(grant.server for grant in GRANTS),
)
#: What is recognized, by server: where it is sent.
RECOGNIZED: tuple[tuple[ResourceServer, str, str], ...] = (
    (GATEWAY, f"{GATEWAY.base_url}/rest/api/3/issue/ACME-1", ""),
    (GATEWAY, f"{GATEWAY.base_url}/rest/agile/1.0/board?jql=a%20%3D%20b&x=/../y", ""),
    (GATEWAY, f"{API}/ex/confluence/{CLOUD_ID}/wiki/api/v2/pages/1/", ""),
    (GATEWAY, f"{GATEWAY.base_url}/rest//api/3/", ""),
    (GATEWAY, f"{SITE}/rest/api/3/1.0/x", f"{GATEWAY.base_url}/rest/api/3/1.0/x"),
    (GATEWAY, f"{API}/jsm/ops/api/{CLOUD_ID}/v1/alerts", ""),
    (GATEWAY, f"{API}/graphql/gateway?q=x", ""),
    (GATEWAY, f"{SITE}/rest/api/3/x?a=b", f"{GATEWAY.base_url}/rest/api/3/x?a=b"),
    (GATEWAY, f"{SITE}/wiki/rest/x", f"{API}/ex/confluence/{CLOUD_ID}/wiki/rest/x"),
    (OneServer("https://j.example/jira"), "https://j.example/jira/rest/api/2/x", ""),
    (OneServer("https://j.example:8443"), "https://j.example:8443/secure/x", ""),
    (OneServer("http://localhost:8080"), "http://localhost:8080/rest/x", ""),
)

PLAIN = ("rest", "api", "1.0", "ACME-1", "a..b", "x.", "~x:y", "wiki", "jira", "me", CLOUD_ID)
ODD = (
    *(
        "",
        ".",
        "..",
        "...",
        ".a",
        "..;",
        "..;x=y",
        ".;",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "%2f..%2f",
    ),
    *("%2f", "%5c..", "%20", "%", "\\", "..\\", "\t", "\n", "\0", "\x7f", ".. ", "a b", "..%00"),
    *(
        "\u00e9",
        "\uff0f",
        "\u2024",
        "a@b",
        "a;b",
        "(x)",
        "*",
        "'",
        '"',
        "{",
        "|",
        "^",
        "`",
        "[",
        "\\@x",
    ),
)
ENDS = (
    "",
    "/",
    "//",
    "?",
    "?a=b",
    "?a=/../b",
    "?a=\\",
    "?#",
    "#",
    "#x",
    "?a#b",
    "?@x",
    "?\u00e9",
    "? ",
)
INSERTED = ("/", "\\", "@", "%", ":", "?", "#", ".", "\r", "\t", "\0", "x", "evil.example/", ":1")


@cache
def plain_urls(server: ResourceServer) -> PlainURLs:
    """Those of a server."""
    return PlainURLs(server.plain_routes)


@cache
def beginnings(server: ResourceServer) -> list[str]:
    """What URLs near the plain ones of a server begin with."""
    routes = server.plain_routes
    return list(dict.fromkeys((*routes, *routes.values(), server.base_url, SITE, API)))


@st.composite
def urls(draw: st.DrawFn, server: ResourceServer) -> str:
    """Such URLs; nearly all of them have one unusual part, or none."""
    plain = st.lists(st.sampled_from(PLAIN), max_size=2)
    odd = st.lists(st.sampled_from(ODD), max_size=1)
    parts = [*draw(plain), *draw(odd), *draw(plain)]
    url = draw(st.sampled_from(beginnings(server))) + "".join(f"/{part}" for part in parts)
    url += draw(st.just("") | st.sampled_from(ENDS))
    at = draw(st.integers(0, len(url)))
    return url[:at] + draw(st.just("") | st.sampled_from(INSERTED)) + url[at:]


def answers(
    server: ResourceServer, url: str, ask: Callable[[AtlassianAuth, str], str | None]
) -> set[str]:
    """Where the URL is sent by the fast test, and by what an auth object knows; nothing: no says.

    What they say is the same; of the second, an empty query may be left.
    """
    auths = [auth for begins, auth in knowing(server).items() if url.startswith(begins)]
    found = {plain_urls(server).sent_to(url), *(ask(auth, url) for auth in auths)}
    return {each for each in found if each is not None}


def judged_alike_by_requests(server: ResourceServer, url: str) -> bool:
    """Whether the fast test recognizes the text of a URL. If so, the careful way agrees in all."""
    is_plain = plain_urls(server).sent_to(url) is not None
    assert not is_plain or set(url) <= set(map(chr, range(33, 127)))
    for sent_to in answers(server, url, of_requests_at_once):
        location = of_requests._location(url)
        route = server.route(location)
        assert route.bearer, (server, url)
        assert not route.undecided
        is_same = route.location == location
        expected = "" if is_same else of_requests._url(url, route.location)
        assert sent_to.partition("#")[0].removesuffix("?") == expected, (server, url)
    return is_plain


class Knowing(FixedTokenSource):
    """Its auth objects see by themselves that the token is fresh."""

    def quick_look(self) -> Any:
        shared = SimpleNamespace(snapshot=self)
        limits = (self, self.current(), math.inf, math.inf)
        return self, SimpleNamespace(limits=limits, shared=shared), self.fresh


@cache
def knowing(server: ResourceServer) -> dict[str, AtlassianAuth]:
    """By what URLs begin with, an auth object that knows this route, and does not look further."""
    auths = {}
    for begins in server.plain_routes:
        auths[begins] = auth = AtlassianAuth(Knowing(server))
        auth.at_once(f"{begins}/x")
        vars(auth).update(_looked_up=lambda _: None, _token_set=lambda _: None)
    return auths


def of_requests_at_once(auth: AtlassianAuth, url: str) -> str | None:
    """Where it sends a request for the URL by what it knows."""
    request = requests.PreparedRequest()
    request.url, request.headers = url, CaseInsensitiveDict()
    if "Authorization" not in auth(request).headers:
        return None
    return "" if request.url == url else request.url


def at_once(auth: AtlassianAuth, url: str) -> str | None:
    """The same for the URL of another library."""
    found = auth.at_once(url)
    return found and found[0]


class PartsByName:
    """The parts of a URL of httpx, which are no tuple."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parts, name)

    def __str__(self) -> str:
        return str(self._parts)


class PublicNames:
    """A URL of httpx that shows its public names only."""

    def __init__(self, url: Any) -> None:
        names = ("scheme", "userinfo", "raw_host", "port", "raw_path")
        vars(self).update({name: getattr(url, name) for name in names})


def judged_alike_by_httpx(server: ResourceServer, library: Any, url: str) -> None:
    """The same for a URL of httpx, made of any text."""
    try:
        parsed = library.URL(url)
    except (library.InvalidURL, ValueError):
        return
    text = text_of(parsed)
    by_public_names = text_of(PublicNames(parsed))  # type: ignore[arg-type]
    assert plain_urls(server).sent_to(by_public_names) == plain_urls(server).sent_to(text), url
    for sent_to in answers(server, text, at_once):
        assert not parsed.userinfo
        location = location_of(parsed)
        route = server.route(location)
        assert route.bearer, (server, url)
        assert not route.undecided
        if route.location == location:
            assert sent_to == ""
            continue
        careful = relocated(parsed, route.location).copy_with(fragment=None)
        fast = sent_elsewhere(parsed, sent_to)
        assert type(fast) is library.URL
        if sent_to.endswith("?"):
            fast = fast.copy_with(query=None)
        assert fast._uri_reference == careful._uri_reference, (server, url)


def judged_alike_by_aiohttp(server: ResourceServer, url: URL) -> bool:
    """The same for a URL of aiohttp, however it was made."""
    text = of_aiohttp._text(url)
    for sent_to in answers(server, text, at_once):
        location = of_aiohttp._location(url)
        route = server.route(location)
        assert route.bearer, (server, url)
        assert not route.undecided
        is_same = route.location == location
        expected = "" if is_same else of_aiohttp._url(url, route.location)
        assert sent_to.removesuffix("?") == expected, (server, url)
    return plain_urls(server).sent_to(text) is not None


#: After the name of a host: it is the same one, or none.
ODD_ENDS = (".", "%2e", "\\", ":", ":443", "\t", ";")


def of_text(url: str) -> Iterator[URL]:
    """The URLs of aiohttp for a text: quoted by it, and as it is written."""
    for encoded in (False, True):
        try:
            yield URL(url, encoded=encoded)
        except ValueError:
            continue


def of_parts(url: str, authority: int, path: int) -> URL:
    """A URL whose text is this, made of parts that end elsewhere."""
    scheme, _, rest = url.partition("://")
    parts = {"authority": rest[:authority], "path": rest[authority:path]}
    return URL.build(scheme=scheme, **parts, query_string=rest[path + 1 :], encoded=True)


@given(st.data())
def test_what_is_recognized_is_routed_alike_by_the_careful_way(data: st.DataObject) -> None:
    """Whatever the URL: no token goes where it would not go without the fast test."""
    server = data.draw(st.sampled_from(SERVERS))
    url = data.draw(urls(server))
    judged_alike_by_requests(server, url)
    for library in (httpx, httpx2):
        judged_alike_by_httpx(server, library, url)
    ends = sorted(data.draw(st.tuples(*[st.integers(0, len(url))] * 2)))
    for each in (*of_text(url), of_parts(url, *ends)):
        judged_alike_by_aiohttp(server, each)


def test_each_unusual_part_is_left_to_the_careful_way() -> None:
    """Wherever it stands in a URL that is a plain one without it, or judged alike."""
    recognized = 0
    for server in SERVERS:
        for begins in beginnings(server):
            for odd in (*ODD, *PLAIN):
                for path in (f"/{odd}", f"/x/{odd}", f"/{odd}/x", f"/x/{odd}/rest/y"):
                    for end in ("", *ENDS) if odd in PLAIN else ("", "/", "?a=b"):
                        url = f"{begins}{path}{end}"
                        recognized += judged_alike_by_requests(server, url)
                        if end in ("", "/"):
                            judged_alike_by_aiohttp(server, URL(url, encoded=True))
    assert recognized > 1000


def test_parts_of_a_url_of_aiohttp_are_looked_at_each_by_itself() -> None:
    """Its text as a whole would hide where the host ends."""
    for server, url, _ in RECOGNIZED:
        assert all(judged_alike_by_aiohttp(server, each) for each in of_text(url))
        rest = url.partition("://")[2]
        for text in (url, url.replace("/", "?/", 3).replace("?/", "/", 2), f"{url}@evil.example/x"):
            for path in range(len(rest) + 2):
                for authority in range(path + 1):
                    judged_alike_by_aiohttp(server, of_parts(text, authority, path))
        hidden = URL.build(scheme=f"{url}?", host="evil.example", path="/x", encoded=True)
        assert not judged_alike_by_aiohttp(server, hidden)
        scheme, path, host = URL(url).scheme, URL(url).path, URL(url).raw_authority
        in_other_form = (f"@{host}", f":@{host}", host.upper(), *(host + end for end in ODD_ENDS))
        for other in (
            *(
                URL.build(scheme=scheme, authority=each, path=path, encoded=True)
                for each in in_other_form
            ),
            *(URL(url).with_user("u"), URL(url).with_password("p"), URL(f"//{rest}")),
            *(URL(url).with_scheme(each) for each in ("ws", "wss", "ftp")),
            *(URL(url).with_host(each) for each in ("evil.example", "::1", "127.0.0.1")),
        ):
            assert not judged_alike_by_aiohttp(server, other)


@pytest.mark.parametrize("seed", range(3))
def test_crooked_urls_are_routed_alike(seed: int) -> None:
    """Those that are tried on the wire, with the redirects that they meet."""
    generator = Generator(seed)
    for _ in range(400):
        case = generator.case()
        for url in (case.url, *(target.decode() for _, target in case.redirects)):
            judged_alike_by_requests(case.grant.server, url)
            for library in (httpx, httpx2):
                judged_alike_by_httpx(case.grant.server, library, url)
            for each in of_text(url):
                judged_alike_by_aiohttp(case.grant.server, each)


@pytest.mark.parametrize("host", ["api.atlassian.com/ex", "a:1", "[::1]"])
def test_an_odd_host_is_not_recognized(host: str) -> None:
    """Its text could be read as a host and a path."""
    assert url_text("https", host, None, "/x") == ""


def test_two_slashes_of_a_url_that_is_routed_are_left_to_the_careful_way() -> None:
    """Which makes one of them; and without a URL of its own a server recognizes nothing."""
    assert plain_urls(GATEWAY).sent_to(f"{SITE}/rest//api/3/x") is None
    nothing = PlainURLs({})
    for url in ("", "/", "\n", "\n/x", f"{SITE}/rest/x"):
        assert nothing.sent_to(url) is None
        assert AuthObject(Knowing(OneServer("https://jira!.example.com"))).at_once(url) is None


def test_what_is_known_of_a_route_ends_with_its_resource_server() -> None:
    """The site of a login may turn out to be another one."""
    source = Knowing(CLOUD)
    auth, url = AtlassianAuth(source), f"{CLOUD.base_url}/rest/x"
    for server, sent_to in ((CLOUD, ""), (OneServer(SITE), None), (CLOUD, "")):
        source._resource_server = server
        assert of_requests_at_once(auth, url) == at_once(auth, url) == sent_to


def test_ordinary_urls_are_recognized() -> None:
    """So nearly all requests are spared the careful way."""
    for server, url, sent_to in RECOGNIZED:
        assert plain_urls(server).sent_to(url) == sent_to, url


class _Answers(BaseAdapter):
    def send(self, request: Any, **_: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response._content, response.connection = b"", self  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        pass


def _send(library: Any, source: Any, url: str) -> tuple[str, str]:
    """URL and Authorization of the request that is sent for it."""
    if library is requests:
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Answers())
            sent = session.get(url, auth=AtlassianAuth(source)).request
            return sent.url or "", str(sent.headers["Authorization"])
    if library is aiohttp:
        return asyncio.run(_send_by_aiohttp(source, url))
    transport = library.MockTransport(lambda _: library.Response(200))
    auth = (AtlassianHTTPX2Auth if library is httpx2 else AtlassianHTTPXAuth)(source)
    with library.Client(transport=transport, auth=auth) as client:
        request = client.get(url).request

    async def send() -> Any:
        async with library.AsyncClient(transport=transport, auth=auth) as client:
            return (await client.get(url)).request

    again = asyncio.run(send())
    assert (again.url, again.headers) == (request.url, request.headers)
    return str(request.url), request.headers["Authorization"]


async def _send_by_aiohttp(source: Any, url: str) -> tuple[str, str]:
    sent: list[tuple[str, str]] = []

    async def handler(request: aiohttp.ClientRequest) -> Any:
        assert request.headers["Host"] == request.url.host_port_subcomponent
        sent.append((str(request.url), request.headers["Authorization"]))
        return SimpleNamespace(status=200, headers=CIMultiDict[str]())

    request = aiohttp.ClientRequest("GET", URL(url), loop=asyncio.get_running_loop())
    await AtlassianAiohttpAuth(source)(request, handler)
    (only,) = sent
    return only


@pytest.mark.parametrize(
    "library", [requests, httpx, httpx2, aiohttp], ids=lambda each: each.__name__
)
def test_ordinary_requests_are_spared_the_careful_way(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And go where it would send them."""
    for server, url, sent_to in RECOGNIZED:
        source, careful = FixedTokenSource(server), NeverFresh(server)
        with monkeypatch.context() as patched:
            for each in (OneServer, CloudGateway):
                patched.delattr(each, "route")
            patched.delattr(AuthObject, "rejection")
            sent = _send(library, source, url)
        assert sent == (sent_to or url, f"Bearer {BEARER}")
        assert sent == _send(library, careful, url)
        assert list(source.pacing._accepting) == list(careful.pacing._accepting) != []


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda each: each.__name__)
def test_a_library_that_keeps_its_parts_otherwise_is_asked_by_public_names(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent is the same, and the library copies no token."""
    auth_class = AtlassianHTTPX2Auth if library is httpx2 else AtlassianHTTPXAuth
    assert auth_class._headers._is_as_known  # type: ignore[attr-defined]
    own = {"Cookie": "a=b", "authorization": "Basic own", "X-Own": "x"}
    for server, url, sent_to in RECOGNIZED:
        sent = []
        for is_as_known in (True, False):
            with monkeypatch.context() as patched:
                if not is_as_known:
                    patched.setattr(auth_class._headers, "_is_as_known", False)
                auth = auth_class(FixedTokenSource(server))
                request = library.Request("GET", url, headers=own)
                if not is_as_known:
                    request.url._uri_reference = PartsByName(request.url._uri_reference)
                assert next(auth.sync_auth_flow(request)) is request
                sent.append((str(request.url), request.headers.raw))
                assert sent[-1][0] == (sent_to or url)
                copied = library.Headers(request.headers)
                assert "Authorization" not in copied
                assert copied["X-Own"] == "x"
        assert sent[0] == sent[1]
        assert sent[0][1].count((b"Authorization", f"Bearer {BEARER}".encode())) == 1


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda each: each.__name__)
@pytest.mark.parametrize("is_fresh", [True, False])
def test_cookies_of_the_site_are_not_sent_to_the_gateway(library: Any, is_fresh: bool) -> None:
    """Also when a request is sent again, and the program has added them meanwhile."""
    auth_class = AtlassianHTTPX2Auth if library is httpx2 else AtlassianHTTPXAuth
    auth = auth_class((FixedTokenSource if is_fresh else NeverFresh)(GATEWAY))
    request = library.Request("GET", f"{SITE}/rest/api/3/x", headers={"Cookie": "a=b"})
    for _ in range(2):
        flow = auth.sync_auth_flow(request)
        sent = next(flow)
        assert (sent.url.host, sent.headers["Host"]) == ("api.atlassian.com",) * 2
        assert "Cookie" not in sent.headers
        flow.close()
        request.url = library.URL(f"{SITE}/rest/api/3/x")
        request.headers["Cookie"] = "a=b"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda each: each.__name__)
def test_a_pickled_request_has_its_headers_and_nothing_of_the_auth_object(library: Any) -> None:
    """As one that no auth object has seen."""
    auth_class = AtlassianHTTPX2Auth if library is httpx2 else AtlassianHTTPXAuth
    request = library.Request("GET", f"{GATEWAY.base_url}/rest/x", headers={"X-Own": "x"})
    request.extensions["trace"] = lambda *_: None
    next(auth_class(FixedTokenSource(GATEWAY)).sync_auth_flow(request))
    for again in (pickle.loads(pickle.dumps(request)), copy.deepcopy(request)):
        assert again.headers == request.headers
        assert again.headers["Authorization"] == f"Bearer {BEARER}"
        assert vars(again.headers).keys().isdisjoint(("auth", "request", "inner"))


class NeverFresh(FixedTokenSource):
    """Each of its requests takes the careful way."""

    def fresh(self) -> None:
        return None


_names = st.sampled_from(
    ("X-Seraph-LoginReason", "x-ausername", "Content-Type", DATA_POLICY, "Location", "X-Other")
)
_values = st.sampled_from(
    (
        *(
            "AUTHENTICATED_FAILED",
            "authenticated_failed, OK",
            "OK",
            "anonymous",
            "Anonymous",
            "bob",
        ),
        *("text/html", "TEXT/HTML;charset=utf-8", "application/json", "app_access_blocked", ""),
        "/login.jsp?os_destination=x",
    )
)


@given(
    st.sampled_from((200, 201, 204, 207)) | st.integers(100, 599),
    st.dictionaries(_names, _values),
    st.sampled_from(("/rest/x", "/login.jsp", "/x")),
)
@example(200, {"Content-Type": "application/json"}, "/rest/x")
def test_an_ordinary_answer_says_nothing_about_the_token(
    status: int, headers: dict[str, str], path: str
) -> None:
    """Whatever its status and headers are, and whoever has sent it."""
    if not is_ordinary(status, [(key.encode(), headers[key].encode()) for key in headers]):
        return
    assert DATA_POLICY not in headers
    for anonymous_fallback in (True, False):
        verdict = judge(
            status,
            httpx.Headers(headers),
            bytes,
            expired=True,
            anonymous_fallback=anonymous_fallback,
            path=path,
        )
        assert verdict is Verdict.FINE
