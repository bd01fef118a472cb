"""Acts as a person with a browser: opens the authorization URL, fills in and sends the form."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

_TIMEOUT = 70.0  # seconds; longer than a Hold lasts
_BAD_REQUEST = 400
_MOST_REDIRECTS = 10


class NotRedirectedError(Exception):
    """The server answered with an error page instead of a redirect to the client."""

    def __init__(self, status: int, page: str) -> None:
        super().__init__(f"the authorization request ended on an error page, status {status}")
        self.status = status
        self.page = page


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.hidden: list[tuple[str, str]] = []
        self.sites: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found.get("action", "")
        elif tag == "input" and found.get("type") == "hidden":
            self.hidden.append((found.get("name", ""), found.get("value", "")))
        elif tag == "input" and found.get("name") == "site":
            self.sites.append(found.get("value", ""))


def decide(
    url: str, decision: str, sites: Sequence[str], context: ssl.SSLContext | None = None
) -> str:
    """The URL to which the server redirects after `accept` or `deny`.

    Redirects to the authorization request are followed, such as that of the address with which
    `login` starts the browser, and so are those within the server, to its sign-in and error pages.

    Raises:
        NotRedirectedError: An error page was shown instead.
    """
    cookies: dict[str, str] = {}
    for _ in range(_MOST_REDIRECTS):
        status, headers, page = _fetch("GET", url, context, cookies)
        if not (location := headers.get("location")):
            break
        location = urljoin(url, location)
        if not _is_of_the_server(location, url):
            return location
        url = location
    form = _Form()
    form.feed(page)
    if status >= _BAD_REQUEST or form.action is None:
        raise NotRedirectedError(status, page)
    fields = [*form.hidden, ("decision", decision)]
    fields += [("site", site) for site in form.sites if site in sites]
    target = urljoin(url, form.action)
    status, headers, page = _fetch("POST", target, context, cookies, urlencode(fields))
    if location := headers.get("location"):
        return location
    raise NotRedirectedError(status, page)


def _is_of_the_server(location: str, asked: str) -> bool:
    there, here = urlsplit(location), urlsplit(asked)
    is_same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return is_same or "response_type" in parse_qs(there.query)


def _fetch(
    method: str,
    url: str,
    context: ssl.SSLContext | None,
    cookies: dict[str, str],
    form: str | None = None,
) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT, context=context or _unverified()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, form, headers)
        response = connection.getresponse()
        page = response.read().decode("utf-8", "replace")
        for each in response.headers.get_all("Set-Cookie", []):
            name, _, value = each.partition(";")[0].partition("=")
            cookies[name] = value
        return response.status, {k.lower(): v for k, v in response.getheaders()}, page
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    # The browser of a test trusts the temporary certificate of the emulator.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
