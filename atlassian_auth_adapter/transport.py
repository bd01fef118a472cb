"""Every HTTP request that the package makes itself goes through here.

The caller's `verify`, `proxy`, `cert` and `timeout` apply to each of them. Redirects are never
followed and `.netrc` is never read. Failures are divided by the question that matters for a token
that may be used once: can the server have seen the request?

One deadline, the sum of the timeouts, holds for the whole exchange: name resolution, connecting to
each address of the host, proxy, TLS, sending, and the answer to its last byte. The exchange runs on
a thread of its own. At the deadline its caller goes on, and the connection is shut down. A name
resolution or a connection attempt that the system does not end cannot be interrupted: its thread, a
daemon, ends with it, and never sends the request.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    ResourceUnavailableError,
    drop_frames,
    raise_clean,
)
from atlassian_auth_adapter.hosts import is_this_machine
from atlassian_auth_adapter.pickling import is_named
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.threads import is_timeout, run_in_thread, wait

if TYPE_CHECKING:
    import requests

    from atlassian_auth_adapter.exchange import Progress

__all__ = [
    "Answer",
    "NoAnswerError",
    "Proxy",
    "Transport",
    "load_libraries",
    "origin_of",
    "portable_proxy",
]

#: As the argument `proxy`, and a function that returns it: its password is in no pickle then.
FixedProxy = bool | str | Mapping[str, str] | None
Proxy = FixedProxy | Callable[[], FixedProxy]

#: An empty address keeps requests from asking the environment.
_NO_PROXY = {"http": "", "https": "", "all": ""}
#: Variables that name certificate authorities when `verify` is True: those of requests, then those
#: of OpenSSL, which httpx obeys. The first one that is set counts.
_AUTHORITIES_IN_ENVIRONMENT = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)

#: Bytes. A token answer has a few kilobytes, so a longer answer is an error.
MAX_ANSWER = 256 * 1024
#: Characters of a redirect's target that errors show.
LONGEST_PLACE = 200


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
    headers: Mapping[str, str] = field(repr=False)  # may set a session cookie
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The parsed body, or None when it is not JSON."""
        # In UTF-8, as JSON requires; texts of Data Center have been seen in Latin-1.
        for body in (self.body, self.body.decode("latin-1")):
            with suppress(ValueError, RecursionError):
                return json.loads(body)
        return None

    @property
    def content_type(self) -> str:
        """Media type without parameters, for error texts."""
        media_type = self.headers.get("Content-Type", "").split(";")[0].strip()
        return media_type[:60] if media_type.isprintable() else ""

    def redirect_from(self, url: str) -> str:
        """Where an answer of this URL redirects to, without the query; "" if it does not."""
        location = self.headers.get("Location", "")
        if not 300 <= self.status < 400 or not location:
            return ""
        try:
            target = urlsplit(urljoin(url, location))
        except ValueError:
            return ""
        place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
        return place[:LONGEST_PLACE] if place.isascii() and place.isprintable() else ""


def load_libraries() -> None:
    """Load what a Transport needs to send a request."""
    from atlassian_auth_adapter import exchange

    exchange.session(exchange.Progress()).close()
    "localhost".encode("idna")  # the names of hosts are encoded so; the codec is loaded late


