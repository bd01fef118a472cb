"""Our own requests: settings reach each of them, and failures are told apart by one question."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
import urllib3

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianOAuthClient,
    CloudEnvironment,
    ConfigurationError,
    ResourceUnavailableError,
    TokenEndpointUnavailableError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Status
from atlassian_auth_adapter.transport import MAX_ANSWER, Answer, NoAnswerError, Transport

# --- a server of a few lines, for answers that no server should give ------------------------------


@contextlib.contextmanager
def _raw_server(
    serve: Callable[[socket.socket], object], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that lets `serve` do with each connection what it likes; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if context is None:
                    serve(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        serve(wrapped)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _request(connection: socket.socket) -> bytes:
    """One whole request."""
    read = b""
    while b"\r\n\r\n" not in read or (read.startswith(b"POST") and not read.endswith(b"s3cr3t")):
        if not (more := connection.recv(65536)):
            break
        read += more
    return read


def _replying(reply: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(reply)

    return serve


def _resetting(connection: socket.socket) -> None:
    _request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _send(port: int, scheme: str = "http", **settings: Any) -> Answer:
    transport = Transport(**{"proxy": False, **settings})
    return transport.send(
        "POST",
        f"{scheme}://127.0.0.1:{port}/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body="secret=s3cr3t",
    )


# --- TLS ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pki:
    """A certificate authority with its files."""

    authority: trustme.CA
    bundle: str
    client_pem: str
    client_pair: tuple[str, str]

    def server_context(self, *, client_certificates: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if client_certificates:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> _Pki:
    """A certificate authority of our own, and a client certificate."""
    folder = tmp_path_factory.mktemp("pki")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert("program@company.com")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    client.cert_chain_pems[0].write_to_path(folder / "client.crt")
    client.private_key_pem.write_to_path(folder / "client.key")
    return _Pki(
        authority,
        str(folder / "ca.pem"),
        str(folder / "client.pem"),
        (str(folder / "client.crt"), str(folder / "client.key")),
    )


#: How to make each kind of request that is ours, and the kind's name in the weather.
OWN_REQUESTS: dict[str, Callable[[AtlassianOAuthClient], object]] = {
    "token": lambda client: client.oauth2_retrieve_access_token(
        refresh_token=client.token_set().refresh_token
    ),
    "tenant_info": lambda client: client.base_url,
    "accessible-resources": lambda client: client.accessible_resources(),  # type: ignore[attr-defined]
    "/rest/api/3/myself": lambda client: client.test_connection(),
    "revoke": lambda client: client.revoke(),
}


def _cloud_client(emulator: AtlassianEmulator, clock: FakeClock, **changes: Any) -> Any:
    """A Cloud client that is logged in, and still has to find its site by the URL."""
    cloud = emulator.cloud
    client = create_atlassian_oauth_client(
        **{
            "client_id": cloud.app.client_id,
            "client_secret": cloud.app.client_secret,
            "callback_url": cloud.app.callback_url,
            "site_url": cloud.sites[0].url,
            "cloud": CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
            "clock": clock,
            "proxy": False,
            **changes,
        }
    )
    for kind in ("tenant_info", "accessible-resources"):  # at sign-in
        emulator.faults.next(kind, Status(503))
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    return client


@pytest.fixture(scope="module")
def tls_emulator(pki: _Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian behind https with a certificate of our own authority."""
    with AtlassianEmulator(ssl_context=pki.server_context()) as running:
        yield running


