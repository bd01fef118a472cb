"""Acts as a person with a browser: opens the authorization URL, fills in and sends the form."""

from __future__ import annotations

import contextlib
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


class _Browser:
    """Cookies, and a connection that stays open while one server is asked."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._cookies: dict[str, str] = {}
        self._server = ""
        self._connection: http.client.HTTPConnection | None = None

    def fetch(self, method: str, url: str, form: str | None = None) -> tuple[int, str, str]:
        """Status, where the answer redirects to or "", and the page."""
        connection, parts = self._connected(url), urlsplit(url)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        if self._cookies:
            pairs = (f"{name}={value}" for name, value in self._cookies.items())
            headers["Cookie"] = "; ".join(pairs)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, form, headers)
        response = connection.getresponse()
        page = response.read().decode("utf-8", "replace")
        for each in response.headers.get_all("Set-Cookie", []):
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        return response.status, response.headers.get("Location", ""), page

    def _connected(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if self._connection is None or server != self._server:
            self.close()
            host, port = parts.hostname or "", parts.port
            if parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=_TIMEOUT, context=self._context or _unverified()
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
            self._server = server
        return self._connection

    def close(self) -> None:
        """The connection is closed."""
        if self._connection is not None:
            self._connection.close()


def decide(
    url: str, decision: str, sites: Sequence[str], context: ssl.SSLContext | None = None
) -> str:
    """The URL to which the server redirects after `accept` or `deny`.

    Redirects to the authorization request are followed, such as that of the address with which
    `login` starts the browser, and so are those within the server, to its sign-in and error pages.

    Raises:
        NotRedirectedError: An error page was shown instead.
    """
    with contextlib.closing(_Browser(context)) as browser:
        for _ in range(_MOST_REDIRECTS):
            status, location, page = browser.fetch("GET", url)
            if not location:
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
        status, location, page = browser.fetch("POST", target, urlencode(fields))
    if location:
        return location
    raise NotRedirectedError(status, page)


def _is_of_the_server(location: str, asked: str) -> bool:
    there, here = urlsplit(location), urlsplit(asked)
    is_same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return is_same or "response_type" in parse_qs(there.query)


def _unverified() -> ssl.SSLContext:
    # The browser of a test trusts the temporary certificate of the emulator.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