@dataclass(frozen=True, slots=True)
class Transport:
    """How to reach the servers. A copy is the same object.

    Attributes:
        verify: True, False, or the path of a CA bundle, as in requests. With True, the variables
            REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR may name one.
        proxy: None: as requests does by itself (the environment). True: the environment's.
            False: none. A URL, or a mapping of scheme to URL: this one. Or a function that returns
            one of these. A pickle holds no password: that of a function of a module is its name. A
            request to this machine (localhost, 127.0.0.0/8, ::1) never uses a proxy, whatever names
            it: secrets that need no TLS there would leave the machine in clear.
        cert: Client certificate: path of a PEM file, or (certificate, key).
        timeout: Seconds: (connect, read) or one number for both. Their sum bounds the whole
            exchange, from the name resolution to the last byte of the answer.
    """

    verify: bool | str = True
    proxy: Proxy = field(default=None, repr=False)
    cert: str | tuple[str, str] | None = None
    timeout: float | tuple[float, float] = (5.0, 30.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "proxy", hidden(self.proxy))
        _check_paths(self.verify, self.cert)
        timeouts = self._timeouts()
        if len(timeouts) != 2 or not all(map(is_timeout, timeouts)):
            raise ConfigurationError("timeout: give seconds above zero, such as (5, 30).")
        if not callable(self.proxy) and not _is_proxy(self.proxy):
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
        """The `proxy` setting in the form that requests takes.

        Raises:
            ConfigurationError: It is a function that raised, or returned no such setting.
        """
        match _returned_by(self.proxy) if callable(self.proxy) else self.proxy:
            case None | True:
                return {}
            case False:
                return dict(_NO_PROXY)
            case str(url):
                return {"http": url, "https": url}
            case mapping:
                return dict(mapping)

    def proxy_for(self, url: str) -> str:
        """The proxy that a request to the URL goes through, without its password; "" for none."""
        from requests.utils import get_environ_proxies, select_proxy

        proxy = hidden(select_proxy(url, {**get_environ_proxies(url), **self._proxies_for(url)}))
        return origin_of(_with_scheme(proxy)) if proxy else ""

    def options_for(self, url: str) -> dict[str, Any]:
        """The `verify`, `cert` and `proxies` that requests takes, for a request to the URL.

        Raises:
            ConfigurationError: A file cannot be used, or the proxy is malformed.
        """
        return {
            "verify": self._checked_files(url),
            "cert": self.cert,
            "proxies": self._proxies_for(url),
        }

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

        from atlassian_auth_adapter import exchange

        headers, body = hidden(headers), hidden(body)
        progress = exchange.Progress()

        def answer() -> Answer:
            deadline = time.monotonic() + self.total_timeout
            with (
                exchange.session(progress) as session,
                session.request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    auth=_unchanged,
                    allow_redirects=False,
                    stream=True,
                    timeout=self._timeouts(),
                    **options,
                ) as response,
            ):
                return Answer(
                    response.status_code, response.headers, self._read(response, deadline)
                )

        try:
            options = self.options_for(url)
            return self._before_the_deadline(answer, progress)
        except ConfigurationError:
            raise
        except (OSError, ValueError) as error:  # a RequestException is an OSError
            text = exchange.text_of(error)
            is_of_requests = isinstance(error, requests.RequestException)
            is_of_answer = exchange.is_of_answer(error)
            if not is_of_answer and (isinstance(error, ValueError) or not is_of_requests):
                # A malformed URL or header, or a file of certificates that is gone.
                raise_clean(ConfigurationError(f"cannot send the request: {text}"))
            # A library that mocks the network never connects; what it raises may mean anything.
            sent = progress.sent is not False and not exchange.is_before_the_request(error)
            failure = NoAnswerError(f"{type(error).__name__}: {text}", sent=sent)
            # The original holds the request with its secrets; the cause is a copy without it.
            raise_clean(failure, exchange.cause_of(error))
        except BaseException as error:  # such as Ctrl-C: the frames below hold the plain request
            drop_frames(error)
            raise

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

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Transport, (self.verify, portable_proxy(self.proxy), self.cert, self.timeout)

    def _before_the_deadline(self, answer: Callable[[], Answer], progress: Progress) -> Answer:
        """What `answer()` returns or raises, if it does so in time."""
        import requests

        future = run_in_thread(answer)
        try:
            wait(future, self.total_timeout)
            is_done = future.done()
        finally:
            progress.end()
        if is_done:
            return future.result()
        progress.sent = bool(progress.sent)
        kind = requests.ReadTimeout if progress.sent else requests.ConnectTimeout
        raise kind(self._too_long())

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        import requests

        body = bytearray()
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise requests.exceptions.ContentDecodingError(
                    f"the answer is larger than {MAX_ANSWER} bytes"
                )
            # For a process that ends, and can start no thread any more.
            if time.monotonic() > deadline:
                raise requests.ReadTimeout(self._too_long())
        return bytes(body)

    def _too_long(self) -> str:
        return f"the exchange took longer than {self.total_timeout:g} s"

    def _proxies_for(self, url: str) -> dict[str, str]:
        """The proxies for a request to the URL, in the form that requests takes."""
        is_near = is_this_machine(urlsplit(url).hostname or "")
        return dict(_NO_PROXY) if is_near else self.proxies  # requests changes what it is given

    def _checked_files(self, url: str) -> bool | str:
        """The `verify` of a request to the URL, and of `cert` only that it can be used."""
        name, verify = "verify", self.verify
        if url.lower().startswith("https:"):
            if verify is True:
                named = ((each, os.environ.get(each, "")) for each in _AUTHORITIES_IN_ENVIRONMENT)
                name, verify = next((each for each in named if each[1]), (name, True))
            if not isinstance(verify, bool):
                _check_authorities(Path(verify), name)
            if self.cert:
                _check_certificate(self.cert)
        return verify if isinstance(verify, bool) else os.fspath(verify)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An auth function that adds nothing; without any, requests would read `.netrc`."""
    return request


def _exists(path: object) -> bool:
    """Whether it is the path of a file or directory that exists; "" is not."""
    with suppress(OSError, ValueError):  # such as a name that is too long
        return isinstance(path, str | os.PathLike) and bool(path) and Path(path).exists()
    return False


def _check_paths(verify: object, cert: object) -> None:
    """Raise ConfigurationError unless the files of `Transport` are there."""
    if not isinstance(verify, bool) and not _exists(verify):
        raise ConfigurationError(
            "verify: there is no file of that name. Give True, or the path of a CA bundle (PEM)."
        )
    pair = cert if isinstance(cert, tuple) else (cert, cert)
    if cert is not None and (len(pair) != 2 or not all(map(_exists, pair))):
        raise ConfigurationError(
            "cert: there is no file of that name. Give the path of a PEM file that holds "
            "certificate and key, or the paths (certificate, key)."
        )


def _check_authorities(path: Path, name: str) -> None:
    """Raise ConfigurationError unless OpenSSL reads a certificate there.

    Args:
        path: Of a CA bundle, or of a directory of certificates.
        name: Of the argument or variable that it comes from, for the error.
    """
    if path.is_dir():
        if not any(re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for file in path.iterdir()):
            raise ConfigurationError(
                f"{name}: no certificate in the directory {str(path)!r} is named by its hash, so "
                f"OpenSSL does not find it there. Run: openssl rehash {path}"
            )
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # an ssl.SSLError is one
        raise ConfigurationError(
            f"{name}: {str(path)!r} is not a CA bundle that can be read ({error.strerror}). It "
            "must hold certificates in PEM format, each between BEGIN CERTIFICATE and END "
            "CERTIFICATE."
        ) from error


def _check_certificate(cert: str | tuple[str, str]) -> None:
    """Raise ConfigurationError unless it is a client certificate with its key."""
    import ssl

    certificate, key = cert if isinstance(cert, tuple) else (cert, None)
    try:
        # The password keeps OpenSSL from asking for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, "")
    except OSError as error:  # an ssl.SSLError is one
        raise ConfigurationError(
            f"cert: {cert!r} cannot be used ({error.strerror}). Give a certificate and its own "
            "private key, in PEM format, and without a password."
        ) from error


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def no_proxy() -> FixedProxy:
    """Stands for a proxy with a password in an object that was unpickled without it.

    Raises:
        ConfigurationError: Always.
    """
    raise ConfigurationError(
        "this was unpickled in another process, and a pickle carries no password of a proxy. Give "
        "`proxy` as a module-level function that returns its URL, or make the client there."
    )


def portable_proxy(proxy: Proxy) -> Proxy:
    """The setting for a pickle: without a password, or as the name of a function."""
    if callable(proxy):
        return proxy if is_named(proxy) else no_proxy
    addresses = proxy.values() if isinstance(proxy, Mapping) else (proxy,)
    has_password = any("@" in address for address in addresses if isinstance(address, str))
    return no_proxy if has_password else proxy


def _returned_by(function: Callable[[], FixedProxy]) -> FixedProxy:
    try:
        proxy = hidden(function())
    except AtlassianAuthError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        reason = f"proxy() raised {type(error).__name__}. Nothing was sent, nothing is lost."
        raise_clean(ConfigurationError(reason))
    if not _is_proxy(proxy):
        raise ConfigurationError("proxy() did not return a URL of a proxy. Nothing was sent.")
    return proxy


def _is_proxy(proxy: object) -> bool:
    """Whether it is a valid proxy setting that is no function."""
    if isinstance(proxy, Mapping):  # "" for a scheme: none
        return all(address == "" or _is_address(address) for address in proxy.values())
    return proxy is None or isinstance(proxy, bool) or _is_address(proxy)


def _is_address(proxy: object) -> bool:
    """Whether it is the URL of a proxy, perhaps without the scheme."""
    if not isinstance(proxy, str):
        return False
    try:
        parts = urlsplit(_with_scheme(proxy))
        return bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, proxy))
    except ValueError:
        return False
