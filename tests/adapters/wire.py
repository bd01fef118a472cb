"""What requests, httpx and httpx2 really send for crooked URLs and redirects, read byte by byte.

A server on loopback records raw requests and redirects where it is told to; every host name and
port leads to it. What carries the token is judged by a reading of the bytes that shares no code
with the package: the path as the most careless server would read it.

    PYTHONPATH=. python tests/adapters/wire.py --cases 100000 requests httpx httpx2
"""

from __future__ import annotations

import argparse
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import httpx
import httpx2
import requests

from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth
from atlassian_auth_adapter.atlassian.gateway import CloudGateway, OneServer, ResourceServer
from atlassian_auth_adapter.testing.contracts.world import BEARER, CLOUD_ID, FixedTokenSource

LIBRARIES = ("requests", "httpx", "httpx2")
TOKEN = BEARER.encode()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it came: its bytes, and the host and port that the client has looked up."""

    raw: bytes
    looked_up: tuple[str, int]

    @property
    def has_token(self) -> bool:
        """Whether the token is anywhere in it."""
        return TOKEN in self.raw

    @property
    def target(self) -> bytes:
        """What stands in the request line, between method and version."""
        return self.raw.partition(b"\r\n")[0].partition(b" ")[2].rpartition(b" ")[0]

    @property
    def hosts(self) -> list[bytes]:
        """Every Host header."""
        return re.findall(rb"\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", self.raw, re.IGNORECASE)


class RecordingServer:
    """Records what arrives and answers with the redirects that are left, then with 200.

    One client at a time. Every name is looked up as this server.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.redirects: list[tuple[int, bytes]] = []
        self._looked_up: tuple[str, int] = ("", 0)
        self._origins: dict[int, tuple[str, int]] = {}  # by the port of the client
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._address = self._listener.getsockname()

    @contextmanager
    def running(self) -> Iterator[RecordingServer]:
        """Listens, and is what every connection leads to."""
        threading.Thread(target=self._accept, daemon=True).start()
        connect = socket.socket.connect

        def look_up(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
            name = host.decode("latin-1") if isinstance(host, bytes) else str(host)
            self._looked_up = (name, int(port))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", self._address)]

        def connect_here(sock: socket.socket, address: Any) -> None:
            sock.bind(("127.0.0.1", 0))
            self._origins[sock.getsockname()[1]] = self._looked_up
            connect(sock, address)

        with (
            mock.patch("socket.getaddrinfo", look_up),
            mock.patch("socket.socket.connect", connect_here),
        ):
            yield self
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, (_, port) = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection, port), daemon=True).start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        received = b""
        with connection:
            while True:
                head, end, rest = received.partition(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                needed = int(length[1]) if length else 0
                if not end or len(rest) < needed:
                    try:
                        chunk = connection.recv(65536)
                    except OSError:
                        return
                    received += chunk
                    if not chunk or received[:1] == b"\x16":  # the beginning of TLS
                        return
                    continue
                received = rest[needed:]
                self.arrivals.append(Arrival(head + end + rest[:needed], self._origins[port]))
                connection.sendall(self._answer())

    def _answer(self) -> bytes:
        if not self.redirects:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        status, location = self.redirects.pop(0)
        return b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % (status, location)


# --- what is inside -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """A place for the token.

    Attributes:
        server: As the package knows it.
        host, port: Of its origin.
        prefixes: Paths, as lists of segments; the token goes there and below.
        exact: Paths without anything below.
        origins: Other origins that the generator uses: the site's.
    """

    server: ResourceServer
    host: str
    port: int
    prefixes: tuple[tuple[bytes, ...], ...]
    exact: tuple[bytes, ...] = ()
    origins: tuple[str, ...] = ()

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        return self.host + ("" if self.port == 80 else f":{self.port}")

    def is_inside(self, arrival: Arrival) -> bool:
        """Whether the most careless server reads it as a request to this place, in every way."""
        wanted = f"[{self.host}]" if ":" in self.host else self.host
        if arrival.looked_up != (self.host, self.port):
            return False
        names = {wanted.encode(), b"%b:%d" % (wanted.encode(), self.port)}
        if len(arrival.hosts) != 1 or arrival.hosts[0].lower() not in names:
            return False
        return all(self._holds(path) for path in readings(arrival.target))

    def is_plainly_inside(self, arrival: Arrival) -> bool:
        """The same, and nothing about its path is unusual."""
        path = arrival.target.partition(b"?")[0]
        return bool(re.fullmatch(rb"(/[A-Za-z0-9_-]+)+/?", path)) and self.is_inside(arrival)

    def _holds(self, path: bytes) -> bool:
        if path.rstrip(b"/") in self.exact:
            return True
        parts = tuple(part for part in path.split(b"/") if part)
        return path.startswith(b"/") and any(
            parts[: len(prefix)] == prefix for prefix in self.prefixes
        )


def readings(target: bytes) -> set[bytes]:
    """Every path that a server could take the target for: decoded up to three times, with
    backslashes as slashes, without parameters, ended at NUL, without control characters, and with
    its dot segments resolved.
    """
    path = re.split(rb"[?#]", target, maxsplit=1)[0]
    found = set()
    for _ in range(4):
        for text in (path, path.partition(b"\0")[0], re.sub(rb"[\x00-\x1f\x7f]", b"", path)):
            found.add(_resolved(text))
        path = re.sub(rb"%([0-9a-fA-F]{2})", lambda code: bytes([int(code[1], 16)]), path)
    return found


def _resolved(path: bytes) -> bytes:
    resolved: list[bytes] = []
    for segment in path.replace(b"\\", b"/").split(b"/"):
        name = segment.partition(b";")[0].strip()
        if name == b"..":
            del resolved[-1:]
        elif name not in (b"", b"."):
            resolved.append(name)
    return b"/" + b"/".join(resolved) if path[:1] in (b"/", b"\\") else path


def data_center(host: str, port: int, context_path: str) -> Grant:
    """A server below a context path."""
    authority = f"[{host}]" if ":" in host else host
    url = f"http://{authority}" + ("" if port == 80 else f":{port}") + context_path
    prefix = tuple(part.encode() for part in context_path.split("/") if part)
    return Grant(OneServer(url), host, port, (prefix,))


def cloud() -> Grant:
    """The gateway, and a site at another port."""
    api, site = "http://127.0.0.1:7990", "http://localhost:7991"
    server = CloudGateway(api, CLOUD_ID, site_url=site)
    products = (b"jira", b"confluence", b"other", b"x")
    prefixes = tuple((b"ex", product, CLOUD_ID.encode()) for product in products)
    exact = (b"/me", b"/oauth/token/accessible-resources")
    return Grant(server, "127.0.0.1", 7990, prefixes, exact, ("localhost:7991",))


GRANTS = (
    data_center("127.0.0.1", 7990, "/jira"),
    data_center("localhost", 80, "/jira"),
    data_center("127.0.0.1", 8080, "/a/jira"),
    data_center("::1", 7990, "/jira"),
    data_center("127.0.0.1", 7990, ""),
    cloud(),
)

# --- what is asked for --------------------------------------------------------------------------

_SCHEMES = (
    *(
        "http://",
        "http:",
        "http:/",
        "http:///",
        "HTTP://",
        "https://",
        "https:",
        "//",
        "///",
        "////",
    ),
    *("", "/", "/\\", "\\\\", "\\/", "http:\\\\", "http:/\\", "hTTp:////", "ftp://", "javascript:"),
    *(" http://", "\thttp://", "ht\ttp://", ":", "://", "http://http://", "HTTP:"),
)
_FOREIGN = (
    *(
        "evil.example",
        "127.0.0.1:1",
        "localhost:1",
        "127.0.0.1.evil.example",
        "b\u00fccher.example",
    ),
    *("127.1:7990", "0x7f.1:7990", "2130706433:7990", "0177.0.0.1:7990", "[::1]:7990", "[::1]"),
    *(
        "[::ffff:127.0.0.1]:7990",
        "[::1%25lo]:7990",
        "[fe80::1%lo]",
        "127.0.0.1:65536",
        "xn--a.example",
    ),
    *("\uff11\uff12\uff17.0.0.1:7990", "127\u30020\u30020\u30021:7990", "LOCALHOST", "localhost."),
    *("127.0.0.1.:7990", "127.0.0.1:07990", "127.0.0.1:80", "[v1.x]", "127.0.0.1:7990:80", ""),
)
_AROUND = (
    *("{0}", "{0}", "{0}", "{0}.", "{0}:", "user:pw@{0}", "user@{0}", "@{0}", "{0}@{1}", "{1}@{0}"),
    *("{0}\\@{1}", "{1}\\@{0}", "{0}#@{1}", "{0}?@{1}", "{1}#@{0}", "{0}%00", "{0}%2f", "{0}\\"),
    *(
        "{0}%40{1}",
        "{0};{1}",
        "{0}\t",
        "{0} ",
        "{0}%20",
        "{0}/@{1}",
        "{0}%23",
        "{0}\u2100",
        "{0},{1}",
    ),
)
_SEGMENTS = (
    *("jira", "other-app", "rest", "api", "x", "a", "..", ".", "%2e%2e", "%2E.", ".%2e", "%2e"),
    *("%252e%252e", "%25252e%25252e", "%2525252e%2525252e", "..;", "..;a=b", "..;/", "%2e%2e;"),
    *(
        "..%2f",
        "%2f..",
        "%2f",
        "%252f",
        "%2F..%2F",
        "..\\",
        "\\",
        "\\..\\",
        "%5c",
        "%5c..",
        "..%5c",
    ),
    *(
        "..%255c",
        "..%25255c",
        "..%09",
        "%09..",
        "..\t",
        ".\t.",
        "..%00",
        "%00",
        "..%20",
        " ..",
        ".. ",
    ),
    *(
        "..%0a",
        "..%0d",
        "%u002e%u002e",
        "",
        "",
        "jira;x",
        "jira%2f..",
        "jira%20",
        "Jira",
        "...",
        "a..b",
    ),
    *(
        "\u00e9",
        "%c3%a9",
        "%e9",
        "%",
        "%2",
        "%zz",
        "%2%65%2%65",
        "%%32e%%32e",
        "[",
        "|",
        "\x7f",
        "\x0b",
    ),
    *("me", "ex", "secure", "attachment", "10001", "wiki", CLOUD_ID, "99999999-2222", "x" * 3000),
)
_ENDS = (
    *("", "", "", "?a=b", "?a=%20b&c", "?/../x", "#f", "#/../../x", "?", "#", "?x#y", ";", ";x=y"),
)
_INSERTED = "\\/.%@:#?; \t\x0b\x7f\u2024\uff0e\uff0f\u00ad\u200d[]0"


class Generator:
    """Crooked URLs and redirects for a grant; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def case(self) -> Case:
        """The next one."""
        choose = self._random.choice
        grant = choose(GRANTS)
        redirects = [
            (choose((301, 302, 303, 307, 308)), self._location(grant))
            for _ in range(choose((0, 1, 1, 1, 1, 2, 3)))
        ]
        url = self._inside(grant) if redirects else self._url(grant)
        method = choose(("GET", "GET", "POST", "HEAD", "DELETE"))
        return Case(grant, method, url, tuple(redirects), choose(("bare", "bare", "raise")))

    def _inside(self, grant: Grant) -> str:
        base: str = grant.server.base_url
        site = [f"http://{origin}" for origin in grant.origins]
        return self._random.choice([base, base, *site]) + self._random.choice(
            ("/rest/x", "/rest/api/2/issue/A-1", "/rest/x?a=b", "/rest/x#f", "/rest/a/b/c/d")
        )

    def _location(self, grant: Grant) -> bytes:
        text = self._url(grant, relative=self._random.random() < 0.5)
        return re.sub(rb"[\r\n\x00]", b"", text.encode())

    def _url(self, grant: Grant, *, relative: bool = False) -> str:
        choose, chance = self._random.choice, self._random.random
        base: str = grant.server.base_url
        path = self._path(grant)
        if relative:
            url = choose(("", "/", "./", "../", "../../", "//", "http:", "http:/", "?", "\\", ";"))
            url += path.removeprefix(choose(("", "/")))
        elif chance() < 0.4:
            origin = base.removeprefix("http://").partition("/")[0]
            url = f"http://{origin}{path}"
        else:
            own = choose((grant.authority, *grant.origins, "127.0.0.1:7990"))
            around = choose(_AROUND).format(own, choose(_FOREIGN))
            authority = choose((around, around, choose(_FOREIGN)))
            url = choose(_SCHEMES) + authority + path
        url += choose(_ENDS)
        while chance() < 0.15:
            at = self._random.randrange(len(url) + 1)
            url = url[:at] + choose(_INSERTED) + url[at:]
        if chance() < 0.05:
            url = url.swapcase()
        return url

    def _path(self, grant: Grant) -> str:
        choose = self._random.choice
        prefix = choose(("", "/", *2 * (self._prefix(grant),)))
        count = choose((0, 1, 1, 2, 3, 5))
        return prefix + "".join(choose("////\\") + choose(_SEGMENTS) for _ in range(count))

    def _prefix(self, grant: Grant) -> str:
        prefix = self._random.choice(grant.prefixes)
        return "".join(f"/{part.decode()}" for part in prefix)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the redirects that it meets."""

    grant: Grant
    method: str
    url: str
    redirects: tuple[tuple[int, bytes], ...]
    foreign: str


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

    with library.Client(trust_env=False, follow_redirects=True, timeout=10) as client:
        yield send


def sender(library: str) -> AbstractContextManager[Callable[[Case], object]]:
    """Sends cases through one client of that library, which keeps its connections."""
    if library == "requests":
        return _requests()
    if library == "httpx":
        return _httpx(httpx, AtlassianHTTPXAuth)
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
                *(httpx2.RequestError, httpx2.InvalidURL, ValueError, OSError),
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
        if case.foreign == "raise" and not case.grant.is_inside(arrival):
            yield f"sent outside of the grant, to {arrival.looked_up} {arrival.target!r}"
        is_plain = case.grant.is_plainly_inside(arrival) and not _has_userinfo(case)
        if on_the_way and is_plain and not arrival.has_token:
            yield f"no token at {arrival.target!r}"
        on_the_way = on_the_way and arrival.has_token


def _has_userinfo(case: Case) -> bool:
    """Whether a URL may have a user name, which nothing that arrives shows."""
    return "@" in case.url or any(b"@" in location for _, location in case.redirects)


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
