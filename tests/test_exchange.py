"""Can the server have seen the request, why did it fail, and does the exchange end at all?"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3

from atlassian_auth_adapter import AtlassianAuthError, TokenEndpointUnavailableError
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.transport import MAX_ANSWER, NoAnswerError, Transport

from .servers import (
    HEAD,
    HOST,
    ForwardProxy,
    Pki,
    dead_port,
    failure_of,
    post,
    raw_server,
    read_request,
    replying,
    reset,
)

# When a connection is reset just before the TLS handshake, Python (3.11 to 3.13) drops its socket
# without closing it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(autouse=True)
def _no_socket_is_left() -> Iterator[None]:
    """Sockets that were dropped are not found in other tests."""
    yield
    gc.collect()


# --- can the server have seen the request? --------------------------------------------------------


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
                post(dead_port())
        assert not caught.value.sent, text


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def _closing(connection: socket.socket) -> None:
    """Read what comes, and close the connection."""
    connection.recv(65536)


def _resetting(connection: socket.socket) -> None:
    connection.recv(65536)
    reset(connection)


def _silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _saying(reply: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reply)

    return serve


#: What a proxy or a server does at the beginning of a connection, before any request.
BEGINNINGS: dict[str, Callable[[socket.socket], object]] = {
    "is closed at once": lambda _: None,
    "is closed": _closing,
    "is reset at once": reset,
    "is reset": _resetting,
    "stays silent": _silent,
    "answers half a line": _saying(b"HTTP/1.1 2"),
    "answers no HTTP": _saying(b"SSH-2.0-OpenSSH\r\n"),
    **{
        f"answers {status}": _saying(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)
        for status in (301, 407, 429, 502)
    },
}


def test_what_fails_at_the_proxy_was_not_sent(names: None, pki: Pki) -> None:
    """Whatever the proxy does at CONNECT: there was no tunnel, so the server has seen nothing."""
    for name, serve in BEGINNINGS.items():
        with raw_server(serve) as port, pytest.raises(NoAnswerError) as caught:
            post(9, "https", HOST, proxy=f"http://127.0.0.1:{port}", timeout=(0.2, 0.2))
        assert not caught.value.sent, name
    for address in (f"http://127.0.0.1:{dead_port()}", "http://no-such-proxy.invalid:80"):
        with pytest.raises(NoAnswerError, match="ProxyError") as caught:
            post(9, "https", HOST, proxy=address)
        assert not caught.value.sent, address


#: Without a reset before the ClientHello, after which Python (3.11) leaves a socket unclosed.
OF_THE_HANDSHAKE = {name: serve for name, serve in BEGINNINGS.items() if serve is not reset}


def test_what_fails_in_the_handshake_was_not_sent(pki: Pki) -> None:
    """The server closes, resets or stays silent at the ClientHello, or speaks plain HTTP."""
    for name, serve in OF_THE_HANDSHAKE.items():
        with raw_server(serve) as port, pytest.raises(NoAnswerError) as caught:
            post(port, "https", verify=pki.bundle, timeout=(0.2, 0.2))
        assert not caught.value.sent, name


def test_what_fails_in_the_handshake_through_a_tunnel_was_not_sent(
    forward_proxy: ForwardProxy, pki: Pki
) -> None:
    """The tunnel is there, and the server behind it ends the handshake."""
    for name, serve in OF_THE_HANDSHAKE.items():
        settings = {"verify": pki.bundle, "proxy": forward_proxy.url, "timeout": (0.2, 0.2)}
        with raw_server(serve) as port, pytest.raises(NoAnswerError) as caught:
            post(port, "https", HOST, **settings)
        assert not caught.value.sent, name
    assert len(forward_proxy.seen) == len(OF_THE_HANDSHAKE)


def test_a_reset_before_the_handshake_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python skips the handshake then, as if the connection had yet to be made."""
    connect = urllib3.util.connection.create_connection

    def connected(*arguments: Any, **named: Any) -> socket.socket:
        opened = connect(*arguments, **named)
        select.select([opened], [], [], 20)
        opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the reset is known
        return opened

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connected)
    with raw_server(reset) as port, pytest.raises(NoAnswerError) as caught:
        post(port, "https")
    assert not caught.value.sent


