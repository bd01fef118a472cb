"""URLs of the httpx family: as text, as a location, and at another place.

A URL of the library keeps its parts as text, which no public name gives at once. To parse it again
takes longer than all the rest that is done about a request, so the parts are read where they are;
whatever looks different from what httpx 0.28 and httpx2 2.16 keep is read by public names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.atlassian.locations import Location

if TYPE_CHECKING:
    import httpx

__all__ = ["location_of", "relocated", "sent_elsewhere", "text_of", "url_text"]

#: What is raised where the parts of a URL look different.
_OTHER_PARTS = (AttributeError, TypeError, ValueError)


def text_of(url: httpx.URL) -> str:
    """The URL as text, as it is sent; "": an odd one, which needs a closer look."""
    try:
        scheme, userinfo, host, port, path, query, _ = url._uri_reference  # noqa: SLF001
    except _OTHER_PARTS:
        scheme, userinfo, port = url.scheme, url.userinfo.decode("ascii"), url.port
        host, target = url.raw_host.decode("ascii"), url.raw_path.decode("ascii")
    else:
        target = (path or "/") if query is None else f"{path or '/'}?{query}"
    return "" if userinfo else url_text(scheme, host, port, target)


def url_text(scheme: str, host: str, port: int | None, target: str) -> str:
    """The URL as text; "": an odd one, which needs a closer look."""
    if "/" in host or ":" in host:
        return ""
    return f"{scheme}://{host}{target}" if port is None else f"{scheme}://{host}:{port}{target}"


def location_of(url: httpx.URL) -> Location:
    """The location of a URL of the library, as requests are sent by it."""
    return Location(
        url.scheme,
        url.raw_host.decode("ascii").lower(),
        url.port,
        url.raw_path.decode("ascii").partition("?")[0],
        bool(url.userinfo),
    )


def relocated(url: httpx.URL, location: Location) -> httpx.URL:
    """The URL at another location, with the same query."""
    return url.copy_with(
        scheme=location.scheme,
        host=location.host,
        port=location.port,
        raw_path=location.path.encode() + (b"?" + url.query if url.query else b""),
    )


def sent_elsewhere(url: httpx.URL, sent_to: str) -> httpx.URL:
    """The URL with this text: a plain one, with the same query as `url`, and no fragment."""
    scheme, _, rest = sent_to.partition("://")
    host, _, path = rest.partition("?")[0].partition("/")
    cls = type(url)
    new = cls.__new__(cls)
    try:
        parts: Any = url._uri_reference  # noqa: SLF001
        new._uri_reference = type(parts)(  # noqa: SLF001
            scheme, "", host, None, f"/{path}", parts.query, None
        )
        if str(new) == sent_to:
            return new
    except _OTHER_PARTS:
        pass
    return cls(sent_to)
