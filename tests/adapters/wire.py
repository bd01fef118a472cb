"""What requests, httpx, httpx2 and aiohttp really send for crooked URLs and redirects, read byte
by byte.

A server on loopback records raw requests and redirects where it is told to; every host name and
port leads to it. What carries the token is judged by a reading of the bytes that shares no code
with the package: the path as the most careless server would read it.

    python -m tests.adapters.wire --cases 100000 requests httpx httpx2 aiohttp
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary, finalize

import aiohttp
import httpx
import httpx2
import requests
from yarl import URL

from atlassian_auth_adapter import (
    AtlassianAiohttpAuth,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
)
from atlassian_auth_adapter.testing.contracts.world import FixedTokenSource

from .wire_cases import GRANTS, Arrival, Case, Generator

#: aiohttp as it is, and with each URL as it is written: it quotes nothing and resolves nothing.
LIBRARIES = ("requests", "httpx", "httpx2", "aiohttp", "aiohttp, as written")


class RecordingServer:
    """Records what arrives and answers with the redirects that are left, then with 200.

    Every name and port is looked up as this server. It reads and answers in the thread of the
    client, whenever that has sent something, so no thread waits for another.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.redirects: list[tuple[int, bytes]] = []
        self._looked_up: tuple[str, int] = ("", 0)
        self._ends: WeakKeyDictionary[socket.socket, _Connection] = WeakKeyDictionary()

    @contextmanager
    def running(self) -> Iterator[RecordingServer]:
        """Listens, and is what every connection leads to."""
        connect = socket.socket.connect

        def look_up(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
            name = host.decode("latin-1") if isinstance(host, bytes) else str(host)
            self._looked_up = (name, int(port))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

        def connect_here(sock: socket.socket, address: Any) -> None:
            if address != listener.getsockname():  # a number, which was not looked up
                self._looked_up = address[:2]
            timeout = sock.gettimeout()
            sock.settimeout(10)
            connect(sock, listener.getsockname())
            sock.settimeout(timeout)
            end, _ = listener.accept()
            finalize(sock, end.close)
            self._ends[sock] = _Connection(end, self._looked_up)

        def hooked(original: Any) -> Any:
            def send(sock: socket.socket, *arguments: Any) -> Any:
                result = original(sock, *arguments)
                if sock in self._ends:
                    self._serve(self._ends[sock])
                return result

            return send

        def refuse_tls(*_: Any, **__: Any) -> None:
            raise ssl.SSLError("no TLS here")

        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            mock.patch("socket.getaddrinfo", look_up),
            mock.patch("socket.socket.connect", connect_here),
            mock.patch("ssl.SSLContext.wrap_socket", refuse_tls),
            ExitStack() as sending,
        ):
            for name in ("send", "sendall", "sendmsg"):
                method = f"socket.socket.{name}"
                sending.enter_context(mock.patch(method, hooked(getattr(socket.socket, name))))
            yield self

    def _serve(self, connection: _Connection) -> None:
        connection.received += connection.end.recv(1 << 20, socket.MSG_DONTWAIT)
        head, is_whole, rest = connection.received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        needed = int(length[1]) if length else 0
        if is_whole and len(rest) >= needed:
            raw = head + is_whole + rest[:needed]
            connection.received = rest[needed:]
            self.arrivals.append(Arrival(raw, connection.looked_up))
            connection.end.sendall(self._answer())

    def _answer(self) -> bytes:
        if not self.redirects:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        status, location = self.redirects.pop(0)
        return b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % (status, location)


@dataclass(slots=True)
class _Connection:
    end: socket.socket
    looked_up: tuple[str, int]
    received: bytes = b""


# --- how it is sent -----------------------------------------------------------------------------


@contextmanager
def _requests() -> Iterator[Callable[[Case], object]]:
    auths = {
        (grant, foreign): AtlassianAuth(FixedTokenSource(grant.server), foreign=foreign)  # type: ignore[arg-type]
        for grant in GRANTS
        for foreign in ("bare", "raise")
    }

    def send(case: Case) -> object:
        body = b"x" if case.method == "POST" else None
        auth = auths[case.grant, case.foreign]
        return session.request(case.method, case.url, data=body, auth=auth, timeout=10)

    with requests.Session() as session:
        session.trust_env = False
        yield send


@contextmanager
def _httpx(library: Any, auth_class: Any) -> Iterator[Callable[[Case], object]]:
    auths = {
        (grant, foreign): auth_class(FixedTokenSource(grant.server), foreign=foreign)
        for grant in GRANTS
        for foreign in ("bare", "raise")
    }

    def send(case: Case) -> object:
        body = b"x" if case.method == "POST" else None
        auth = auths[case.grant, case.foreign]
        return client.request(case.method, case.url, content=body, auth=auth)

    limits = library.Limits(max_keepalive_connections=4)  # the pool looks through all of them
    with library.Client(
        trust_env=False, follow_redirects=True, timeout=10, limits=limits
    ) as client:
        yield send