def test_a_certificate_that_is_not_trusted_ends_it_before_the_request(
    pki: Pki, names: None
) -> None:
    """An unknown authority, or another name: nothing was sent, and the text has the reason."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))

    context = pki.server_context()
    failure = failure_of(serve, context, match="certificate verify failed")
    assert not failure.sent
    with raw_server(serve, context) as port, pytest.raises(NoAnswerError, match="match") as caught:
        post(port, "https", "other.test", verify=pki.bundle)
    assert not caught.value.sent
    assert not b"".join(seen)


def test_a_client_certificate_that_is_refused_ends_it_before_the_request(pki: Pki) -> None:
    """TLS 1.3 tells so after the request was written, but the server has not looked at it."""
    context = pki.server_context(client_certificates=True)

    def serve(connection: socket.socket) -> None:
        wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with wrapped:
            with contextlib.suppress(ssl.SSLError):
                wrapped.do_handshake()
            while socket.socket.recv(wrapped, 65536):  # else the alert is lost in a reset
                pass

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        with raw_server(serve) as port, pytest.raises(NoAnswerError, match="ALERT") as caught:
            post(port, "https", verify=pki.bundle)
        assert not caught.value.sent, version


def test_a_connection_that_breaks_after_the_handshake_may_have_sent(pki: Pki) -> None:
    """The server reads the first bytes of the request, or none, and closes or resets."""

    def reset_beneath(connection: socket.socket) -> None:
        connection.recv(1)
        with socket.socket(fileno=os.dup(connection.fileno())) as beneath:
            reset(beneath)

    for serve in (_closing, reset_beneath, lambda _: None):
        assert failure_of(serve, pki.server_context(), verify=pki.bundle).sent
        assert failure_of(serve).sent


def test_an_answer_through_a_tunnel_that_breaks_may_have_been_sent(
    forward_proxy: ForwardProxy, pki: Pki
) -> None:
    """The proxy has done its part: what fails afterwards is not the proxy's refusal."""
    with (
        raw_server(_closing, pki.server_context()) as port,
        pytest.raises(NoAnswerError) as caught,
    ):
        post(port, "https", HOST, proxy=forward_proxy.url, verify=pki.bundle)
    assert caught.value.sent


def test_tls_that_breaks_in_the_answer_may_have_been_sent(pki: Pki) -> None:
    """The handshake worked and the request was read, then a record of the answer was garbled."""
    seen: list[bytes] = []
    for start in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"):

        def serve(connection: socket.socket, start: bytes = start) -> None:
            seen.append(read_request(connection))
            connection.sendall(start)
            with socket.socket(fileno=os.dup(connection.fileno())) as beneath:
                beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

        assert failure_of(serve, pki.server_context(), match="SSL", verify=pki.bundle).sent
    assert all(b"s3cr3t" in request for request in seen)


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
        failure = failure_of(replying(reply))
        assert failure.sent, name
        for error in _chain(failure):
            assert "s3cr3t" not in f"{error!r} {error} {vars(error)}", name


def _chain(failure: BaseException) -> Iterator[BaseException]:
    error: BaseException | None = failure
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_without_an_answer_it_may_have_been_sent() -> None:
    """The server read the request, and then reset the connection or stayed silent."""

    def read_and_reset(connection: socket.socket) -> None:
        read_request(connection)
        reset(connection)

    assert failure_of(read_and_reset).sent
    assert failure_of(_silent, match="Timeout", timeout=(5, 0.05)).sent


# --- does the exchange end? -----------------------------------------------------------------------


def _dripping(*, before: bytes = b"", drops: bytes = b"x") -> Callable[[socket.socket], None]:
    """Sends `before`, then these bytes one by one, until the client has closed the connection."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(before)
        while True:
            for drop in drops:
                connection.sendall(bytes([drop]))
                threading.Event().wait(0.01)

    return serve


DRIPS = {
    "the status line": _dripping(before=b"HTTP/1.1 200 "),
    "one header": _dripping(before=b"HTTP/1.1 200 OK\r\nX-Header: "),
    "many headers": _dripping(before=b"HTTP/1.1 200 OK\r\n", drops=b"X-Drop: y\r\n"),
    "interim answers": _dripping(drops=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body with its length": _dripping(before=HEAD + b"Content-Length: 9999\r\n\r\n"),
    "a body without a length": _dripping(before=HEAD + b"\r\n"),
    "chunks": _dripping(before=HEAD + b"Transfer-Encoding: chunked\r\n\r\n", drops=b"1\r\n \r\n"),
    "the size of a chunk": _dripping(before=HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;"),
    "gzip": _dripping(
        before=HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9999\r\n\r\n\x1f\x8b\x08\0",
        drops=b"\0",
    ),
}


def test_an_answer_that_drips_for_ever_ends(pki: Pki) -> None:
    """Each byte is in time, all of them are not: the deadline is for the whole answer."""
    for name, serve in DRIPS.items():
        assert failure_of(serve, timeout=(0.05, 0.1)).sent, name
    settings = {"verify": pki.bundle, "timeout": (0.1, 0.2)}
    for name in ("one header", "a body with its length"):
        context = pki.server_context()
        assert failure_of(DRIPS[name], context, match="took longer", **settings).sent, name


def test_a_proxy_and_a_handshake_that_drip_end_unsent(names: None) -> None:
    """The answer to CONNECT, or the TLS handshake, never comes to its end."""
    drips = [_dripping(before=b"HTTP/1.1 200 OK\r\n", drops=b"X-Drop: y\r\n")]
    for serve in drips:
        with raw_server(serve) as port, pytest.raises(NoAnswerError) as caught:
            post(9, "https", HOST, proxy=f"http://127.0.0.1:{port}", timeout=(0.1, 0.2))
        assert not caught.value.sent
    record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # the beginning of a long ServerHello
    with raw_server(_dripping(before=record)) as port, pytest.raises(NoAnswerError) as caught:
        post(port, "https", timeout=(0.1, 0.2))
    assert not caught.value.sent


def test_a_name_resolution_that_hangs_ends_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller goes on at the deadline; when the resolution ends after all, nothing is sent."""
    gate, seen = threading.Event(), []
    resolve = socket.getaddrinfo

    def hang(*arguments: Any, **named: Any) -> Any:
        gate.wait(20)
        return resolve(*arguments, **named)

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with raw_server(serve) as port:
        with pytest.raises(NoAnswerError, match="took longer") as caught:
            post(port, timeout=(0.05, 0.1))
        assert not caught.value.sent
        gate.set()
        for thread in threading.enumerate():
            if thread.name == "atlassian-auth-flight":
                thread.join(20)
    assert not b"".join(seen)


