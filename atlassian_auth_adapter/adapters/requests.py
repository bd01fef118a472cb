"""The auth object for requests, and for every SDK that is built on it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Container
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from http.client import HTTPResponse as HTTPClientResponse
from http.cookiejar import Cookie, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlparse, urlsplit
from urllib.request import Request

import requests
from requests import PreparedRequest
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, requote_uri, select_proxy
from urllib3 import HTTPResponse

from atlassian_auth_adapter.adapters._auth import (
    SESSION_COOKIES,
    AuthObject,
    credential_in,
    refuse_clear_text_proxy,
    without_session,
)
from atlassian_auth_adapter.adapters._bodies import MOST_LOOKED_AT, PartlyReadFile, decoded
from atlassian_auth_adapter.adapters._libraries import bridged, library_of, refuse
from atlassian_auth_adapter.adapters._rewinding import note_how_to_rewind, rewound
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.plain_urls import is_rest
from atlassian_auth_adapter.atlassian.verdicts import is_ordinary, told
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    FreshTokenRejectedError,
    drop_frames,
    raise_clean,
)
from atlassian_auth_adapter.secret_text import hidden

if TYPE_CHECKING:
    from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["AtlassianAuth"]

#: A host and a port that requests, urllib3 and the standard library read in the same way.
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
#: The class of headers, if it keeps pairs of name and value by the name in lower case, as it always
#: did; else None. By public names it takes longer to set a header, and much longer to miss one.
_KEEPS_PAIRS = vars(CaseInsensitiveDict({"A": "b"})) == {"_store": {"a": ("A", "b")}}
_HEADERS: Any = CaseInsensitiveDict if _KEEPS_PAIRS else None
#: The variables with which requests finds a proxy for http. Elsewhere the system knows some, too.
_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_SYSTEM_HAS_PROXIES = sys.platform in ("darwin", "win32")


class AtlassianAuth(AuthObject, AuthBase):
    """Makes every request of a requests session carry a valid bearer token.

        session.auth = AtlassianAuth(source)

    Threads may share one. As the auth of the session it also keeps requests from reading `.netrc`
    for the first request. For a redirect requests reads it all the same; when the server rejects
    that login, the request is sent again with the token.

    Args:
        source: A client of this package or any other TokenSource.
        foreign: What happens to a request outside the grant of the login, also to one that a
            redirect asks for: "bare" sends it without a token and reports it once per origin and
            hint, "raise" raises ForeignOriginError.

    Raises:
        LoginRequiredError, TokenEndpointError, TokenStoreError, ForeignOriginError: From the
            request, as what `AtlassianClient.token_set` raises for a site; each also is a
            requests.RequestException.
        ConfigurationError: From the request; a proxy of the environment would read the token of a
            request to this machine by http. One of the session is known afterwards only, and the
            event "proxied" reports it.
    """

    def __call__(self, request: PreparedRequest, *_: object) -> PreparedRequest:
        """Attach the token. Called by requests."""
        server, snapshot, end, deadline, begins, sent, drops_sessions, _, header = self._latest
        if (  # as `at_once`: its call would take a tenth of all this
            type(request) is PreparedRequest
            and (rest := (url := request.url or "").removeprefix(begins)) != url
            and "\\" not in rest
            and rest.isprintable()
            and (("." not in rest and "%" not in rest) or is_rest(f"/{rest}"))
            and not (sent and ("//" in rest or rest[:1] == "/"))
            and self._place.resource_server is server
            and self._known.shared.snapshot is snapshot
            and time.time() < end
            and time.monotonic() < deadline
        ):
            if sent:
                _send_to(request, sent + rest)
        else:
            token_set = self._token_set(request)
            if token_set is None:
                return request
            _refuse_proxy_of_environment(request)
            header = "Authorization", token_set.header or token_set.authorization
            drops_sessions = self._plain_urls()[2]
        headers: Any = request.headers
        if type(headers) is _HEADERS:
            names: Any = headers._store  # noqa: SLF001
            names["authorization"] = header
        else:
            headers["Authorization"] = header[1]
            names = _names(headers)
        if drops_sessions and "cookie" in names:
            self._drop_session(request)
        if request.body is not None:
            note_how_to_rewind(request)
        hooks, hook = request.hooks["response"], self._on_response
        if not hooks:
            hooks.append(hook)
        elif hook not in hooks:
            hooks.insert(0, hook)  # first: the program's own hooks see the final response only
        return request

    def _token_set(self, request: PreparedRequest) -> TokenSet | None:
        """The token set, or None if the request must not carry it; it has its route then."""
        is_own = type(request) is PreparedRequest
        if is_own and (found := self._looked_up(request.url or "")):
            sent_to, token_set = found
            if sent_to:
                _send_to(request, sent_to)
            return token_set
        if library_of(request) in ("httpx", "httpx2", "aiohttp", "niquests"):
            refuse(self, request)
        location = _location(request.url)
        try:
            route = self.admit(location)
            if route is None:
                return None
            token_set = self.source.token_set()
            if route.undecided:
                self.source.learn_site()
                route = self.admit(location, again=True)
        except AtlassianAuthError as error:
            raise_clean(_failed(error, request), error.__cause__)
        if route is None:
            return None
        if route.location != location:
            _send_to(request, _url(request.url or "", route.location))
        return token_set

    def _on_response(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        """Called by requests for each response, before it follows a redirect."""
        if not kwargs.get("proxies") and self._is_ordinary(response):
            return response
        kwargs["proxies"] = hidden(kwargs.get("proxies"))  # may hold a password
        answer = self._answer(response, kwargs)
        if answer.is_redirect:
            self._prepare_redirect(answer)
            if "Authorization" not in answer.request.headers:
                # requests makes the redirected request from this one. The mark says that this one
                # may get its token back when it is sent again.
                response.request.headers.pop("Authorization", None)
                response.request._atlassian_token_left_off = True  # type: ignore[attr-defined] # noqa: SLF001
            response.request.copy = partial(_redirected, self, response.request)  # type: ignore[method-assign]
        return answer

    def _is_ordinary(self, response: requests.Response) -> bool:
        """Whether nothing is to be done about a response to a request for a plain URL."""
        request, url = response.request, response.request.url
        if not isinstance(url, str) or self.sent_to(url) != "":
            return False
        if not is_ordinary(response.status_code, told(response.headers, _names(response.headers))):
            return False
        if "authorization" in _names(request.headers) and _is_live(response):
            self.note_accepted(request.method or "", url)
        return True

    def _answer(self, response: requests.Response, kwargs: dict[str, Any]) -> requests.Response:
        """The response, or the one to the same request with another token."""
        request = response.request
        location = _location(request.url)
        authorization = hidden(request.headers.get("Authorization", ""))
        had_token = bool(authorization) or hasattr(request, "_atlassian_token_left_off")
        if not had_token or not self.may_carry_token(location) or not _is_live(response):
            return response
        if location.scheme == "http":
            self.note_proxy(location, select_proxy(location.origin_url, kwargs.get("proxies")))
        token = credential_in(_text(authorization))
        rejection = self.rejection(
            request.method or "",
            location,
            token,
            response.status_code,
            response.headers,
            lambda: _start_of(response),
        )
        if rejection is None:
            return response
        try:
            fresh = self.source.token_set(rejected=token)
        except FreshTokenRejectedError as error:
            rejection.report_final(error)
            return response
        except AtlassianAuthError as error:
            _close(response)
            raise_clean(_failed(error, request), error.__cause__)
        rejection.note_token(fresh)
        if not rejection.may_resend or not rewound(request):
            return response  # the token is ready for the next request
        again = self._send_again(response, fresh, kwargs)
        start = _start_of(again) if again.status_code == HTTPStatus.UNAUTHORIZED else b""
        rejection.note_answer(fresh, again.status_code, again.headers, start)
        return again

    def _send_again(
        self, response: requests.Response, token_set: TokenSet, kwargs: dict[str, Any]
    ) -> requests.Response:
        """The response to the same request with another token; its history holds the first one."""
        began = time.perf_counter()
        _drop(response)
        original = response.request
        request = PreparedRequest.copy(original)
        extract_cookies_to_jar(request._cookies, original, response.raw)  # type: ignore[attr-defined,no-untyped-call] # noqa: SLF001
        request.headers.pop("Cookie", None)
        request.prepare_cookies(request._cookies)  # type: ignore[attr-defined] # noqa: SLF001
        request.headers["Authorization"] = token_set.authorization
        if self.drops_sessions:
            self._drop_session(request)
        try:
            again: requests.Response = response.connection.send(request, **kwargs)
        except BaseException as error:  # the frames of http.client hold the plain header
            drop_frames(error)
            raise
        if again.is_redirect:
            # requests makes the redirected request from the original one, whose token was rejected.
            original.headers["Authorization"] = request.headers["Authorization"]
        again.history.append(response)
        again.request = request
        again.elapsed = timedelta(seconds=time.perf_counter() - began)
        return again

    def _drop_session(self, request: PreparedRequest) -> None:
        cookies = request.headers.pop("Cookie", None)
        if cookies and (kept := without_session(_text(cookies))):
            request.headers["Cookie"] = kept

    def _prepare_redirect(self, response: requests.Response) -> None:
        """Take the header off if the next request must not carry it. Otherwise write the URL that
        was judged into the response, or the gateway's for one of the site: requests itself would
        keep the header on the same origin, whatever the path, and joins URLs by rules of its own.
        """
        try:
            target = _redirect_target(response)
            location = _location(target)
        except ValueError:  # requests raises its own error for it
            route = None
        else:
            route = self.source.resource_server.route(location)
            if route.undecided:
                self.source.learn_site()
                route = self.source.resource_server.route(location)
        if route is None or not route.bearer:
            response.request.headers.pop("Authorization", None)
        else:
            is_same = route.location == location
            response.headers["Location"] = target if is_same else _url(target, route.location)

    def admit_redirected(self, request: PreparedRequest) -> None:
        """Report or refuse a request that requests is about to send because of a redirect."""
        try:
            self.admit(_location(request.url))
        except ValueError:  # requests raises its own error for it
            pass
        except AtlassianAuthError as error:
            raise_clean(_failed(error, request), error.__cause__)


class _Redirected(PreparedRequest):
    """A request that is asked for by a redirect: it is judged when it is sent.

    requests also prepares it for a program that follows no redirects. Sending one begins with its
    hooks.
    """

    auth: AtlassianAuth

    @property
    def hooks(self) -> Any:
        """The hooks. To take them is to send the request."""
        self.auth.admit_redirected(self)
        return vars(self)["hooks"]

    @hooks.setter
    def hooks(self, hooks: Any) -> None:
        vars(self)["hooks"] = hooks


def _redirected(auth: AtlassianAuth, request: PreparedRequest) -> PreparedRequest:
    """What requests makes the request of a redirect from, in place of a plain copy."""
    copy: Any = _Redirected()
    vars(copy).update(vars(PreparedRequest.copy(request)), auth=auth)
    if auth.drops_sessions:
        # requests makes the Cookie header of the redirected request from this jar.
        jar = RequestsCookieJar(_WithoutSessions(auth))
        jar.update(copy._cookies or {})  # noqa: SLF001
        copy._cookies = jar  # noqa: SLF001
    return cast("PreparedRequest", copy)


class _WithoutSessions(DefaultCookiePolicy):
    """Sends no session of Data Center with the token, because Data Center prefers the session."""

    def __init__(self, auth: AtlassianAuth) -> None:
        super().__init__()
        self.auth = auth

    def return_ok(self, cookie: Cookie, request: Request) -> bool:
        is_session = cookie.name in SESSION_COOKIES
        if is_session and self.auth.may_carry_token(_location(request.get_full_url())):
            return False
        return super().return_ok(cookie, request)


def _text(header: str | bytes) -> str:
    return header.decode("latin-1") if isinstance(header, bytes) else header


def _location(url: str | None) -> Location:
    """The location, with the path as it is sent.

    Which parser finds the host to connect to depends on the version of requests, so only a host
    that all read alike is a plain one. In a redirect neither requests nor urllib3 removes dot
    segments.
    """
    parts = urlsplit(url or "")
    return Location(
        parts.scheme,
        parts.hostname or "",
        parts.port,
        parts.path or "/",
        not _HOST_AND_PORT.fullmatch(parts.netloc),
    )


def _redirect_target(response: requests.Response) -> str:
    """The URL to follow, absolute and quoted, as requests finds it.

    Raises:
        ValueError: The Location is not a URL.
    """
    # http.client has decoded UTF-8 as Latin-1.
    target = response.headers["Location"].encode("latin-1").decode()
    return urljoin(response.url, requote_uri(urlparse(target).geturl()))


def _refuse_proxy_of_environment(request: PreparedRequest) -> None:
    """Refuse it for a request with the token to this machine, which is not encrypted.

    requests shows an auth object no other proxies before the request is sent, and does not say
    whether it heeds these; see `AuthObject.note_proxy`.
    """
    if not (request.url or "").startswith("http:"):
        return
    if not _SYSTEM_HAS_PROXIES and not any(name in os.environ for name in _PROXY_VARIABLES):
        return
    location = _location(request.url)
    if select_proxy(location.origin_url, get_environ_proxies(location.origin_url)):
        try:
            refuse_clear_text_proxy(location)
        except AtlassianAuthError as error:
            raise_clean(_failed(error, request))


def _failed(error: AtlassianAuthError, request: PreparedRequest) -> AtlassianAuthError:
    failure: Any = bridged(error, requests.RequestException)
    failure.response = None
    # Method and URL only: headers and body may hold secrets.
    failure.request = requests.Request(request.method, request.url)
    return cast("AtlassianAuthError", failure)


def _url(url: str, location: Location) -> str:
    """The URL at another location, with the same query."""
    query = urlsplit(url).query
    return f"{location.origin_url}{location.path}" + (f"?{query}" if query else "")


def _names(headers: Any) -> Container[str]:
    """The names of the headers, in lower case.

    To look up a header that is missing takes requests longer than all the rest.
    """
    if type(headers) is _HEADERS:
        names: Container[str] = headers._store  # noqa: SLF001
        return names
    return {name.lower() for name in headers}


def _send_to(request: PreparedRequest, url: str) -> None:
    """Send the request to the gateway instead, without the cookies of the site."""
    request.url = url
    headers = request.headers
    names = _names(headers)
    if "host" in names:
        del headers["Host"]
    if "cookie" in names:
        del headers["Cookie"]
    jar = request._cookies  # type: ignore[attr-defined] # noqa: SLF001
    if getattr(jar, "_cookies", True) and jar:  # to ask whether a jar is empty takes longer
        request.prepare_cookies(jar)


def _is_live(response: requests.Response) -> bool:
    """Whether a server, or a mock, has just answered; otherwise a cache has kept the answer.

    Source: requests-cache 1.3, CacheControl 0.14.
    """
    is_kept = getattr(response, "from_cache", False)
    return not is_kept and getattr(response, "connection", None) is not None


def _is_unread(response: requests.Response) -> bool:
    return vars(response).get("_content") is False


def _start_of(response: requests.Response) -> bytes:
    """The start of the body, decoded. The body can still be read, streamed or not."""
    if not _is_unread(response):
        return (response.content or b"")[:MOST_LOOKED_AT]
    raw = response.raw
    if raw is None:
        return b""
    encoding = response.headers.get("Content-Encoding", "")
    if isinstance(raw, PartlyReadFile):
        return raw.start
    if not hasattr(raw, "stream"):  # not one of urllib3, and requests decodes nothing in it
        response.raw = body = PartlyReadFile(raw, raw.read)
        return body.start
    known = getattr(raw, "_fp", None)
    if isinstance(known, PartlyReadFile):
        return decoded(known.start, encoding)
    body = PartlyReadFile(raw, _reader_of(raw))
    response.raw = HTTPResponse(
        body,
        headers=raw.headers,
        status=raw.status,
        version=raw.version,
        reason=raw.reason,
        preload_content=False,
        decode_content=raw.decode_content,
        original_response=getattr(raw, "_original_response", None),  # holds the cookies
        request_method=response.request.method,
    )
    return decoded(body.start, encoding)


def _reader_of(raw: Any) -> Callable[[int], bytes]:
    """A function that reads so many bytes of a response of urllib3, without decoding them.

    From a server it does not wait for all of them, where urllib3 can do so (since 2.1). The
    connections of mocks may be unable to.
    """
    is_of_server = isinstance(getattr(raw, "_original_response", None), HTTPClientResponse)
    if not is_of_server or not hasattr(raw, "read1") or raw.length_remaining == 0:
        return partial(raw.read, decode_content=False)

    def read(size: int) -> bytes:
        # Python before 3.11.8 and 3.12.2 would wait for more than the length of the body.
        return b"" if raw.length_remaining == 0 else raw.read1(size, decode_content=False)

    return read


def _drop(response: requests.Response) -> None:
    """Close the response, which keeps the start of its body.

    A short body is read to its end, so that the connection can be used again.
    """
    start = _start_of(response)
    _close(response)
    if _is_unread(response):
        response._content = start  # noqa: SLF001
        response._content_consumed = True  # type: ignore[attr-defined] # noqa: SLF001


def _close(response: requests.Response) -> None:
    if response.raw is not None:  # a mock need not have one
        response.close()
