"""URLs whose text proves that they may carry the token: a fast test in front of the careful one.

Nearly every URL of a program has nothing unusual in it and lies below a base URL. Of such a URL the
text alone shows what every HTTP library, server and proxy reads in it, so nothing is parsed.
`ResourceServer.route` judges each URL that is not recognized here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["PlainURLs", "is_rest"]

#: A part of a path without percent signs, backslashes and parameters. It does not begin with a dot.
_PART = r"/[A-Za-z0-9_~,:=+-][A-Za-z0-9_~,:=+.-]*+"
#: What is in no usual path. Without dots and percent signs a path has no dot segments.
_unusual = re.compile(r"[^A-Za-z0-9_~,:=+/-]").search
#: Such parts, perhaps a slash, and perhaps a query: visible ASCII without "#" and backslash.
is_rest: Callable[[str], object] = re.compile(rf"(?:{_PART})++/?(?:\?[!-\"$-\[\]-~]+)?").fullmatch
#: What URLs begin with: an origin, which all libraries read alike, and the first parts of a path.
_BEGINNING = re.compile(rf"https?://[a-z0-9._-]+(?::[1-9][0-9]*)?(?:{_PART})*")


class PlainURLs:
    """The plain URLs of one resource server. Threads share it.

    Args:
        routes: By what URLs begin with, what they begin with where they are sent; see
            `ResourceServer.plain_routes`.
    """

    def __init__(self, routes: Mapping[str, str]) -> None:
        plain = [each for each in routes.items() if all(map(_BEGINNING.fullmatch, each))]
        self._routes = tuple(
            (f"{begins}/", "" if sent == begins else f"{sent}/") for begins, sent in plain
        )

    def route_of(self, url: str) -> tuple[str, str] | None:
        """What the URL begins with, and what replaces that where it is sent; "": nothing does.

        None: it is not a plain URL, so `ResourceServer.route` has to judge it.
        """
        for begins, sent in self._routes:
            rest = url.removeprefix(begins)
            if rest != url:
                # Two slashes stay as they are, but for those of a URL that is sent elsewhere.
                path = f"/{rest}"
                is_usual = not _unusual(rest) and not (sent and "//" in path)
                if is_usual or is_rest(path):
                    return begins, sent
        return None

    def sent_to(self, url: str) -> str | None:
        """Where a request for the URL is sent with the token: "" to the URL itself, or another URL.

        None: as `route_of`.
        """
        route = self.route_of(url)
        return route and route[1] and url.replace(*route, 1)