@contextmanager
def _aiohttp(*, as_written: bool) -> Iterator[Callable[[Case], object]]:
    middlewares = {
        (grant, foreign): (AtlassianAiohttpAuth(FixedTokenSource(grant.server), foreign=foreign),)  # type: ignore[arg-type]
        for grant in GRANTS
        for foreign in ("bare", "raise")
    }

    async def opened() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            socket_factory=lambda _: socket.socket(), use_dns_cache=False
        )
        return aiohttp.ClientSession(
            connector=connector, requote_redirect_url=not as_written, timeout=timeout
        )

    async def answered(case: Case) -> None:
        url = URL(case.url, encoded=True) if as_written else case.url
        body = b"x" if case.method == "POST" else None
        chosen = middlewares[case.grant, case.foreign]
        async with session.request(case.method, url, data=body, middlewares=chosen):
            pass

    create = asyncio.BaseEventLoop._create_connection_transport  # type: ignore[attr-defined]

    async def refuse_tls(
        loop: Any, sock: Any, factory: Any, tls: Any, *rest: Any, **how: Any
    ) -> Any:
        if tls:
            sock.close()
            raise ssl.SSLError("no TLS here")
        return await create(loop, sock, factory, tls, *rest, **how)

    timeout = aiohttp.ClientTimeout(10)
    with (
        mock.patch("asyncio.BaseEventLoop._create_connection_transport", refuse_tls),
        asyncio.Runner() as runner,
    ):
        session = runner.run(opened())
        try:
            yield lambda case: runner.run(answered(case))
        finally:
            runner.run(session.close())


def sender(library: str) -> AbstractContextManager[Callable[[Case], object]]:
    """Sends cases through one client of that library, which keeps its connections."""
    if library == "requests":
        return _requests()
    if library == "httpx":
        return _httpx(httpx, AtlassianHTTPXAuth)
    if library.startswith("aiohttp"):
        return _aiohttp(as_written=library != "aiohttp")
    return _httpx(httpx2, AtlassianHTTPX2Auth)


# --- the verdict --------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What was seen of many cases."""

    cases: int = 0
    arrived: int = 0
    with_token: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.cases:,} cases, {self.arrived:,} requests arrived, {self.with_token:,} with "
            f"the token, {sum(self.errors.values()):,} errors, {len(self.violations)} violations"
        )


def run(library: str, cases: int, seed: int) -> Outcome:
    """Send that many cases and judge what arrives."""
    outcome = Outcome()
    generator = Generator(seed)
    with RecordingServer().running() as server, sender(library) as send:
        for _ in range(cases):
            case = generator.case()
            server.arrivals.clear()
            server.redirects[:] = case.redirects
            error = ""
            try:
                send(case)
            except (
                *(requests.RequestException, httpx.RequestError, httpx.InvalidURL),
                *(httpx2.RequestError, httpx2.InvalidURL, aiohttp.ClientError, ValueError, OSError),
                *(IndexError, AssertionError),  # yarl for "//]", aiohttp for a URL without a scheme
            ) as raised:
                error = type(raised).__name__
                outcome.errors[error] += 1
            outcome.cases += 1
            outcome.arrived += len(server.arrivals)
            outcome.with_token += sum(arrival.has_token for arrival in server.arrivals)
            for fault in faults(case, server.arrivals):
                outcome.violations.append(f"{library}: {fault}: {case} {error} {server.arrivals}")
    return outcome


def faults(case: Case, arrivals: list[Arrival]) -> Iterator[str]:
    """What is wrong with what arrived."""
    on_the_way = True  # every request so far was inside and carried the token
    for arrival in arrivals:
        if arrival.has_token and not case.grant.is_inside(arrival):
            yield f"the token left the grant, to {arrival.looked_up} {arrival.target!r}"
        places = (case.grant, *case.grant.rewritten)
        is_known = any(place.is_inside(arrival) for place in places)
        if case.foreign == "raise" and not is_known:
            yield f"sent outside of the grant, to {arrival.looked_up} {arrival.target!r}"
        is_plain = case.grant.is_plainly_inside(arrival) and not _has_odd_authority(case)
        if on_the_way and is_plain and not arrival.has_token:
            yield f"no token at {arrival.target!r}"
        on_the_way = on_the_way and arrival.has_token


def _has_odd_authority(case: Case) -> bool:
    """Whether a URL may have a user name, or anything else before the brackets of an address, which
    some libraries drop: it gets no token, and nothing that arrives shows why.
    """
    urls = (case.url.encode(), *(location for _, location in case.redirects))
    return any(re.search(rb"@|//[^/?#]*[^/?#]\[", url) for url in urls)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", default=LIBRARIES)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = False
    for library in arguments.libraries:
        began = time.perf_counter()
        outcome = run(library, arguments.cases, arguments.seed)
        print(f"{library}: {outcome} ({time.perf_counter() - began:.0f} s)", flush=True)
        print("   ", dict(outcome.errors.most_common()))
        for violation in outcome.violations[:20]:
            print("   ", violation[:1500])
        failed = failed or bool(outcome.violations)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
