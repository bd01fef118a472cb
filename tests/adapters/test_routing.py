"""A request to the site is sent to the gateway, with the adapter and proxy of the gateway."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import httpx
import httpx2
import pytest
import requests
from requests.adapters import BaseAdapter

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    ConfigurationError,
    ResourceUnavailableError,
    StaticTokenSource,
)
from atlassian_auth_adapter.atlassian.gateway import CloudGateway, OneServer
from atlassian_auth_adapter.testing.contracts.world import CLOUD, GATEWAY, FixedTokenSource

SITE = "https://acme.atlassian.net/rest/api/3/myself?expand=groups"
ROUTED = f"{GATEWAY}/rest/api/3/myself?expand=groups"


class Double(BaseAdapter):
    """Answers 200 and records URL and proxies."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        self.asked.append((request.url or "", kwargs["proxies"]))
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content, response.connection = b"{}", self
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def doubles() -> Any:
    """A session with an adapter for the site and one for the gateway."""
    site, gateway = Double(), Double()
    with requests.Session() as session:
        session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
        session.mount("https://acme.atlassian.net", site)
        session.mount("https://api.atlassian.com", gateway)
        yield session, site, gateway


def test_adapters_are_those_mounted_for_the_gateway(doubles: Any) -> None:
    """A retry policy belongs on https://api.atlassian.com, as docs/network.md says."""
    session, site, gateway = doubles
    response = session.get(SITE)
    assert response.url == ROUTED
    assert [url for url, _ in gateway.asked] == [ROUTED]
    assert site.asked == []


def test_proxies_of_the_environment_are_those_of_the_gateway(
    doubles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY is compared with the host that gets the request."""
    session, _, gateway = doubles
    proxy = "http://proxy:8080"
    monkeypatch.setenv("https_proxy", proxy)
    for no_proxy, expected in (
        ("", proxy),
        ("api.atlassian.com", None),
        ("acme.atlassian.net", proxy),
    ):
        monkeypatch.setenv("no_proxy", no_proxy)
        session.get(SITE)
        assert gateway.asked.pop()[1].get("https") == expected


def test_a_proxy_for_one_host_is_that_of_the_gateway(doubles: Any) -> None:
    """Requests has proxies for scheme and host: when connecting, the gateway's is chosen."""
    session, _, gateway = doubles
    session.proxies = {"https://api.atlassian.com": "http://one", "https://acme.atlassian.net": "x"}
    session.get(SITE)
    ((url, proxies),) = gateway.asked
    assert requests.utils.select_proxy(url, proxies) == "http://one"


@pytest.mark.parametrize(
    ("library", "auth"), [(httpx, AtlassianHTTPXAuth), (httpx2, AtlassianHTTPX2Auth)]
)
def test_mounts_of_httpx_are_those_of_the_gateway(library: Any, auth: Any) -> None:
    """Transports, and with them proxies, are chosen by the URL of the gateway."""
    asked: list[tuple[str, str, str]] = []

    def double(name: str) -> Any:
        def answer(request: Any) -> Any:
            asked.append((name, str(request.url), request.headers["host"]))
            return library.Response(200)

        return library.MockTransport(answer)

    mounts = {"all://acme.atlassian.net": double("site"), "all://api.atlassian.com": double("api")}
    with library.Client(auth=auth(FixedTokenSource(CLOUD)), mounts=mounts) as client:
        assert str(client.get(SITE).url) == ROUTED
    assert asked == [("api", ROUTED, "api.atlassian.com")]


@pytest.mark.parametrize("foreign", ["bare", "raise"])
def test_without_a_site_after_the_token_set_nothing_is_sent(foreign: Any) -> None:
    """The login was replaced during the request, so its site is unknown again: an error."""
    source = FixedTokenSource(CloudGateway("https://api.atlassian.com", ""))
    auth = AtlassianAuth(source, foreign=foreign)
    with requests.Session() as session, pytest.raises(ResourceUnavailableError, match="not sent"):
        session.get(SITE, auth=auth)
    with (
        httpx.Client(auth=AtlassianHTTPXAuth(source, foreign=foreign)) as client,
        pytest.raises(httpx.RequestError, match="not sent"),
    ):
        client.get(SITE)


@pytest.fixture
def local() -> StaticTokenSource:
    """A token for a server on this machine."""
    return StaticTokenSource.personal_access_token("secret-bearer", "http://localhost:7990/jira")


LOCAL = "http://localhost:7990/jira/rest/x"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_gets_no_token_for_this_machine(
    local: StaticTokenSource, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The error says what to do, and that helps."""
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    double = Double()
    with requests.Session() as session:
        session.mount("http://", double)
        session.auth = AtlassianAuth(local)
        with pytest.raises(
            requests.RequestException, match=r"add localhost to .* NO_PROXY"
        ) as raised:
            session.get(LOCAL)
        assert isinstance(raised.value, ConfigurationError)
        assert double.asked == []
        session.get("http://localhost:7990/other")  # carries no token
        monkeypatch.setenv("NO_PROXY", "localhost")
        session.get(LOCAL)
        assert [url for url, _ in double.asked] == ["http://localhost:7990/other", LOCAL]


def test_a_proxy_of_the_session_is_reported_when_it_is_seen() -> None:
    """Requests shows an auth object the proxies of the session with the first answer only."""
    source = FixedTokenSource(OneServer("http://localhost:7990/jira"))
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", Double())
        session.auth = AtlassianAuth(source)
        session.get(LOCAL)
        assert source.events == []
        session.proxies["http"] = "http://proxy.example:3128"
        session.get(LOCAL)
        session.get(LOCAL)
    (event,) = source.events
    assert event.name == "proxied"
    assert event.fields["origin"] == "http://localhost:7990"
    assert "take the proxy off the session" in event.fields["hint"]


@pytest.mark.parametrize(
    ("library", "auth"), [(httpx, AtlassianHTTPXAuth), (httpx2, AtlassianHTTPX2Auth)]
)
def test_a_socks_proxy_gets_no_token_for_this_machine(library: Any, auth: Any) -> None:
    """The request has the same form as without one: it is refused while the proxy is asked."""
    for base, host, refused in (
        ("http://localhost:7990/jira", "localhost", True),
        ("http://[::1]/jira", "::1", True),
        ("https://localhost:7990/jira", "localhost", False),
        ("https://jira.example.com/jira", "jira.example.com", False),
    ):
        request = library.Request("GET", f"{base}/rest/x")
        flow = auth(FixedTokenSource(OneServer(base))).sync_auth_flow(request)
        assert next(flow) is request
        trace = request.extensions["trace"]
        trace("connection.connect_tcp.started", {"host": "127.0.0.1", "port": 1080})
        with pytest.raises(ConfigurationError) if refused else nullcontext():
            trace("socks.setup_socks5_connection.started", {"host": host, "port": 7990})
