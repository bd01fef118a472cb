"""Every HTTP request that the package makes itself goes through here.

The caller's `verify`, `proxy`, `cert` and `timeout` reach each of them. Redirects are never followed,
`.netrc` is never read, and what goes wrong is told apart by the one question that matters for a token
that may be used once: can the server have seen the request?
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.errors import ConfigurationError

if TYPE_CHECKING:
    import requests

__all__ = ["Answer", "NoAnswerError", "Proxy", "Transport"]

Proxy = bool | str | Mapping[str, str] | None

#: A token answer has a few kilobytes; nothing honest comes near this many bytes.
MAX_ANSWER = 256 * 1024


class NoAnswerError(Exception):
    """There was no complete HTTP answer. Its cause holds neither request nor response.

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
        paths = [self.verify] if isinstance(self.verify, str) else []
        paths += [self.cert] if isinstance(self.cert, str) else list(self.cert or ())
        for path in paths:
            if not Path(path).exists():
                raise ConfigurationError(
                    f"verify/cert: there is no file {path!r}. Give the path of a PEM file."
                )
        if any(seconds <= 0 for seconds in self._timeouts()):
            raise ConfigurationError("timeout: give seconds above zero, such as (5, 30).")

    def _timeouts(self) -> tuple[float, float]:
        return self.timeout if isinstance(self.timeout, tuple) else (self.timeout, self.timeout)

    @property
    def patience(self) -> float:
        """Seconds after which one request has ended, one way or the other."""
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

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """The answer to one request; a redirect is an answer.

        Args:
            method: HTTP method.
            url: Absolute URL.
            headers: Request headers.
            body: Request body, ASCII.

        Raises:
            NoAnswerError: Without a complete answer.
            ConfigurationError: The URL or the proxy is not one.
        """
        import requests

        try:
            with (
                requests.Session() as session,
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
        except requests.RequestException as error:
            failure = error
        # Raised outside of the handler: the original holds the request with its secrets.
        cause = type(failure)(_without_url(failure))
        if isinstance(failure, ValueError):
            raise ConfigurationError(f"cannot send a request there: {cause}") from cause
        raise NoAnswerError(
            f"{type(failure).__name__}: {cause}", sent=_may_have_been_sent(failure)
        ) from cause

    def _read(self, response: requests.Response) -> bytes:
        import requests

        deadline = time.monotonic() + self.patience
        body = bytearray()
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise requests.exceptions.ContentDecodingError(
                    f"the answer is larger than {MAX_ANSWER} bytes"
                )
            if time.monotonic() > deadline:
                raise requests.ReadTimeout(f"the answer took longer than {self.patience} s")
        return bytes(body)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticates nothing; passing it keeps requests from reading `.netrc`."""
    return request


def _reason(error: requests.RequestException) -> object:
    """What urllib3 said went wrong."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", None) or inner


def _may_have_been_sent(error: requests.RequestException) -> bool:
    """False only when the connection was never usable, so the server cannot have seen a request."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    never_connected = (
        requests.ConnectTimeout,
        requests.exceptions.ProxyError,
        requests.exceptions.SSLError,  # the handshake; a record that breaks later is not one
    )
    return not isinstance(error, never_connected) and not isinstance(
        _reason(error), NewConnectionError | ConnectTimeoutError
    )


def _without_url(error: requests.RequestException) -> str:
    """A short text of the failure. urllib3's texts repeat URL and proxy, which may hold passwords."""
    reason = _reason(error)
    if isinstance(reason, str):
        return reason[:200]
    text = str(reason) if isinstance(reason, OSError) else ""
    original = getattr(reason, "original_error", None) or getattr(reason, "args", ("", None))[-1]
    if isinstance(original, BaseException):
        text = f"{type(original).__name__}: {original}"
    return (text or type(reason).__name__)[:200]
