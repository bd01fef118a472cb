"""Requests and responses as values, and a small threaded HTTP/1.1 server.

One thread accepts for all listening sockets, one daemon thread serves each connection. Bodies are
read completely before anything is answered, so that an early refusal of a big upload leaves the
connection usable; above a megabyte they are in a temporary file. Nothing here knows Atlassian.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import json
import selectors
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import IO, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

MEMORY_LIMIT = 1 << 20  # bytes of a body that may stay in memory
CHUNK = 1 << 16  # bytes read or written at a time
BACKLOG = 1024  # connections the kernel may queue: tests open 500 at once
DRAIN_SECONDS = 2.0  # how long close() waits for threads that still finish an answer


class Body:
    """A request body that was received completely; above 1 MiB it is in a temporary file.

    Not shared between threads, except when it is kept (see `keep`): then `slice` takes a lock.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._file = cast(
            "IO[bytes]",
            tempfile.SpooledTemporaryFile(max_size=MEMORY_LIMIT),  # noqa: SIM115
        )
        self._lock = threading.Lock()
        self._kept = False
        digest = hashlib.sha256()
        self.length: int = 0
        try:
            for chunk in chunks:
                self._file.write(chunk)
                digest.update(chunk)
                self.length += len(chunk)
        except BaseException:
            self._file.close()
            raise
        self.sha256: str = digest.hexdigest()

    def read(self, limit: int = MEMORY_LIMIT) -> bytes:
        """The first `limit` bytes."""
        return b"".join(self.slice(0, min(limit, self.length)))

    def slice(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from `offset` on, `length` of them, in chunks."""
        while length > 0:
            with self._lock:
                self._file.seek(offset)
                chunk = self._file.read(min(CHUNK, length))
            if not chunk:
                return
            offset += len(chunk)
            length -= len(chunk)
            yield chunk

    def keep(self) -> None:
        """The body outlives its request; the caller must close it."""
        self._kept = True

    def close(self, *, force: bool = False) -> None:
        """The temporary file is removed, unless the body is kept."""
        if force or not self._kept:
            self._file.close()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived; header names are lower case.

    `path` is decoded, `target` is the raw path with its query as it stood in the request line.
    """

    method: str
    target: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Body

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def cookie(self, name: str) -> str:
        """The value of a cookie, or an empty string."""
        for part in self.headers.get("cookie", "").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""

    def credentials(self, scheme: str) -> str:
        """What the Authorization header says after a scheme, in any case; "" without it."""
        given, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if given.lower() == scheme else ""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def fields(self) -> list[tuple[str, str]]:
        """The fields of a form body, in order."""
        return parse_qsl(self.body.read().decode("utf-8", "replace"), keep_blank_values=True)

    def form(self) -> dict[str, str]:
        """The fields of a form body; the first of equal names wins."""
        return dict(reversed(self.fields()))

    def json(self) -> Any:
        """The JSON body; None when it is empty or is not JSON."""
        try:
            return json.loads(self.body.read())
        except ValueError:
            return None

    def under(self, prefix: str) -> Request:
        """The same request, with the path below `prefix`."""
        return Request(
            self.method,
            self.target,
            self.path[len(prefix) :] or "/",
            self.query,
            self.headers,
            self.body,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back. `status` 0 means: nothing is sent, the connection is closed.

    `stream` replaces `body` for long answers: (length in bytes, chunks). `cut` closes the
    connection after half the body. `drip` spreads the body over that many seconds. `outcome` is the
    word of the token endpoint for the log and is not sent.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stream: tuple[int, Iterator[bytes]] | None = None
    cut: bool = False
    drip: float = 0.0
    outcome: str = ""


Answer = Callable[[Request], Response]


def json_response(
    status: int, value: Any, headers: Mapping[str, str] | None = None, outcome: str = ""
) -> Response:
    """A JSON answer."""
    body = json.dumps(value, separators=(",", ":")).encode()
    merged = {"Content-Type": "application/json;charset=UTF-8", **(headers or {})}
    return Response(status, body, merged, outcome=outcome)


def html_response(status: int, page: str, headers: Mapping[str, str] | None = None) -> Response:
    """An HTML page."""
    merged = {"Content-Type": "text/html; charset=utf-8", **(headers or {})}
    return Response(status, page.encode(), merged)


def redirect_response(to: str, status: int = 302) -> Response:
    """A redirect without a body."""
    return Response(status, b"", {"Location": to})


class _MalformedError(Exception):
    """The request is not valid HTTP."""


class _Connection(BaseHTTPRequestHandler):
    """One connection: requests in, responses out, each response in one write."""

    protocol_version = "HTTP/1.1"
    server: _Port  # type: ignore[assignment]
    rfile: IO[bytes]  # type: ignore[assignment]

    def handle_one_request(self) -> None:
        """Read one request, answer it, and decide whether the connection stays open."""
        self.close_connection = True
        try:
            self.raw_requestline = self.rfile.readline(CHUNK + 1)
            if not self.raw_requestline.strip() or not self.parse_request():
                return
            body = Body(self._body())
        except (OSError, ValueError, _MalformedError):
            self.close_connection = True
            return
        try:
            response = self.server.answer(self._request(body))
            self._send(response)
        except (OSError, ValueError):
            self.close_connection = True
        finally:
            body.close()

    def _request(self, body: Body) -> Request:
        target = self.path
        if not target.startswith("/"):  # absolute form, RFC 9112 section 3.2.2
            parts = urlsplit(target)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path, _, query = target.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return Request(
            self.command,
            target,
            unquote(path),
            tuple(parse_qsl(query, keep_blank_values=True)),
            MappingProxyType(headers),
            body,
        )

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunked()
        return self._exactly(int(self.headers.get("Content-Length") or 0))

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length > 0:
            chunk = self.rfile.read(min(CHUNK, length))
            if not chunk:
                raise _MalformedError("the connection ended within a body")
            length -= len(chunk)
            yield chunk

    def _chunked(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(CHUNK).partition(b";")[0], 16):
            yield from self._exactly(size)
            self.rfile.readline(CHUNK)
        while self.rfile.readline(CHUNK).strip():
            pass  # trailers

    def _send(self, response: Response) -> None:
        if not response.status:
            self.close_connection = True
            return
        length = response.stream[0] if response.stream else len(response.body)
        head = [f"HTTP/1.1 {response.status} {_reason(response.status)}"]
        head += [f"{name}: {_one_line(value)}" for name, value in response.headers.items()]
        head.append(f"Date: {formatdate(usegmt=True)}")
        if response.status not in (204, 304):
            head.append(f"Content-Length: {length}")
        if response.cut:
            self.close_connection = True
        if self.close_connection:
            head.append("Connection: close")
        start = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        if self.command == "HEAD" or response.status in (204, 304):
            self.wfile.write(start)
        elif response.stream:
            self.wfile.write(start)
            for chunk in response.stream[1]:
                self.wfile.write(chunk)
        elif response.cut:
            self.wfile.write(start + response.body[: len(response.body) // 2])
        elif response.drip:
            self._drip(start, response)
        else:
            self.wfile.write(start + response.body)

    def _drip(self, start: bytes, response: Response) -> None:
        self.wfile.write(start)
        pause = response.drip / max(len(response.body), 1)
        for index in range(len(response.body)):
            time.sleep(pause)
            self.wfile.write(response.body[index : index + 1])

    def log_message(self, *_: object) -> None:
        """Nothing is printed; the log is `log.py`."""


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@dataclass(frozen=True, slots=True)
class _Port:
    """A listening socket, and what answers there."""

    socket: socket.socket
    answer: Answer


class Server:
    """Listening sockets on 127.0.0.1, one accepting thread, a daemon thread per connection.

    `listen` and `close` belong to one thread; everything else runs in threads of its own.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._ports: list[_Port] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="emulator-accept", daemon=True)

    def listen(self, answer: Answer, port: int = 0) -> str:
        """The origin (scheme, host, port) of a new listening socket."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        entry = _Port(listening, answer)
        self._ports.append(entry)
        self._selector.register(listening, selectors.EVENT_READ, entry)
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"

    def start(self) -> None:
        """From now on connections are served."""
        self._thread.start()

    def close(self) -> None:
        """Every port is free and every connection ended; waits at most about two seconds."""
        if self._closing:
            return
        with self._changed:
            self._closing = True
        self._wake.send(b"x")
        if self._thread.ident is not None:
            self._thread.join()
        self._selector.close()
        for each in (self._wake, self._woken, *(port.socket for port in self._ports)):
            each.close()
        with self._changed:
            for connection in self._open:
                _shut(connection)
            self._changed.wait_for(lambda: not self._open, timeout=DRAIN_SECONDS)

    def _accept(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._accept_all(key.data)

    def _accept_all(self, port: _Port) -> None:
        while True:
            try:
                connection, address = port.socket.accept()
            except OSError:
                return
            connection.setblocking(True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                connection = self._ssl_context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._changed:
                self._open.add(connection)
            threading.Thread(
                target=self._serve, args=(connection, address, port), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, address: Any, port: _Port) -> None:
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            _Connection(connection, address, cast("Any", port))
        except (OSError, ValueError):
            pass  # the client went away, or does not speak TLS
        finally:
            _shut(connection)
            connection.close()
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The method of the base class: SSLSocket.shutdown would drop the TLS state under a reader.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
