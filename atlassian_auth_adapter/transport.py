"""Every HTTP request that the package makes itself goes through here.

The caller's `verify`, `proxy`, `cert` and `timeout` apply to each of them. Redirects are never
followed and `.netrc` is never read. Failures are divided by the question that matters for a token
that may be used once: can the server have seen the request?
"""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    ResourceUnavailableError,
    raise_clean,
)

if TYPE_CHECKING:
    import requests

__all__ = ["Answer", "NoAnswerError", "Proxy", "Transport", "is_timeout", "origin_of"]

Proxy = bool | str | Mapping[str, str] | None

#: Bytes. A token answer has a few kilobytes, so a longer answer is an error.
MAX_ANSWER = 256 * 1024


class NoAnswerError(Exception):
    """There was no complete HTTP answer. The cause of this error holds no request or response.

    Attributes:
        sent: Whether the server may have seen the request.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The parsed body, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def content_type(self) -> str:
        """Media type without parameters, for error texts."""
        media_type = self.headers.get("Content-Type", "").split(";")[0].strip()
        return media_type[:60] if media_type.isprintable() else ""


@dataclass(frozen=True, slots=True)
class Transport:
    """How to reach the servers.

    Attributes:
        verify: True, False, or the path of a CA bundle, as in requests.
        proxy: None: as requests does by itself (the environment). True: the environment's.
            False: none. A URL, or a mapping of scheme to URL: this one.
        cert: Client certificate: path of a PEM file, or (certificate, key).
        timeout: Seconds: (connect, read) or one number for both. Their sum also bounds how long
            the body of an answer may take.
    """

    verify: bool | str = True
    proxy: Proxy = field(default=None, repr=False)
    cert: str | tuple[str, str] | None = None
    timeout: float | tuple[float, float] = (5.0, 30.0)

    def __post_init__(self) -> None:
        if not isinstance(self.verify, bool) and not _exists(self.verify):
            raise ConfigurationError(
                f"verify: there is no file {self.verify!r}. Give True, or the path of a CA bundle "
                "(PEM)."
            )
        pair = self.cert if isinstance(self.cert, tuple) else (self.cert, self.cert)
        if self.cert is not None and (len(pair) != 2 or not all(map(_exists, pair))):
            raise ConfigurationError(
                f"cert: there is no file {self.cert!r}. Give the path of a PEM file that holds "
                "certificate and key, or the paths (certificate, key)."
            )
        timeouts = self._timeouts()
        if len(timeouts) != 2 or not all(map(is_timeout, timeouts)):
            raise ConfigurationError("timeout: give seconds above zero, such as (5, 30).")
        if not _is_proxy(self.proxy):
            raise ConfigurationError(
                "proxy: give a URL such as http://proxy.company.com:8080, a mapping of scheme to "
                "URL, True or None (the environment's) or False (none)."
            )

    def _timeouts(self) -> tuple[float, float]:
        return self.timeout if isinstance(self.timeout, tuple) else (self.timeout, self.timeout)

    @property
    def total_timeout(self) -> float:
        """Upper bound of one request, seconds."""
        return sum(self._timeouts())

    @property
    def proxies(self) -> dict[str, str]:
        """The `proxy` setting in the form that requests takes."""
        match self.proxy:
            case None | True:
                return {}
            case False:
                # An empty address keeps requests from asking the environment.
                return {"http": "", "https": "", "all": ""}
            case str():
                return {"http": self.proxy, "https": self.proxy}
            case mapping:
                return dict(mapping)

    def proxy_for(self, url: str) -> str:
        """The proxy that a request to the URL goes through, without its password; "" for none."""
        from requests.utils import get_environ_proxies, select_proxy

        proxy = select_proxy(url, {**get_environ_proxies(url), **self.proxies})
        return origin_of(_with_scheme(proxy)) if proxy else ""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """The answer to one request; a redirect is an answer. The body is ASCII.

        Raises:
            NoAnswerError: There was no complete answer.
            ConfigurationError: The URL, a header or the proxy is malformed.
        """
        import requests

        try:
            with (
                _session() as session,
                session.request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    auth=_unchanged,
                    allow_redirects=False,
                    stream=True,
                    timeout=self._timeouts(),
                    verify=self.verify,
                    cert=self.cert,
                    proxies=self.proxies,
                ) as response,
            ):
                return Answer(response.status_code, response.headers, self._read(response))
        except (OSError, ValueError) as error:  # a RequestException is an OSError
            text = _text_of(error)
            is_of_requests = isinstance(error, requests.RequestException)
            if not _is_of_answer(error) and (isinstance(error, ValueError) or not is_of_requests):
                # A malformed URL or header, or a file of certificates that is gone.
                raise_clean(ConfigurationError(f"cannot send the request: {text}"))
            failure = NoAnswerError(
                f"{type(error).__name__}: {text}", sent=_may_have_been_sent(error)
            )
            # The original holds the request with its secrets; the cause is a copy without it.
            raise_clean(failure, type(error)(text))

    def get(self, url: str, authorization: str = "", accept: str = "application/json") -> Answer:
        """The answer of a resource server to a GET request.

        Args:
            url: Absolute URL.
            authorization: Value of the Authorization header, or "".
            accept: Media type to ask for.

        Raises:
            ResourceUnavailableError: There was no complete answer.
            ConfigurationError: The URL or the proxy is malformed.
        """
        headers = {"Accept": accept} | ({"Authorization": authorization} if authorization else {})
        try:
            return self.send("GET", url, headers=headers)
        except NoAnswerError as error:
            del authorization, headers
            place = url.partition("?")[0]  # a query may hold a state or a code
            failure = ResourceUnavailableError(
                f"no answer from {place}: {error}. Try again, or check network, proxy and `verify`."
            )
            raise_clean(failure, error.__cause__)

    def _read(self, response: requests.Response) -> bytes:
        import requests

        deadline = time.monotonic() + self.total_timeout
        body = bytearray()
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise requests.exceptions.ContentDecodingError(
                    f"the answer is larger than {MAX_ANSWER} bytes"
                )
            if time.monotonic() > deadline:
                raise requests.ReadTimeout(f"the answer took longer than {self.total_timeout} s")
        return bytes(body)


def _session() -> requests.Session:
    """A session that does not look where a redirect leads.

    Sessions of requests do, although they do not follow it: they read its whole body before, and
    fail if its URL is malformed.
    """
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    return Session()


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An auth function that adds nothing; without any, requests would read `.netrc`."""
    return request


