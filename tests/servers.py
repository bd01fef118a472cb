"""Servers of a few lines: for broken and endless answers, for TLS, and as a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from atlassian_auth_adapter.transport import Answer, NoAnswerError, Transport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#: A host whose name is known to tests that use the fixture `names`.
HOST = "server.test"


@contextlib.contextmanager
def raw_server(
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


def read_request(connection: socket.socket) -> bytes:
    """Reads one whole request, of those that `post` sends."""
    read = b""
    while b"\r\n\r\n" not in read or (read.startswith(b"POST") and not read.endswith(b"s3cr3t")):
        if not (more := connection.recv(65536)):
            break
        read += more
    return read


def replying(reply: bytes) -> Callable[[socket.socket], None]:
    """Reads the request and sends these bytes."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(reply)

    return serve


def reset(connection: socket.socket) -> None:
    """The connection will end with a reset when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def dead_port() -> int:
    """A port at which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def post(port: int, scheme: str = "http", host: str = "127.0.0.1", **settings: Any) -> Answer:
    """The answer to a request with a secret."""
    transport = Transport(**{"proxy": False, **settings})
    return transport.send(
        "POST",
        f"{scheme}://{host}:{port}/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body="secret=s3cr3t",
    )


def failure_of(
    serve: Callable[[socket.socket], object],
    context: ssl.SSLContext | None = None,
    *,
    match: str | None = None,
    **settings: Any,
) -> NoAnswerError:
    """The error of a request to a server like this; https if there is a TLS context."""
    with raw_server(serve, context) as port, pytest.raises(NoAnswerError, match=match) as caught:
        post(port, "https" if context else "http", **settings)
    return caught.value


@dataclass(frozen=True)
class Pki:
    """A certificate authority with its files."""

    authority: trustme.CA
    bundle: str
    client_pem: str
    client_pair: tuple[str, str]

    @classmethod
    def within(cls, folder: Path) -> Pki:
        """A new one, with a client certificate."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        client = authority.issue_cert("program@company.com")
        client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
        client.cert_chain_pems[0].write_to_path(folder / "client.crt")
        client.private_key_pem.write_to_path(folder / "client.key")
        return cls(
            authority,
            str(folder / "ca.pem"),
            str(folder / "client.pem"),
            (str(folder / "client.crt"), str(folder / "client.key")),
        )

    def server_context(self, *, client_certificates: bool = False) -> ssl.SSLContext:
        """For a server at this machine or at `HOST`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost", HOST).configure_cert(context)
        if client_certificates:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass
class ForwardProxy:
    """A real forward proxy that records: absolute-form requests and CONNECT tunnels.

    Attributes:
        refuse: What it answers instead.
        seen: The request lines, but for their versions.
        heads: The requests.
        url: Of the proxy.
    """

    refuse: bytes = b""
    seen: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, client: socket.socket) -> None:
        """One connection. Every host is this machine."""
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
        port = target.removeprefix("http://").partition("/")[0].rpartition(":")[2]
        with socket.create_connection(("127.0.0.1", int(port)), 10) as upstream:
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
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
