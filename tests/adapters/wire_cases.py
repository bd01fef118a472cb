"""Crooked URLs and redirects, and what is inside a grant; see wire.py.

The reading of a request shares no code with the package.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    OneServer,
    ResourceServer,
)
from atlassian_auth_adapter.testing.contracts.world import BEARER, CLOUD_ID

__all__ = ["GRANTS", "Arrival", "Case", "Generator", "Grant"]

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


@dataclass(frozen=True, slots=True)
class Grant:
    """A place for the token.

    Attributes:
        server: As the package knows it.
        host, port: Of its origin.
        prefixes: Paths, as lists of segments; the token goes there and below.
        exact: Paths without anything below.
        rewritten: What the gateway's login may ask of its site, and of the gateway by other names;
            the package sends it elsewhere on the gateway. httpx follows a redirect there first,
            without the token.
    """

    server: ResourceServer
    host: str
    port: int
    prefixes: tuple[tuple[bytes, ...], ...]
    exact: tuple[bytes, ...] = ()
    rewritten: tuple[Grant, ...] = ()

    @property
    def origins(self) -> tuple[str, ...]:
        """Other origins for the generator: the site's."""
        return tuple(each.authority for each in self.rewritten if each.host != self.host)

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
    options = ("/graphql", "/automation/public/jira/{cloudId}")
    server = CloudGateway(api, CLOUD_ID, site_url=site, gateway_paths=options)
    of_products = _prefixes(*(f"ex/{product}/{{}}" for product in ("jira", "confluence", "x")))
    others = _prefixes("jsm/ops/api/{}", "graphql", "automation/public/jira/{}")
    exact = (b"/me", b"/oauth/token/accessible-resources")
    resources = _prefixes(
        *("rest", "wiki/rest", "wiki/api", "secure/attachment", "secure/thumbnail")
    )
    apis = _prefixes("jira/forms/cloud/{}", "jsm/assets/workspace")
    rewritten = (
        Grant(OneServer(site), "localhost", 7991, (*of_products, *resources)),
        Grant(OneServer(api), "127.0.0.1", 7990, (*resources, *apis)),
    )
    return Grant(server, "127.0.0.1", 7990, (*of_products, *others), exact, rewritten)


def _prefixes(*paths: str) -> tuple[tuple[bytes, ...], ...]:
    return tuple(tuple(path.format(CLOUD_ID).encode().split(b"/")) for path in paths)


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
    *("jsm", "ops", "graphql", "public"),
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
        rewritten = [prefix for each in grant.rewritten for prefix in each.prefixes]
        prefix = self._random.choice([*grant.prefixes, *rewritten])
        return "".join(f"/{part.decode()}" for part in prefix)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the redirects that it meets."""

    grant: Grant
    method: str
    url: str
    redirects: tuple[tuple[int, bytes], ...]
    foreign: str
