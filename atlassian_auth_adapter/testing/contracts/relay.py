"""Relay: a TCP connection that a test can cut and restore."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

__all__ = ["Relay"]


class Relay:
    """Listens on a port of its own and passes everything on to another address.

    A store that has the relay's address in place of its server's can be cut off from the server at
    any moment, and be connected again, while other stores go on.

    Args:
        host: Where the server is.
        port: Its port.

    Attributes:
        port: Where the relay listens, on 127.0.0.1.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def cut(self) -> None:
        """Every connection is broken, and no new one can be made."""
        with self._lock:
            self._is_cut = True
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _end(end)

    def mend(self) -> None:
        """Connections can be made again; the broken ones stay broken."""
        with self._lock:
            self._is_cut = False

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Cut within the context."""
        self.cut()
        try:
            yield
        finally:
            self.mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        _end(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = None if self._is_cut else _connected(self._target)
            if far is None:
                _end(near)
                continue
            with self._lock:
                self._pairs.append((near, far))
                is_cut = self._is_cut
            if is_cut:
                self.cut()
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=_pass_on, args=(source, sink), name="relay", daemon=True
                ).start()


def _connected(target: tuple[str, int]) -> socket.socket | None:
    try:
        connection = socket.create_connection(target, 10)
    except OSError:
        return None
    connection.settimeout(None)
    return connection


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
