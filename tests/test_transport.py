"""The package's own requests: settings apply to each, and an error tells whether it was sent."""

from __future__ import annotations

import contextlib
import gzip
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

# --- a server of a few lines, for broken answers --------------------------------------------------


@contextlib.contextmanager
def _raw_server(
    serve: Callable[[socket.socket], object], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that calls `serve` with each connection; yields its port."""
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
    """Reads one whole request."""
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


def _send(port: int, scheme: str = "http", **settings: Any) -> Answer:
    transport = Transport(**{"proxy": False, **settings})
    return transport.send(
        "POST",
        f"{scheme}://127.0.0.1:{port}/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body="secret=s3cr3t",
    )


def _failure(
    serve: Callable[[socket.socket], object],
    context: ssl.SSLContext | None = None,
    *,
    match: str | None = None,
    **settings: Any,
) -> NoAnswerError:
    """The error of a request to a server like this; https if there is a TLS context."""
    with _raw_server(serve, context) as port, pytest.raises(NoAnswerError, match=match) as caught:
        _send(port, "https" if context else "http", **settings)
    return caught.value


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
    """A certificate authority of the tests, and a client certificate."""
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


#: How to make each kind of request of the package.
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
    emulator.faults.clear()  # other tests use this emulator
    for kind in ("tenant_info", "accessible-resources"):  # at sign-in
        emulator.faults.next(kind, Status(503))
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    return client


@pytest.fixture(scope="module")
def tls_emulator(pki: _Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian behind https with a certificate of that authority."""
    with AtlassianEmulator(ssl_context=pki.server_context()) as running:
        yield running


@pytest.fixture(scope="module")
def mtls_emulator(pki: _Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian that requires a client certificate."""
    with AtlassianEmulator(ssl_context=pki.server_context(client_certificates=True)) as running:
        browser = ssl.create_default_context(cafile=pki.bundle)
        browser.load_cert_chain(pki.client_pem)
        running.cloud.browser_ssl_context = browser
        yield running


def _make_own_requests(client: Any, emulator: AtlassianEmulator) -> None:
    """Makes each kind of request once; each is accepted."""
    emulator.reset_log()
    for make in OWN_REQUESTS.values():
        make(client)
    assert [request.status for request in emulator.requests] == [200] * len(OWN_REQUESTS)


def test_a_ca_bundle_applies_to_every_own_request(
    tls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """`verify="/path/ca.pem"`: each request trusts that authority."""
    _make_own_requests(_cloud_client(tls_emulator, clock, verify=pki.bundle), tls_emulator)


def test_a_client_certificate_applies_to_every_own_request(
    mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """`cert=` is sent to every server that asks for it, as one file or as two."""
    for cert in (pki.client_pem, pki.client_pair):
        client = _cloud_client(mtls_emulator, clock, verify=pki.bundle, cert=cert)
        _make_own_requests(client, mtls_emulator)


def test_without_the_client_certificate_nothing_works(
    mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki
) -> None:
    """The emulator refuses a client without it, so the test above proves something."""
    with pytest.raises(TokenEndpointUnavailableError):
        _cloud_client(mtls_emulator, clock, verify=pki.bundle)


def test_an_unknown_authority_is_not_trusted(
    tls_emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Without `verify=` the login fails before the secret is sent; the text names `verify`."""
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


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    """The constructor raises a ConfigurationError that names the setting and what to give."""
    wrong: dict[str, list[object]] = {
        "verify: there is no file": ["/no/such/bundle.pem", "", 0, None],  # requests: no check
        "cert: there is no file": [
            *("/no/such/client.pem", ("/no/such.crt", "/no/such.key"), (__file__, "/no/such.key")),
            *((__file__,), ""),
        ],
        "timeout: give seconds above zero": [
            *(0, -1.0, (5, 0), (5, 30, 60), (), "30", float("nan"), float("inf"), True),
            None,  # requests would wait for ever
        ],
        "proxy: give a URL": [
            *("", "http://", "http://proxy:port", "http://pro xy:80", 0, ["http://proxy"]),
            {"https": 8080},
        ],
    }
    for text, values in wrong.items():
        for value in values:
            with pytest.raises(ConfigurationError, match=text):
                Transport(**{text.partition(":")[0]: value})


def test_a_path_object_is_a_path(pki: _Pki) -> None:
    """`pathlib` users need no str()."""
    assert Transport(verify=Path(pki.bundle)).verify  # type: ignore[arg-type]


def test_a_bundle_named_in_the_environment_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A REQUESTS_CA_BUNDLE that points nowhere is a typed error that names the path."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(ConfigurationError, match=r"/no/such/bundle\.pem"):
        _send(9, "https", verify=True)


def test_an_invalid_host_name_is_a_configuration_error() -> None:
    """A host name that the network library refuses to look up: the URL is wrong."""
    for host in ("a" * 70 + ".example", "host..example"):
        with pytest.raises(ConfigurationError, match="cannot send"):
            Transport(proxy=False).send("GET", f"https://{host}/")


def test_an_invalid_header_is_not_shown() -> None:
    """A stored token with a line break is an error that does not repeat it."""
    for token in ("s3cr3t\n", "s3cr3t\r\nX: y", "s3cr3t€", " s3cr3t", b"s3cr3t\n"):
        headers: Any = {"Authorization": token}
        with pytest.raises(ConfigurationError) as caught:
            Transport(proxy=False).send("GET", "http://127.0.0.1:9/", headers=headers)
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
    """A forward proxy; the environment names no proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    proxy = _ForwardProxy()
    with _raw_server(proxy.serve) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


def test_the_proxy_applies_to_every_own_request(
    tls_emulator: AtlassianEmulator, clock: FakeClock, pki: _Pki, forward_proxy: _ForwardProxy
) -> None:
    """`proxy="http://..."`: each request goes through a CONNECT tunnel of that proxy."""
    client = _cloud_client(tls_emulator, clock, verify=pki.bundle, proxy=forward_proxy.url)
    forward_proxy.seen.clear()
    _make_own_requests(client, tls_emulator)
    assert len(forward_proxy.seen) == len(OWN_REQUESTS)
    assert all(line.startswith("CONNECT 127.0.0.1:") for line in forward_proxy.seen)


def test_which_proxy_is_used(forward_proxy: _ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """None and True follow the environment, False uses none, an address is used as given."""
    proxy = forward_proxy.url
    cases: list[tuple[Any, dict[str, str], bool]] = [
        (None, {}, False),
        (None, {"HTTP_PROXY": proxy}, True),
        (None, {"http_proxy": proxy, "NO_PROXY": "127.0.0.1"}, False),
        (True, {"HTTP_PROXY": proxy}, True),
        (True, {"ALL_PROXY": proxy}, True),
        (True, {"HTTP_PROXY": proxy, "no_proxy": "127.0.0.1"}, False),
        (False, {"HTTP_PROXY": proxy}, False),
        (False, {"http_proxy": proxy, "ALL_PROXY": proxy}, False),
        (proxy, {}, True),
        (proxy, {"HTTP_PROXY": "http://127.0.0.1:9"}, True),
        (proxy.removeprefix("http://"), {}, True),
        ({"http": proxy}, {}, True),
        ({"https": proxy}, {}, False),
    ]
    with _raw_server(_replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        line = f"POST http://127.0.0.1:{port}/token"
        for setting, environment, is_used in cases:
            forward_proxy.seen.clear()
            with monkeypatch.context() as patch:
                for name, value in environment.items():
                    patch.setenv(name, value)
                assert _send(port, proxy=setting).json() == {}
            assert forward_proxy.seen == [line] * is_used, (setting, environment)


def test_the_password_of_the_proxy_is_sent_and_not_shown(forward_proxy: _ForwardProxy) -> None:
    """The password is sent to the proxy; no error and no repr repeats it."""
    forward_proxy.refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    address = forward_proxy.url.replace("//", "//user:s3cr3t@")
    transport = Transport(proxy=address)
    with pytest.raises(NoAnswerError, match="407") as caught:
        transport.send("GET", "https://127.0.0.1:9/")
    assert b"proxy-authorization: basic" in forward_proxy.heads[0].lower()
    shown = f"{caught.value!r} {caught.value.__cause__!r} {transport!r}"
    assert "s3cr3t" not in shown
    assert not caught.value.sent


def test_a_malformed_proxy_address_is_not_repeated() -> None:
    """The error for it does not show its password."""
    for address in ("http://user:s3cr3t@proxy:0", "http://user:s3cr3t@[::1", "h\0"):
        with pytest.raises(AtlassianAuthError) as caught:
            Transport(proxy=address).send("GET", "https://127.0.0.1:9/")
        assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_netrc_is_never_read(
    make_client: Any, emulator: AtlassianEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login for the host in `.netrc` is not sent."""
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


def test_without_a_connection_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port, no DNS, a connection that times out: the refresh token was not used."""
    failures: list[tuple[str, Any, str]] = [
        ("", None, "ConnectionError"),
        ("getaddrinfo", socket.gaierror(-3, "Temporary failure in name resolution"), "Error"),
        ("create_connection", TimeoutError("timed out"), "ConnectTimeout"),
    ]
    for name, failure, text in failures:
        with monkeypatch.context() as patch:
            if failure is not None:
                module = socket if name == "getaddrinfo" else urllib3.util.connection
                patch.setattr(module, name, _raising(failure))
            with pytest.raises(NoAnswerError, match=text) as caught:
                _send(_dead_port())
        assert not caught.value.sent, text


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_proxy_that_refuses_has_not_sent(forward_proxy: _ForwardProxy) -> None:
    """A dead proxy, and one that refuses the tunnel: the server has not seen the request."""
    forward_proxy.refuse = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    for address in (forward_proxy.url, f"http://127.0.0.1:{_dead_port()}"):
        with pytest.raises(NoAnswerError, match="ProxyError") as caught:
            _send(9, "https", proxy=address)
        assert not caught.value.sent


def test_after_a_failed_handshake_nothing_was_sent(pki: _Pki) -> None:
    """The server speaks no TLS, or the `verify` file holds no certificates."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with _raw_server(serve) as port, pytest.raises(NoAnswerError, match="SSLError") as caught:
        _send(port, "https")
    assert not caught.value.sent
    assert b"s3cr3t" not in b"".join(seen)
    assert not _failure(serve, pki.server_context(), verify=__file__).sent


def test_tls_that_breaks_in_the_answer_may_have_been_sent(pki: _Pki) -> None:
    """The handshake worked and the request was read, then a record of the answer was garbled."""
    seen: list[bytes] = []
    for start in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"):

        def serve(connection: socket.socket, start: bytes = start) -> None:
            seen.append(_request(connection))
            connection.sendall(start)
            with socket.socket(fileno=os.dup(connection.fileno())) as beneath:
                beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

        assert _failure(serve, pki.server_context(), match="SSL", verify=pki.bundle).sent
    assert all(b"s3cr3t" in request for request in seen)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN_ANSWERS = {
    "closed without a word": b"",
    "half a status line": b"HTTP/1",
    "no HTTP at all": b'{"access_token": "s3cr3t-new"}\r\n\r\n',
    "shorter than announced": HEAD + b'Content-Length: 99\r\n\r\n{"access_token": "s3cr3t-new"}',
    "invalid chunks": HEAD
    + b'Transfer-Encoding: chunked\r\n\r\n{"access_token": "s3cr3t-new"}\r\n',
    "a chunk cut off": HEAD + b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"access_token": "s3cr',
    "invalid gzip": HEAD
    + b'Content-Encoding: gzip\r\nContent-Length: 30\r\n\r\n{"access_token": "s3cr3t-new"}',
    "too much": HEAD + b"Content-Length: 10000000\r\n\r\n" + b"s3cr3t" * (MAX_ANSWER // 4),
}


def test_a_broken_answer_may_have_been_sent() -> None:
    """Whatever breaks after sending is ambiguous, and no part of the answer is repeated."""
    for name, reply in BROKEN_ANSWERS.items():
        failure = _failure(_replying(reply))
        assert failure.sent, name
        error: BaseException | None = failure
        while error is not None:
            assert "s3cr3t" not in f"{error!r} {error} {vars(error)}", name
            error = error.__cause__ or error.__context__


def test_without_an_answer_it_may_have_been_sent() -> None:
    """The server read the request, and then reset the connection or stayed silent."""

    def reset(connection: socket.socket) -> None:
        _request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def stay_silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    assert _failure(reset).sent
    assert _failure(stay_silent, match="Timeout", timeout=(5, 0.05)).sent


def test_an_endless_trickle_ends() -> None:
    """A server that keeps sending single bytes is not read for longer than the timeouts."""

    def trickle(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:  # until the client closes the connection
            connection.sendall(b"1\r\n \r\n")
            threading.Event().wait(0.01)

    assert _failure(trickle, match="longer", timeout=(0.05, 0.1)).sent


# --- answers --------------------------------------------------------------------------------------


def test_a_redirect_is_an_answer(emulator: AtlassianEmulator) -> None:
    """No redirect is followed: its target gets no request."""
    for status in (301, 302, 303, 307, 308):
        reply = f"HTTP/1.1 {status} Moved\r\nLocation: {emulator.foreign_url}/\r\n\r\n"
        with _raw_server(_replying(reply.encode())) as port:
            assert _send(port).status == status
    assert not emulator.requests


def test_a_redirect_to_a_malformed_url_is_an_answer() -> None:
    """Nor is its URL looked at, or its body read beyond the limit."""
    for place in ("http://[bad", "http://a:b:c/", "//", "\xff\x00", "http://x:99999/"):
        reply = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 2\r\n\r\n{{}}"
        with _raw_server(_replying(reply.encode("latin-1"))) as port:
            assert (_send(port).status, _send(port).body) == (302, b"{}")
    reply = "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n" + "x" * (MAX_ANSWER + 1)
    with _raw_server(_replying(reply.encode())) as port, pytest.raises(NoAnswerError) as caught:
        _send(port)
    assert caught.value.sent


def test_an_answer_with_two_lengths_is_none_and_the_request_was_sent() -> None:
    """It is no error of the configuration: the server may have rotated a refresh token."""
    for lengths in (("2", "3"), ("2, 3",), ("7", "2")):
        fields = "".join(f"Content-Length: {length}\r\n" for length in lengths)
        with _raw_server(_replying(f"HTTP/1.1 200 OK\r\n{fields}\r\n{{}}".encode())) as port:
            with pytest.raises(NoAnswerError) as caught:
                _send(port)
            assert caught.value.sent


def test_a_body_without_json_is_read_as_none() -> None:
    """Never an exception, however broken or deep it is."""
    for body in (
        *(b"", b"<html>", b'{"a": ', b"\xff\xfe\xff", b"[" * 100_000, b'{"a":' * 100_000),
        b'{"a": ' + b"9" * 5000 + b"}",
    ):
        assert Answer(200, {}, body).json() is None
    for text, encoding in (
        ('{"a": "é"}', "utf-8"),
        ('{"a": "é"}', "utf-8-sig"),
        ('{"a": "é"}', "utf-16"),
    ):
        assert Answer(200, {}, text.encode(encoding)).json() == {"a": "é"}


def test_an_answer_does_not_print_its_body() -> None:
    """The body may hold tokens; the repr does not."""
    answer = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"s3cr3t")
    assert "s3cr3t" not in repr(answer)
    assert answer.content_type == "text/html"
    assert Answer(200, {"Content-Type": "a\x1b[31m"}, b"").content_type == ""
    assert Answer(200, {}, b"").content_type == ""


def test_a_compressed_answer_is_read_up_to_the_limit() -> None:
    """A gzip answer is read; a gzip bomb ends at the size limit."""

    def zipped(text: bytes) -> Callable[[socket.socket], None]:
        body = gzip.compress(text)
        head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        return _replying(head + body)

    with _raw_server(zipped(b'{"a": 1}')) as port:
        assert _send(port).json() == {"a": 1}
    assert _failure(zipped(bytes(50_000_000)), match="larger").sent


def test_a_get_without_an_answer_holds_no_bearer() -> None:
    """The error without a connection has its cause; text and fields do not hold the bearer."""
    with pytest.raises(ResourceUnavailableError, match="Try again") as caught:
        Transport().get(f"http://127.0.0.1:{_dead_port()}/x?state=s3cr3t", "Bearer s3cr3t")
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    assert caught.value.__context__ is None
    assert "s3cr3t" not in f"{caught.value}{vars(caught.value)}"
