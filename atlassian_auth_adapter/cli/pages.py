"""The next page of a list, in the forms that Atlassian's products have.

A next page is always the same path at the same host, with another query: of a link in an answer
only the query is taken. So a link cannot lead the token to another host or resource, and links
that name a host which cannot be reached from here, as servers behind a proxy write them, work.

Source: developer.atlassian.com, pages on pagination of Jira, Confluence, Jira Service Management
and Bitbucket, Cloud and Data Center, as collected in `atlassian.md` on 2026-11-26.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from atlassian_auth_adapter.errors import ResourceUnavailableError, raise_clean
from atlassian_auth_adapter.foreign_text import printable

__all__ = ["MOST_EMPTY", "Pages", "next_page"]

#: Empty pages in a row after which a list is taken to have no end. Searches of Cloud may have some,
#: since what the account may not see is left out of a page.
MOST_EMPTY = 100
#: Fields that say that there is no further page, when they are true.
_LAST = ("isLast", "isLastPage", "lastPage")
#: Tokens and numbers of the next page: the field of the answer, and the parameter that takes it.
_NEXT_VALUES = (("nextPageToken", "nextPageToken"), ("nextPageStart", "start"))
#: Places of links to the next page.
_LINKS = (("_links", "next"), ("links", "next"), ("next",), ("nextPage",))
#: Number of the first item of a page, and how many there are at most: fields and parameters.
_OFFSETS = (("startAt", "maxResults"), ("offset", "limit"), ("start", "limit"))
#: Lists of Jira that are no object: the page after the last one is empty.
_PLAIN_LISTS = re.compile(r".*/rest/api/[^/]+/users?(/[a-z/]+)?")


class Pages:
    """The pages of one list: finds the next one, and the end. One thread uses it."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._empty = 0

    def after(self, url: str, body: Any, link: str) -> str:
        """The URL of the page after this one; "" at the end.

        Args:
            url: Of this page.
            body: This page, parsed.
            link: The target of its header `Link` with rel="next", or "".

        Raises:
            ResourceUnavailableError: The server names pages without an end, another resource, or
                what is no page.
        """
        if body is None and not link:
            raise _stopped("an answer is not JSON")
        self._seen.add(url)
        try:
            following = next_page(url, body, link)
        except ValueError:  # a character or a number that no URL has
            raise_clean(_stopped("the answer names what cannot be a page as the next one"))
        self._empty = 0 if _items(body) else self._empty + 1
        if following in self._seen:
            raise _stopped("the answer names a page as the next one that was read before")
        if following and self._empty >= MOST_EMPTY:
            raise _stopped(f"{MOST_EMPTY} pages in a row were empty")
        return following


def next_page(url: str, body: Any, link: str = "") -> str:
    """The URL of the page after the one at this URL; "" after the last one. As `Pages.after`."""
    if isinstance(body, dict):
        if any(body.get(name) is True for name in _LAST):
            return ""
        for name, parameter in _NEXT_VALUES:
            if (value := body.get(name)) and isinstance(value, str | int):
                return _with(url, parameter, value)
        link = next(filter(None, (_text_at(body, *path) for path in _LINKS)), link)
    if link:
        return _with_query_of(url, link)
    if isinstance(body, dict):
        return _after_offset(url, body)
    if isinstance(body, list) and body and _PLAIN_LISTS.fullmatch(urlsplit(url).path):
        start = dict(parse_qsl(urlsplit(url).query)).get("startAt", "0")
        return _with(url, "startAt", int(start) + len(body)) if start.isdecimal() else ""
    return ""


def _after_offset(url: str, body: Mapping[str, Any]) -> str:
    for first, most in _OFFSETS:
        start, limit, total = (_number(body, name) for name in (first, most, "total"))
        if start is None or (limit is None and total is None):
            continue
        count = len(_items(body))
        is_told = any(body.get(name) is False for name in _LAST)  # that there is another page
        if "_links" in body and not is_told:  # Confluence: it would be linked
            return ""
        has_more = is_told or (start + count < total if total is not None else count == limit)
        return _with(url, first, start + count) if count and has_more else ""
    return ""


def _items(body: Any) -> list[Any]:
    """The list of a page: Jira calls it values, issues, comments, records, ..."""
    if isinstance(body, dict):
        lists = [value for value in body.values() if isinstance(value, list)]
        return max(lists, key=len, default=[])
    return body if isinstance(body, list) else []


def _number(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text_at(body: Any, *path: str) -> str:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


def _with(url: str, name: str, value: object) -> str:
    """The URL with another value of one parameter."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    return parts._replace(query=urlencode([*kept, (name, value)])).geturl()


def _with_query_of(url: str, link: str) -> str:
    """The URL with the query of a link to the same resource, wherever the link leads.

    The path of a link may begin elsewhere, such as at the site in place of the gateway, so only its
    end is compared.
    """
    here = urlsplit(url)
    try:
        there = urlsplit(link)
    except ValueError:
        there = urlsplit("")
    is_elsewhere = there.path and _end_of(there.path) != _end_of(here.path)
    if is_elsewhere or not there.query:
        raise _stopped(f"the link to the next page, {printable(link, 100)!r}, is for another path")
    return here._replace(query=there.query).geturl()


def _end_of(path: str) -> str:
    return unquote(path.rstrip("/").rpartition("/")[2])


def _stopped(reason: str) -> ResourceUnavailableError:
    return ResourceUnavailableError(
        f"The list is not complete: {reason}. Ask for the pages one by one, without --paginate."
    )
