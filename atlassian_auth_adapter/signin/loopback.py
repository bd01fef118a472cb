"""The receiver of the redirect: a small HTTP server on this machine's loopback addresses.

It waits for the response to one authorization request. Any other request (for an icon, by a port
scanner, with a guessed state) gets 404 or 400. Nothing of a request is logged or shown.

Source: RFC 8252 sections 7.3 and 8.3. The port is fixed, although the RFC lets the program choose
it: the redirect URI must match the registered one (developer.atlassian.com, OAuth 2.0 (3LO) apps,
read 2026-11-22).
"""

from __future__ import annotations

import atexit
import errno
import secrets
import selectors
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationError,
    ConfigurationError,
    PortUnavailableError,
    raise_clean,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationResponse
from atlassian_auth_adapter.signin.pages import (
    ALREADY,
    HEADERS,
    NOT_HERE,
    OPENED_BEFORE,
    SIGNED_IN,
    Page,
    page_of,
)
from atlassian_auth_adapter.signin.peers import is_of_this_user
from atlassian_auth_adapter.threads import after_fork

__all__ = ["LoopbackURI", "Receiver"]

#: Seconds that a connection may be silent. Browsers open some in advance and do not use them.
SILENCE = 10.0
#: Connections at one time that have not sent the response; a further one ends the oldest. So no
#: program can keep the browser out, or use up the files and threads that this process may have.
MOST_CONNECTIONS = 32
#: Seconds for the browser to fetch the page about the outcome.
DELIVERY = 2.0
#: Seconds for which that page can be loaded again after the login.
LINGER = 20.0

#: A browser takes "localhost" for either address. Source: RFC 6761 section 6.3.
_ADDRESSES = {
    "localhost": ("127.0.0.1", "::1"),
    "127.0.0.1": ("127.0.0.1",),
    "::1": ("::1",),
}
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a machine without IPv6
#: The receivers of this process that listen. Changed by single set operations, which are atomic.
_receivers: set[Receiver] = set()


@dataclass(frozen=True, slots=True)
class LoopbackURI:
    """The parts of a redirect URI that leads to this machine.

    Attributes:
        host: "localhost", "127.0.0.1" or "::1".
        port: The port.
        path: The path.
        netloc: Host and port as the URI spells them.
    """

    host: str
    port: int
    path: str
    netloc: str

    @classmethod
    def parse(cls, callback_url: str) -> LoopbackURI | None:
        """None for a redirect URI that leads elsewhere, or here by https.

        Raises:
            ConfigurationError: It is not a URL.
        """
        try:
            parts = urlsplit(callback_url)
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            raise_clean(
                ConfigurationError("callback_url is not a URL. Pass the registered redirect URI.")
            )
        if parts.scheme != "http" or host not in _ADDRESSES:
            return None
        return cls(host, port, parts.path or "/", parts.netloc)

    @property
    def clean(self) -> str:
        """The URI without a query."""
        return f"http://{self.netloc}{self.path}"

    def is_asked_for(self, hosts: list[str], path: str) -> bool:
        """Whether a request with these `Host` headers and this path was sent to this URI."""
        return path == self.path and self.is_at(hosts)

    def is_at(self, hosts: list[str]) -> bool:
        """Whether a request with these `Host` headers was sent to the host of this URI.

        Another host comes from a page whose name was made to resolve to this machine (DNS
        rebinding).
        """
        names = ("localhost", "127.0.0.1", "[::1]")
        allowed = {f"{name}:{self.port}" for name in names} | (
            {*names} if self.port == 80 else set()
        )
        return len(hosts) == 1 and hosts[0].lower() in allowed

    def listen(self) -> list[socket.socket]:
        """Sockets that listen there, for connections from this machine only.

        Raises:
            PortUnavailableError: Another program listens there, or it is not allowed.
        """
        sockets: list[socket.socket] = []
        for address in _ADDRESSES[self.host]:
            try:
                sockets.append(_listening(address, self.port))
            except OSError as error:
                if sockets and error.errno in _NO_SUCH_ADDRESS:
                    continue
                for opened in sockets:
                    opened.close()
                raise PortUnavailableError(
                    f"cannot listen at port {self.port} of {address}, where the browser will be "
                    f"sent: {error.strerror}.",
                    advice="End the program that listens there (perhaps another login), or "
                    "register a callback URL with another port and pass that, or paste the "
                    "redirect URL (`receive=False`).",
                ) from error
        return sockets


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # No other program may listen at the same port. That is the default except on Windows;
        # elsewhere SO_REUSEADDR only ignores connections that have just ended.
        if sys.platform == "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