@contextlib.contextmanager
def _silent_address() -> Iterator[int]:
    """A port that answers no further attempt to connect: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_host_with_many_silent_addresses_ends_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address has the whole time to connect, all of them together have the deadline."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: resolve(*a, **k)[:1] * 12)
    with _silent_address() as port, pytest.raises(NoAnswerError, match="took longer") as caught:
        post(port, timeout=(0.1, 0.1))
    assert not caught.value.sent


def test_a_deadline_holds_for_each_kind_of_own_request(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Identity, sites, registration, revocation: a server that holds each of them is left."""
    from atlassian_auth_adapter.testing.emulator import Hold

    requests_of: dict[str, Callable[[Any], object]] = {
        "tenant_info": lambda client: client.base_url,
        "accessible-resources": lambda client: client.accessible_resources(),
        "/rest/api/3/myself": lambda client: client.test_connection(),
        "authorize": lambda client: client.check_registration(),
        "revoke": lambda client: client.revoke(),
    }
    client = make_client(timeout=(0.1, 0.2))
    for kind, ask in requests_of.items():
        hold = Hold()
        emulator.faults.next(kind, hold, times=9)
        if kind == "tenant_info":
            client = make_client(timeout=(0.1, 0.2), cloud_id="", login=False)
            with pytest.raises(AtlassianAuthError):
                ask(client)
            client = make_client(timeout=(0.1, 0.2))
        else:
            with pytest.raises(AtlassianAuthError, match="Timeout"):
                ask(client)
        hold.release()
        emulator.faults.clear()


# --- why did it fail? -----------------------------------------------------------------------------


def test_the_reason_of_the_operating_system_is_told(
    names: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is in the error, and its error in the chain, also behind a proxy."""
    proxy = f"http://user:s3cr3t@127.0.0.1:{dead_port()}"
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    unreachable = OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    for failure, url, setting in (
        (None, f"http://127.0.0.1:{dead_port()}/?code=s3cr3t", False),
        (None, f"https://{HOST}:9/?code=s3cr3t", proxy),
        (unknown, "https://jira.company.com/?code=s3cr3t", False),
        (unreachable, "https://jira.company.com/?code=s3cr3t", False),
        (unreachable, f"https://{HOST}:9/?code=s3cr3t", proxy),
    ):
        with monkeypatch.context() as patch:
            if failure:
                patch.setattr(socket, "getaddrinfo", _raising(failure))
            with pytest.raises(NoAnswerError) as caught:
                Transport(proxy=setting).send("GET", url)
        expected = failure or ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        chain = list(_chain(caught.value))
        assert str(expected.strerror) in str(caught.value)
        assert [(type(e), e.errno) for e in chain if type(e) is type(expected)] == [
            (type(expected), expected.errno)
        ]
        for error in chain:
            assert "s3cr3t" not in f"{error!r} {error} {vars(error)}"
            assert error.__traceback__ is None or error is caught.value


def test_the_reason_reaches_the_caller_of_a_client(make_client: Any) -> None:
    """A refused connection is told as such by the login itself, with the error of the system."""
    client = make_client("data_center", login=False, server_url=f"http://127.0.0.1:{dead_port()}")
    with pytest.raises(TokenEndpointUnavailableError, match="Connection refused") as caught:
        client.oauth2_retrieve_access_token(refresh_token="refresh")
    assert any(isinstance(error, ConnectionRefusedError) for error in _chain(caught.value))
    assert isinstance(caught.value.__cause__, requests.ConnectionError)


def test_what_a_proxy_says_is_printable(names: None) -> None:
    """A reason phrase with escape sequences does not reach the terminal."""
    reply = b"HTTP/1.1 407 \x1b[31mSorry\x07\x9b\r\n\r\n"
    with raw_server(_saying(reply)) as port, pytest.raises(NoAnswerError, match="407") as caught:
        post(9, "https", HOST, proxy=f"http://127.0.0.1:{port}")
    assert all(str(error).isprintable() for error in _chain(caught.value))


def test_token_requests_leave_no_classes_behind(make_client: Any) -> None:
    """The classes of connections and of Authlib's client are made once: only the garbage collector
    would free others, and it stops all threads for that.
    """
    client = make_client()

    def classes() -> int:
        return sum(isinstance(each, type) for each in gc.get_objects())

    client.refresh()
    gc.collect()
    gc.disable()
    try:
        before = classes()
        for _ in range(3):
            client.refresh()
        assert classes() == before
    finally:
        gc.enable()