def _exists(path: object) -> bool:
    """Whether it is the path of a file or directory that exists; "" is not."""
    return isinstance(path, str | os.PathLike) and bool(path) and Path(path).exists()


def is_timeout(value: object) -> bool:
    """Whether it is a positive number of seconds that a thread can wait for."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < threading.TIMEOUT_MAX


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_proxy(proxy: object) -> bool:
    """Whether it is a valid proxy setting; an address may leave out the scheme."""
    if isinstance(proxy, Mapping):
        return all(isinstance(address, str) for address in proxy.values())
    if not isinstance(proxy, str):
        return proxy is None or isinstance(proxy, bool)
    try:
        parts = urlsplit(_with_scheme(proxy))
        return bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, proxy))
    except ValueError:
        return False


def _reason(error: Exception) -> object:
    """The error of urllib3 behind an error of requests, or its text."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", None) or inner


def _original(reason: object) -> object:
    """The error of the operating system behind an error of urllib3, if there is one."""
    return getattr(reason, "original_error", None) or (getattr(reason, "args", ()) or (None,))[-1]


def _may_have_been_sent(error: Exception) -> bool:
    """False only if there was no connection, so that the server cannot have seen the request."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reason = _reason(error)
    return not (
        isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError)
        or isinstance(reason, NewConnectionError | ConnectTimeoutError)
        or (
            isinstance(error, requests.exceptions.SSLError)
            and (_is_of_handshake(reason) or _is_of_handshake(_original(reason)))
        )
    )


def _is_of_answer(error: Exception) -> bool:
    """Whether it was raised for a header of the answer, and not for one of the request."""
    from urllib3.exceptions import InvalidHeader

    return isinstance(_reason(error), InvalidHeader)


def _is_of_handshake(error: object) -> bool:
    """Whether a TLS error is one of the handshake: TLS may also fail later, within an answer."""
    frames = traceback.walk_tb(getattr(error, "__traceback__", None))
    return any(frame.f_code.co_name == "connect" for frame, _ in frames)


def _text_of(error: Exception) -> str:
    """A short text of the failure.

    urllib3's own texts may hold the URL, the password of the proxy, headers, and parts of a broken
    answer, so only the texts of the operating system are shown.
    """
    from requests.exceptions import InvalidHeader

    reason = _reason(error)
    is_harmless = isinstance(error, OSError) and not isinstance(error, InvalidHeader)
    if isinstance(reason, str) and is_harmless:
        return reason[:200]
    for candidate in (_original(reason), reason):
        if isinstance(candidate, OSError):
            return f"{type(candidate).__name__}: {candidate}"[:200]
    return type(reason if isinstance(reason, Exception) else error).__name__