class Receiver:
    """Listens at a redirect URI; within `with` it waits for the response to one request.

        with Receiver(uri, state) as receiver:
            response = receiver.arrived.get()

    The browser gets a page about the outcome of the block: that it succeeded, or which
    `AtlassianAuthError` left it. That page has an address without code and state, and can be loaded
    again for 20 seconds, or until a new receiver of this process needs the port. Any other
    exception (Ctrl-C) frees the port immediately.

    The browser is not started with the authorization URL: the arguments of a process can be read by
    other users of the machine, and the state is enough to sign the program in to an account of
    theirs. It is started with `entrance`, an address of the receiver without secrets, which
    redirects to the authorization URL: once, and on Linux, where the kernel says whose connection
    it is, for this user only. A private file would serve as well where a browser can read it, which
    those in a snap or a flatpak often cannot.

    Args:
        uri: Where to listen.
        state: The state of the authorization request.
        authorization_url: Where `entrance` leads.

    Attributes:
        entrance: The URL to start a browser with.
        arrived: The responses to that request; the first one counts.
        shown: Set when the browser has got the page about the outcome.

    Raises:
        PortUnavailableError: Another program listens there, or it is not allowed.
    """

    def __init__(self, uri: LoopbackURI, state: str, authorization_url: str = "") -> None:
        self.uri = uri
        self._ticket = f"/{secrets.token_urlsafe(24)}"
        self.entrance: str = f"http://{uri.netloc}{self._ticket}"
        self._authorization_url = authorization_url  # guarded by `_lock`; "" when it was told
        for earlier in tuple(_receivers):
            if earlier.uri.port == uri.port and earlier.is_over:
                earlier.close()
        self.arrived: SimpleQueue[AuthorizationResponse] = SimpleQueue()
        self._state = state
        self._outcome: Future[Page] = Future()
        self._browser_waits = False
        self.shown: threading.Event = threading.Event()
        self._lock = threading.Lock()
        # Both guarded by `_lock`. The connections that have not sent the response, oldest first:
        self._idle: dict[socket.socket, None] = {}
        self._threads: dict[socket.socket, threading.Thread] = {}
        self._ends = float("inf")
        self._sockets = uri.listen()
        self._woken, self._wake = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept, name="atlassian-auth-receiver", daemon=True
        )

    def __enter__(self) -> Self:
        _receivers.add(self)
        atexit.register(self.close)
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, AtlassianAuthError):
            self.close()
            return
        self._outcome.set_result(SIGNED_IN if error is None else page_of(error))
        self._end(time.monotonic() + LINGER)
        if self._browser_waits:  # the program may be about to exit
            self.shown.wait(DELIVERY)

    def close(self) -> None:
        """The port is free and no thread is left. May be called again."""
        self._outcome.cancel()
        self._end(0.0)
        self._acceptor.join()

    def abandon(self) -> None:
        """For a forked child, which has the sockets but not the threads: closes the sockets."""
        atexit.unregister(self.close)
        for each in (*self._sockets, self._woken, self._wake, *self._threads):
            each.close()

    @property
    def is_over(self) -> bool:
        """Whether the login has an outcome, so that only the page about it is served."""
        return self._outcome.done()

    def _end(self, instant: float) -> None:
        self._ends = instant
        with suppress(OSError):  # the acceptor has ended already
            self._wake.send(b"x")

    # --- on the threads of the receiver -----------------------------------------------------------

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*self._sockets, self._woken):
                selector.register(each, selectors.EVENT_READ)
            while (left := self._ends - time.monotonic()) > 0:
                for key, _ in selector.select(None if left == float("inf") else left):
                    ready = cast("socket.socket", key.fileobj)
                    if ready is self._woken:
                        ready.recv(1)
                    else:
                        with suppress(OSError):  # the connection has ended already
                            self._serve_in_thread(*ready.accept())
        for each in (*self._sockets, self._woken, self._wake):
            each.close()
        with self._lock:
            threads = dict(self._threads)
        for connection, thread in threads.items():
            _shut(connection)
            thread.join()
        _receivers.discard(self)
        atexit.unregister(self.close)

    def _serve_in_thread(self, connection: socket.socket, address: Any) -> None:
        thread = threading.Thread(
            target=self._serve,
            args=(connection, address),
            name="atlassian-auth-receiver-connection",
            daemon=True,
        )
        with self._lock:
            try:
                thread.start()
            except RuntimeError:  # no more threads can be started
                connection.close()
                return
            self._threads[connection] = thread
            self._idle[connection] = None
            if len(self._idle) > MOST_CONNECTIONS:
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                _shut(oldest)

    def _serve(self, connection: socket.socket, address: Any) -> None:
        # CancelledError: the login was broken off while the browser waited for its outcome.
        with connection, suppress(OSError, CancelledError):
            _Connection(connection, address, cast("Any", self))
        with self._lock:
            self._threads.pop(connection, None)
            self._idle.pop(connection, None)

    def is_entrance(self, connection: socket.socket, path: str) -> bool:
        """Whether it is the path of the entrance, asked for by this user."""
        is_ticket = secrets.compare_digest(path.encode(), self._ticket.encode())
        return is_ticket and is_of_this_user(connection)

    def take_authorization_url(self) -> str:
        """The authorization URL, for one browser; "" for every later one."""
        with self._lock:
            url, self._authorization_url = self._authorization_url, ""
        return "" if self.is_over else url

    def accept_response(self, connection: socket.socket, target: str) -> bool:
        """Whether the target holds the response; if so, returns after the end of the login."""
        try:
            response = AuthorizationResponse.parse(target)
        except AuthorizationError:
            return False
        if not response.answers(self._state):
            return False
        with self._lock:
            self._idle.pop(connection, None)
        self._browser_waits = True
        self.arrived.put(response)
        self._outcome.result()
        return True

    def page(self) -> Page | None:
        """What to show at the clean address, once there is an outcome."""
        if not self.is_over:
            return None
        page = self._outcome.result()
        return ALREADY if page is SIGNED_IN and self.shown.is_set() else page


