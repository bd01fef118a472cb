"""URLs whose text proves that they may carry the token: a fast test in front of the careful one.

Nearly every URL of a program has nothing unusual in it and lies below a base URL. Of such a URL the
text alone shows what every HTTP library, server and proxy reads in it, so nothing is parsed.
`ResourceServer.route` judges each URL that is not recognized here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["PlainURLs", "unusual"]

#: A part of a path without percent signs, backslashes and parameters. It does not begin with a dot.
_PART = r"/[A-Za-z0-9_~,:=+-][A-Za-z0-9_~,:=+.-]*+"
#: What is in no usual path. Without dots and percent signs a path has no dot segments.
unusual: Callable[[str, int], object] = re.compile(r"[^A-Za-z0-9_~,:=+/-]").search
#: Such parts, perhaps a slash, and perhaps a query: visible ASCII without "#" and backslash.
_is_rest = re.compile(rf"(?:{_PART})++/?(?:\?[!-\"$-\[\]-~]+)?").fullmatch
#: What URLs begin with: an origin, which all libraries read alike, and the first parts of a path.
_BEGINNING = re.compile(rf"https?://[a-z0-9._-]+(?::[1-9][0-9]*)?(?:{_PART})*")
#: No URL begins with it.
_NONE = "\n", 0


class PlainURLs:
    """The plain URLs of one resource server. Threads share it.

    Args:
        routes: By what URLs begin with, what they begin with where they are sent; see
            `ResourceServer.plain_routes`.
    """

    def __init__(self, routes: Mapping[str, str]) -> None:
        plain = {
            begins: sent
            for begins, sent in routes.items()
            if _BEGINNING.fullmatch(begins) and _BEGINNING.fullmatch(sent)
        }
        #: Whether all of them are sent with TLS.
        self.are_encrypted: bool = all(sent.startswith("https:") for sent in plain.values())
        #: What they begin with, the position of the slash that ends it, and what replaces it.
        self._routes = tuple(
            (f"{begins}/", len(begins), "" if sent == begins else sent)
            for begins, sent in plain.items()
        )
        own = ((begins, at) for begins, at, sent in self._routes if not sent)
        #: What most of them begin with, and the position of the slash that ends it, for callers
        #: that look by themselves: such a URL is sent as it is if nothing in the rest is `unusual`.
        self.usual: str
        self.at: int
        self.usual, self.at = next(own, _NONE)

    def sent_to(self, url: str) -> str | None:
        """Where a request for the URL is sent with the token: "" to the URL itself, or another URL.

        None: it is not a plain URL, so `ResourceServer.route` has to judge it.
        """
        for begins, at, sent in self._routes:
            if url.startswith(begins):
                # Two slashes stay as they are, but for those of a URL that is sent elsewhere.
                is_usual = not unusual(url, at) and not (sent and url.find("//", at) >= 0)
                if is_usual or _is_rest(url, at):
                    return sent and sent + url[at:]
        return None