@pytest.fixture(scope="module")
def mtls_emulator(pki: _Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian that wants a client certificate."""
    with AtlassianEmulator(ssl_context=pki.server_context(client_certificates=True)) as running:
        browser = ssl.create_default_context(cafile=pki.bundle)
        browser.load_cert_chain(pki.client_pem)
        running.cloud.browser_ssl_context = browser
        yield running


@pytest.mark.parametrize("own", OWN_REQUESTS)
def test_a_ca_bundle_reaches_every_request_of_ours(
    own: str, tls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """`verify="/path/ca.pem"` makes each of our requests trust the company's authority."""
    client = _cloud_client(tls_emulator, clock, verify=pki.bundle)
    tls_emulator.reset_log()
    OWN_REQUESTS[own](client)
    assert {request.status for request in tls_emulator.requests} == {200}


@pytest.mark.parametrize("flavour", ["bundle", "pair"])
def test_a_client_certificate_reaches_every_request_of_ours(
    flavour: str, mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """`cert=` is shown to every server that asks for it, as one file or as two."""
    cert = pki.client_pem if flavour == "bundle" else pki.client_pair
    client = _cloud_client(mtls_emulator, clock, verify=pki.bundle, cert=cert)
    mtls_emulator.reset_log()
    for ask in OWN_REQUESTS.values():
        ask(client)
    assert {request.status for request in mtls_emulator.requests} == {200}
    assert len(mtls_emulator.requests) == len(OWN_REQUESTS)


def test_without_the_client_certificate_nothing_works(
    mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """The emulator does insist on the certificate: the test above proves something."""
    with pytest.raises(TokenEndpointUnavailableError):
        _cloud_client(mtls_emulator, clock, verify=pki.bundle)


def test_an_unknown_authority_is_not_trusted(
    tls_emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Without `verify=` the login fails before the secret is sent, and says where to look."""
    tls_emulator.reset_log()
    with pytest.raises(TokenEndpointUnavailableError, match="verify") as caught:
        _cloud_client(tls_emulator, clock)
    assert caught.value.outcome == "not_sent"
    assert not tls_emulator.token_requests


def test_verification_can_be_switched_off(
    tls_emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """`verify=False` is obeyed, with urllib3's warning."""
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        _cloud_client(tls_emulator, clock, verify=False)


# --- settings that cannot work --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"verify": "/no/such/bundle.pem"}, "verify: there is no file '/no/such/bundle.pem'"),
        ({"verify": ""}, "verify"),  # would switch verification off
        ({"verify": 0}, "verify"),
        ({"verify": None}, "verify"),
        ({"cert": "/no/such/client.pem"}, "cert: there is no file"),
        ({"cert": ("/no/such.crt", "/no/such.key")}, "cert"),
        ({"cert": (__file__, "/no/such.key")}, "cert"),
        ({"cert": (__file__,)}, "cert"),
        ({"cert": ""}, "cert"),
        ({"timeout": 0}, "timeout: give seconds above zero"),
        ({"timeout": -1.0}, "timeout"),
        ({"timeout": (5, 0)}, "timeout"),
        ({"timeout": (5, 30, 60)}, "timeout"),
        ({"timeout": ()}, "timeout"),
        ({"timeout": None}, "timeout"),  # would wait for ever
        ({"timeout": "30"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"proxy": ""}, "proxy: give a URL"),
        ({"proxy": "http://"}, "proxy"),
        ({"proxy": "http://proxy:port"}, "proxy"),
        ({"proxy": "http://pro xy:80"}, "proxy"),
        ({"proxy": 0}, "proxy"),
        ({"proxy": ["http://proxy"]}, "proxy"),
        ({"proxy": {"https": 8080}}, "proxy"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_at_once(
    settings: dict[str, Any], named: str
) -> None:
    """A bad setting is a ConfigurationError of the constructor that names it and what to give."""
    with pytest.raises(ConfigurationError, match=named):
        Transport(**settings)


def test_a_path_object_is_a_path(pki: _Pki) -> None:
    """`pathlib` users need no str()."""
    assert Transport(verify=Path(pki.bundle)).verify  # type: ignore[arg-type]


def test_a_bundle_named_in_the_environment_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A REQUESTS_CA_BUNDLE that points nowhere is a typed error that names the path."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(ConfigurationError, match=r"/no/such/bundle\.pem"):
        _send(9, "https", verify=True)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "host..example"])
def test_a_host_that_is_no_name_is_a_typed_error(host: str) -> None:
    """What the network library refuses to look up is reported as what it is: a wrong URL."""
    with pytest.raises(ConfigurationError, match="cannot send"):
        Transport(proxy=False).send("GET", f"https://{host}/")


@pytest.mark.parametrize("token", ["s3cr3t\n", "s3cr3t\r\nX: y", "s3cr3t€", " s3cr3t", b"s3cr3t\n"])
def test_a_header_that_cannot_be_sent_is_not_shown(token: str) -> None:
    """A stored token with a line break ends in a typed error that does not repeat it."""
    with _raw_server(_replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(ConfigurationError) as caught:
            Transport(proxy=False).send("GET", url, headers={"Authorization": token})
    chain = caught.value, caught.value.__cause__, caught.value.__context__
    assert not any("s3cr3t" in f"{error!r} {error}" for error in chain)


# --- proxies --------------------------------------------------------------------------------------


@dataclass
class _ForwardProxy:
    """A real forward proxy that records: absolute-form requests and CONNECT tunnels."""

    refuse: bytes = b""
    seen: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (read := client.recv(65536)):
                return
            head += read
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.seen.append(f"{method} {target}")
        self.heads.append(head)
        if self.refuse:
            client.sendall(self.refuse)
            return
        authority = target.removeprefix("http://").partition("/")[0]
        host, _, port = authority.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as upstream:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = "/" + target.removeprefix("http://").partition("/")[2]
                upstream.sendall(f"{method} {path} HTTP/1.1\r\n".encode() + rest)
            back = threading.Thread(target=_pump, args=(upstream, client))
            back.start()
            _pump(client, upstream)
            back.join(10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def forward_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[_ForwardProxy]:
    """A forward proxy; the environment says nothing of proxies until a test does."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    proxy = _ForwardProxy()
    with _raw_server(proxy.serve) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


@pytest.mark.parametrize("own", OWN_REQUESTS)
def test_the_proxy_reaches_every_request_of_ours(
    own: str,
    tls_emulator: AtlassianEmulator,
    clock: FakeClock,
    pki: _Pki,
    forward_proxy: _ForwardProxy,
) -> None:
    """`proxy="http://..."`: each of our requests goes through a CONNECT tunnel of that proxy."""
    client = _cloud_client(tls_emulator, clock, verify=pki.bundle, proxy=forward_proxy.url)
    forward_proxy.seen.clear()
    tls_emulator.reset_log()
    OWN_REQUESTS[own](client)
    assert len(forward_proxy.seen) == len(tls_emulator.requests) >= 1
    assert all(line.startswith("CONNECT 127.0.0.1:") for line in forward_proxy.seen)


@pytest.mark.parametrize(
    ("proxy", "environment", "through"),
    [
        (None, {}, False),
        (None, {"HTTP_PROXY": "PROXY"}, True),
        (None, {"http_proxy": "PROXY", "NO_PROXY": "127.0.0.1"}, False),
        (True, {"HTTP_PROXY": "PROXY"}, True),
        (True, {"ALL_PROXY": "PROXY"}, True),
        (True, {"HTTP_PROXY": "PROXY", "no_proxy": "127.0.0.1"}, False),
        (False, {"HTTP_PROXY": "PROXY"}, False),
        (False, {"http_proxy": "PROXY", "ALL_PROXY": "PROXY"}, False),
        ("PROXY", {}, True),
        ("PROXY", {"HTTP_PROXY": "http://127.0.0.1:9"}, True),
        ("BARE", {}, True),
        ({"http": "PROXY"}, {}, True),
        ({"https": "PROXY"}, {}, False),
    ],
    ids=str,
)
def test_which_proxy_is_used(
    proxy: Any,
    environment: dict[str, str],
    through: bool,
    forward_proxy: _ForwardProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None and True follow the environment, False takes none, an address is taken as given."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        bare = forward_proxy.url.removeprefix("http://")
        return {"PROXY": forward_proxy.url, "BARE": bare}.get(value, value)

    for name, value in environment.items():
        monkeypatch.setenv(name, named(value))
    with _raw_server(_replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        assert _send(port, proxy=named(proxy)).json() == {}
        assert forward_proxy.seen == ([f"POST http://127.0.0.1:{port}/token"] if through else [])


def test_the_proxy_gets_its_password_and_nobody_sees_it(forward_proxy: _ForwardProxy) -> None:
    """The proxy's password goes to the proxy; no error and no repr repeats it."""
    forward_proxy.refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    address = forward_proxy.url.replace("//", "//user:s3cr3t@")
    transport = Transport(proxy=address)
    with pytest.raises(NoAnswerError, match="407") as caught:
        transport.send("GET", "https://127.0.0.1:9/")
    assert b"proxy-authorization: basic" in forward_proxy.heads[0].lower()
    shown = f"{caught.value!r} {caught.value.__cause__!r} {transport!r}"
    assert "s3cr3t" not in shown
    assert not caught.value.sent


@pytest.mark.parametrize(
    "address", ["http://user:s3cr3t@proxy:0", "http://user:s3cr3t@[::1", "h\0"]
)
def test_a_bad_proxy_address_is_not_repeated(address: str) -> None:
    """The error for a proxy that is none does not show its password."""
    with pytest.raises(AtlassianAuthError) as caught:
        Transport(proxy=address).send("GET", "https://127.0.0.1:9/")
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_netrc_is_never_read(
    make_client: Any, emulator: AtlassianEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `.netrc` says about the hosts, our requests carry what we gave them."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth("http://127.0.0.1/") == ("bob", "s3cr3t")
    client = make_client(cloud_id="")
    for ask in OWN_REQUESTS.values():
        ask(client)
    headers = [request.headers.get("authorization", "") for request in emulator.requests]
    assert not any(header.startswith("Basic") for header in headers)
    assert sum(header.startswith("Bearer ") for header in headers) == 3  # resources (2), myself


# --- can the server have seen the request? --------------------------------------------------------


def _dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_was_not_sent() -> None:
    """Nobody listens: the refresh token is untouched and may be sent again at leisure."""
    with pytest.raises(NoAnswerError, match="ConnectionError") as caught:
        _send(_dead_port())
    assert not caught.value.sent


def test_a_name_that_does_not_resolve_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS is down: nothing was sent."""

    def down(*_: object, **__: object) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", down)
    with pytest.raises(NoAnswerError) as caught:
        Transport(proxy=False).send("POST", "https://auth.atlassian.com/oauth/token")
    assert not caught.value.sent


def test_a_connect_timeout_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not pick up: nothing was sent."""

    def silent(*_: object, **__: object) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", silent)
    with pytest.raises(NoAnswerError, match="ConnectTimeout") as caught:
        _send(9)
    assert not caught.value.sent


@pytest.mark.parametrize("proxy", ["dead", "refusing"])
def test_a_proxy_that_does_not_let_us_through_has_not_sent(
    proxy: str, forward_proxy: _ForwardProxy
) -> None:
    """A dead proxy and one that refuses the tunnel keep the request from the server."""
    forward_proxy.refuse = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    address = forward_proxy.url if proxy == "refusing" else f"http://127.0.0.1:{_dead_port()}"
    with pytest.raises(NoAnswerError, match="ProxyError") as caught:
        _send(9, "https", proxy=address)
    assert not caught.value.sent


def test_a_server_without_tls_was_not_sent_anything() -> None:
    """The handshake fails: no request has left."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with _raw_server(serve) as port, pytest.raises(NoAnswerError, match="SSLError") as caught:
        _send(port, "https")
    assert not caught.value.sent
    assert b"s3cr3t" not in b"".join(seen)


def test_a_bundle_that_is_none_has_sent_nothing(pki: _Pki) -> None:
    """A `verify` file without certificates fails before anything is sent."""
    with (
        _raw_server(_replying(b""), pki.server_context()) as port,
        pytest.raises(NoAnswerError) as caught,
    ):
        _send(port, "https", verify=__file__)
    assert not caught.value.sent


def test_tls_that_breaks_in_the_answer_may_have_been_sent(pki: _Pki) -> None:
    """The handshake worked, the request was read, then a record was garbled: outcome unknown."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        seen.append(_request(connection))
        with socket.socket(fileno=os.dup(connection.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

    with (
        _raw_server(serve, pki.server_context()) as port,
        pytest.raises(NoAnswerError, match="SSL") as caught,
    ):
        _send(port, "https", verify=pki.bundle)
    assert b"s3cr3t" in b"".join(seen)
    assert caught.value.sent


def test_tls_that_breaks_within_the_body_may_have_been_sent(pki: _Pki) -> None:
    """Headers arrived and the body broke: the server has seen it all."""

    def serve(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        with socket.socket(fileno=os.dup(connection.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

    with (
        _raw_server(serve, pki.server_context()) as port,
        pytest.raises(NoAnswerError) as caught,
    ):
        _send(port, "https", verify=pki.bundle)
    assert caught.value.sent


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN_ANSWERS = {
    "closed without a word": b"",
    "half a status line": b"HTTP/1",
    "no HTTP at all": b'{"access_token": "s3cr3t-new"}\r\n\r\n',
    "shorter than announced": HEAD + b'Content-Length: 99\r\n\r\n{"access_token": "s3cr3t-new"}',
    "chunks that are none": HEAD
    + b'Transfer-Encoding: chunked\r\n\r\n{"access_token": "s3cr3t-new"}\r\n',
    "a chunk cut off": HEAD + b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"access_token": "s3cr',
    "gzip that is none": HEAD
    + b'Content-Encoding: gzip\r\nContent-Length: 30\r\n\r\n{"access_token": "s3cr3t-new"}',
    "too much": HEAD + b"Content-Length: 10000000\r\n\r\n" + b"s3cr3t" * (MAX_ANSWER // 4),
}


@pytest.mark.parametrize("reply", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_an_answer_that_broke_may_have_been_sent(reply: bytes) -> None:
    """Whatever breaks after sending is ambiguous, and no part of the answer is repeated."""
    with _raw_server(_replying(reply)) as port, pytest.raises(NoAnswerError) as caught:
        _send(port)
    assert caught.value.sent
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_reset_after_sending_may_have_been_sent() -> None:
    """The connection was reset while we waited for the answer."""
    with _raw_server(_resetting) as port, pytest.raises(NoAnswerError) as caught:
        _send(port)
    assert caught.value.sent


def test_a_read_timeout_may_have_been_sent() -> None:
    """The server has the request and stays silent."""

    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with _raw_server(silent) as port, pytest.raises(NoAnswerError, match="Timeout") as caught:
        _send(port, timeout=(5, 0.05))
    assert caught.value.sent


def test_an_endless_trickle_ends() -> None:
    """A server that sends a byte now and then does not hold us for longer than the timeouts."""

    def trickle(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:  # until we hang up
            connection.sendall(b"1\r\n \r\n")
            threading.Event().wait(0.01)

    with _raw_server(trickle) as port, pytest.raises(NoAnswerError, match="longer") as caught:
        _send(port, timeout=(0.05, 0.1))
    assert caught.value.sent


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(
    status: int, emulator: AtlassianEmulator, make_client: Any
) -> None:
    """No redirect is followed: where it points gets nothing."""
    reply = f"HTTP/1.1 {status} Moved\r\nLocation: {emulator.foreign_url}/\r\n\r\n".encode()
    with _raw_server(_replying(reply)) as port:
        assert _send(port).status == status
    assert not [request for request in emulator.requests if request.role == "foreign"]


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "\u00e9"}'.encode("utf-16"), {"a": "\u00e9"}),
        (b"", None),
        (b"<html>", None),
        (b'{"a": ', None),
        (b"\xff\xfe\xff", None),
        (b"[" * 100_000, None),
        (b'{"a":' * 100_000, None),
        (b'{"a": ' + b"9" * 5000 + b"}", None),
    ],
    ids=range(10),
)
def test_json_is_parsed_or_it_is_none(body: bytes, parsed: object) -> None:
    """A body that is no JSON is None, never an exception."""
    assert Answer(200, {}, body).json() == parsed


def test_an_answer_does_not_print_its_body() -> None:
    """The body may hold tokens; the repr does not."""
    answer = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"s3cr3t")
    assert "s3cr3t" not in repr(answer)
    assert answer.content_type == "text/html"
    assert Answer(200, {"Content-Type": "a\x1b[31m"}, b"").content_type == ""
    assert Answer(200, {}, b"").content_type == ""


def test_a_compressed_answer_is_read() -> None:
    """A gzip'ed answer is an answer."""
    import gzip

    body = gzip.compress(json.dumps({"a": 1}).encode())
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with _raw_server(_replying(head + body)) as port:
        assert _send(port).json() == {"a": 1}


def test_a_small_bomb_is_not_unpacked() -> None:
    """A gzip bomb ends at the size limit."""
    import gzip

    body = gzip.compress(bytes(50_000_000))
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        _raw_server(_replying(head + body)) as port,
        pytest.raises(NoAnswerError, match="larger") as caught,
    ):
        _send(port)
    assert caught.value.sent


def test_a_get_without_an_answer_holds_no_bearer() -> None:
    """The error of a dead network has its cause, and its text and fields do not hold the bearer."""
    with pytest.raises(ResourceUnavailableError, match="Try again") as caught:
        Transport().get(f"http://127.0.0.1:{_dead_port()}/x?state=s3cr3t", "Bearer s3cr3t")
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    assert caught.value.__context__ is None
    assert "s3cr3t" not in f"{caught.value}{vars(caught.value)}"
