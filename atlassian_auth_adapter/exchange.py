"""One HTTP exchange by requests: whether the request was sent, and how the exchange failed.

The connection reports here when it begins, when its socket is open, and when the request can be
written to it: name resolution, proxy and TLS handshake are over then. Whatever fails before that
moment has not been sent; what fails afterwards may have been.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader
from urllib3.exceptions import HTTPError, InvalidHeader as InvalidAnswerHeader

from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.threads import rest

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.connection import HTTPConnection as Connection
else:
    Connection = object

__all__ = ["Progress", "cause_of", "is_before_the_request", "is_of_answer", "session", "text_of"]

#: Longest text of a failure, characters.
LONGEST_TEXT = 200


class Progress:
    """How far one exchange has come. The thread that waits for it may end it at any time.

    Attributes:
        sent: Whether the server may have seen the request; None as long as nothing has connected.
    """

    def __init__(self) -> None:
        self.sent: bool | None = None
        self._is_over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def connecting(self) -> None:
        """The request cannot be sent before there is a connection."""
        self._go_on(sent=False)

    def opened(self, opened: socket.socket) -> None:
        """The socket of the connection; TLS will take it over, so a duplicate is kept."""
        with self._lock:
            if not self._is_over:
                self._sockets.append(opened.dup())

    def connected(self) -> None:
        """From now on the request may be written."""
        self._go_on(sent=True)

    def end(self) -> None:
        """Shut the connection down; a request that was not sent by now never will be."""
        with self._lock:
            self._is_over = True
            for opened in self._sockets:
                with suppress(OSError), opened:
                    opened.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def _go_on(self, *, sent: bool) -> None:
        with self._lock:
            if self._is_over:
                raise TimeoutError("the time of this exchange is over")
            self.sent = sent


class _Watched(Connection):
    """A connection of urllib3, of whichever kind, that reports its progress."""

    def __init__(self, *arguments: Any, progress: Progress, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.progress = progress

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        self.progress.opened(opened)
        return opened

    def _tunnel(self) -> None:
        super()._tunnel()
        self.progress.connecting()  # a connection that was shut down looks like the end of headers

    def connect(self) -> None:
        self.progress.connecting()
        super().connect()  # through the proxy and the TLS handshake
        if isinstance(self.sock, ssl.SSLSocket) and not self.sock.version():
            # Python makes no handshake with a connection that was reset before it.
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self.progress.connected()


class _WatchedAdapter(HTTPAdapter):
    """Sends one request by connections that report their progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        super().__init__()

    def send(self, *arguments: Any, **named: Any) -> requests.Response:
        """As requests does, after a rest: the request took a millisecond to prepare."""
        rest()
        return super().send(*arguments, **named)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """As requests does, with connections that report."""
        super().init_poolmanager(*arguments, **named)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: Any) -> PoolManager:
        """As requests does, with connections that report."""
        manager: PoolManager = super().proxy_manager_for(proxy, **named)
        self._watch(manager)
        return manager

    def _watch(self, manager: PoolManager) -> None:
        pools: dict[str, Any] = dict(manager.pool_classes_by_scheme)
        for scheme, pool in pools.items():  # a pool hands what it does not know to its connections
            watched = _watched(pool, pool.ConnectionCls)
            pools[scheme] = partial(watched, progress=self._progress)
        manager.pool_classes_by_scheme = pools


@lru_cache(maxsize=16)
def _watched(pool: Any, connection: Any) -> Any:
    """A class of connection pools like this one, whose connections report their progress.

    Kept, since making a class takes time from all threads, and only the garbage collector frees it.
    """
    watched = type("WatchedConnection", (_Watched, connection), {})
    return type("WatchedPool", (pool,), {"ConnectionCls": watched})


class _Session(requests.Session):
    """A session that does not look where a redirect leads.

    Sessions of requests do, although they do not follow it: they read its whole body before, and
    fail if its URL is malformed.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None."""


def session(progress: Progress) -> requests.Session:
    """A session for one request, which reports its progress; after a rest."""
    made = _Session()
    adapter = _WatchedAdapter(progress)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    rest()
    return made


def is_before_the_request(error: Exception) -> bool:
    """Whether the server has refused our certificate, which it looks at before the request.

    With TLS 1.3 that is told after the request was written. Source: RFC 8446 section 6.2.
    """
    reason = getattr(_os_error_of(error), "reason", None) or ""
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def is_of_answer(error: Exception) -> bool:
    """Whether it was raised for a header of the answer, such as two lengths."""
    return any(isinstance(each, InvalidAnswerHeader) for each in _behind(error))


def cause_of(error: Exception) -> Exception:
    """A copy of an error of requests, and behind it the error of the operating system.

    Without the request, the answer and the frames, which hold secrets.
    """
    copy = type(error)(text_of(error))
    if reason := _os_error_of(error):
        reason.__cause__ = reason.__context__ = None
        if reason.errno is None:  # a text of another program, such as a proxy
            reason.args = (printable(str(reason)),)
        copy.__cause__ = reason.with_traceback(None)
    return copy


def _os_error_of(error: BaseException) -> OSError | None:
    """The error of the operating system, or of TLS, behind an error of requests."""
    for each in _behind(error):
        if isinstance(each, OSError) and not isinstance(each, requests.RequestException):
            return each
    return None


def text_of(error: Exception) -> str:
    """A short text of the failure.

    urllib3's own texts may hold the URL, the password of the proxy, headers, and parts of a broken
    answer, so only the texts of the operating system are shown.
    """
    if reason := _os_error_of(error):
        text = f"{type(reason).__name__}: {reason}"
    else:
        inner = error.args[0] if error.args else None
        is_harmless = isinstance(error, OSError) and not isinstance(error, InvalidHeader)
        if isinstance(inner, str) and is_harmless:
            text = inner
        else:
            text = type(inner if isinstance(inner, Exception) else error).__name__
    return printable(text, LONGEST_TEXT)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it stands for, the nearest first."""
    found = [error]
    for each in found:
        yield each
        inner = [*each.args, getattr(each, "reason", None), each.__cause__]
        if isinstance(each, requests.RequestException | HTTPError):  # raised for what they handle
            inner.append(each.__context__)
        found += [e for e in inner if isinstance(e, BaseException) and e not in found]