class _Connection(BaseHTTPRequestHandler):
    """Answers one request; HTTP/1.0, so that a connection ends with it."""

    timeout = SILENCE

    def do_GET(self) -> None:
        """The answer to the redirect, the page about its outcome, or a refusal."""
        if self.request_version == "HTTP/0.9":  # without headers; no browser sends it
            self.send_error(400)
            return
        receiver = cast("Receiver", self.server)
        path, _, query = self.path.partition("?")
        hosts = self.headers.get_all("Host", [])
        if receiver.uri.is_at(hosts) and receiver.is_entrance(self.connection, path):
            self._enter(receiver.take_authorization_url())
        elif not receiver.uri.is_asked_for(hosts, path):
            self.send_error(404)
        elif receiver.accept_response(self.connection, self.path):
            self._send(303, b"", Location=receiver.uri.clean)
        elif not query and (page := receiver.page()):
            self._send(200, page.html(receiver.uri.netloc))
            receiver.shown.set()
        else:
            self.send_error(400)

    def _enter(self, authorization_url: str) -> None:
        if authorization_url:
            self._send(303, b"", Location=authorization_url)
        else:
            self._send(410, OPENED_BEFORE.html(cast("Receiver", self.server).uri.netloc))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse, without repeating anything of the request."""
        uri = cast("Receiver", self.server).uri
        self._send(code, b"" if self.command == "HEAD" else NOT_HERE.html(uri.netloc))

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in (HEADERS | headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: a request may hold a code."""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _after_fork_in_child() -> None:
    for receiver in tuple(_receivers):
        receiver.abandon()
    _receivers.clear()


after_fork(_after_fork_in_child)
