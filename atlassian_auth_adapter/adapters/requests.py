"""The auth object for requests, and for every SDK that is built on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http.cookiejar import Cookie, DefaultCookiePolicy
from time import perf_counter
from typing import Any, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

import requests
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body
from urllib3.util import parse_url

from atlassian_auth_adapter.adapters._auth import (
    SESSION_COOKIES,
    AuthObject,
    bridged,
    credential_in,
    library_of,
    may_repeat,
    refuse,
    without_session,
)
from atlassian_auth_adapter.atlassian.gateway import Location
from atlassian_auth_adapter.errors import AtlassianAuthError, FreshTokenRejectedError
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["AtlassianAuth"]


class AtlassianAuth(AuthObject, AuthBase):
    """Makes every request of a requests session carry a valid bearer token.

        session.auth = AtlassianAuth(source)

    Threads share one. Being the session's auth, it also keeps `.netrc` from being read for the
    first request; what requests reads from it for a redirect is put right when it is rejected.

    Args:
        source: A client of this package or any TokenSource.
        foreign: What happens to a request outside the grant: "bare" sends it without a token and
            reports it once per origin, "raise" raises ForeignOriginError.

    Raises:
        LoginRequiredError, TokenEndpointError, TokenStoreError, ForeignOriginError, and what
            `AtlassianClient.token_set` raises for a site: From the request; each also is a
            requests.RequestException.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Attach the token. Called by requests."""
        if library_of(request) in ("httpx", "httpx2", "niquests"):
            refuse(self, request)
        location = _location(request.url)
        try:
            route = self.admit(location)
            if route is None:
                return request
            token_set = self.source.token_set()
            if route.undecided:
                route = self.admit(location, again=True)
        except AtlassianAuthError as error:
            failure, cause = _failed(error, request), error.__cause__
        else:
            if route is None:
                return request
            if route.location != location:
                _send_to(request, route.location)
            return self._with_token(request, token_set)
        raise failure from cause  # outside of the handler: its context would hold frames

    def _with_token(
        self, request: requests.PreparedRequest, token_set: TokenSet
    ) -> requests.PreparedRequest:
        request.headers["Authorization"] = token_set.authorization
        self._drop_session(request)
        if encode_again := _encoding_again(request.body):
            request._atlassian_encode_again = encode_again  # type: ignore[attr-defined] # noqa: SLF001
        if self._on_response not in request.hooks["response"]:
            # First, so that the program's own hooks see the final response only.
            request.hooks["response"].insert(0, self._on_response)
        return request

    def _on_response(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        """Called by requests for the response of every hop, before it follows a redirect."""
        answer = self._answer(response, kwargs)
        if answer.is_redirect:
            self._prepare_redirect(answer)
            if "Authorization" not in answer.request.headers:
                # Redirects are made from the original request.
                _leave_off(response.request)
        return answer

    def _answer(self, response: requests.Response, kwargs: dict[str, Any]) -> requests.Response:
        """The response, or the one to the same request with another token."""
        request = response.request
        location = _location(request.url)
        authorization = request.headers.get("Authorization", "")
        if not (authorization or _was_left_off(request)) or not self.is_ours(location):
            return response
        sent = credential_in(_text(authorization))
        verdict = self.verdict(
            response.status_code,
            response.headers,
            lambda: response.content,
            sent,
            request.method or "",
            location,
        )
        if not verdict.is_rejection:
            return response
        try:
            self.check_pace(request.method or "", location, sent)
            fresh = self.source.token_set(rejected=sent)
        except FreshTokenRejectedError as error:
            self.give_up(error, location)
            return response
        except AtlassianAuthError as error:
            response.close()
            failure, cause = _failed(error, request), error.__cause__
        else:
            self.note_brought(request.method or "", location, fresh)
            if not may_repeat(verdict, request.method or "") or not _rewound(request):
                return response  # the token is ready for the next request
            again = self._send_again(response, fresh, kwargs)
            self.note_answer(
                request.method or "", location, fresh, again.status_code, again.headers
            )
            return again
        del authorization, sent, kwargs  # error reporters print the locals of a frame
        raise failure from cause  # outside of the handler: its context would hold frames

    def _send_again(
        self, response: requests.Response, token_set: TokenSet, kwargs: dict[str, Any]
    ) -> requests.Response:
        """The answer to the same request with another token, the first one in its history."""
        began = perf_counter()
        _ = response.content  # drained, so that the connection can be used again
        response.close()
        original = response.request
        request = original.copy()
        extract_cookies_to_jar(request._cookies, original, response.raw)  # type: ignore[attr-defined,no-untyped-call] # noqa: SLF001
        request.headers.pop("Cookie", None)
        request.prepare_cookies(request._cookies)  # type: ignore[attr-defined] # noqa: SLF001
        request.headers["Authorization"] = token_set.authorization
        self._drop_session(request)
        again: requests.Response = response.connection.send(request, **kwargs)
        if again.is_redirect:
            # Redirects are made from the original request: they must not carry the rejected token.
            original.headers["Authorization"] = request.headers["Authorization"]
        again.history.append(response)
        again.request = request
        again.elapsed = timedelta(seconds=perf_counter() - began)
        return again

    def _drop_session(self, request: requests.PreparedRequest) -> None:
        if not self.drops_sessions:
            return
        cookies = without_session(_text(request.headers.pop("Cookie", "")))
        if cookies:
            request.headers["Cookie"] = cookies
        # Redirects get a header of their own, made from a copy of this jar.
        jar = RequestsCookieJar(_WithoutSessions(self))
        jar.update(request._cookies or {})  # type: ignore[attr-defined] # noqa: SLF001
        request._cookies = jar  # type: ignore[attr-defined] # noqa: SLF001

    def _prepare_redirect(self, response: requests.Response) -> None:
        """Requests keeps the header on the same origin whatever the path: take it off where it must
        not go, and turn a link to the site into one to the gateway."""
        try:
            target = urljoin(response.url, response.headers["Location"])
            location = _location(target)
        except ValueError:  # LocationParseError is one; requests says so itself
            route = None
        else:
            route = self.source.resource_server.route(location)
        if route is None or not route.bearer:
            response.request.headers.pop("Authorization", None)
        elif route.location != location:
            response.headers["Location"] = _url(target, route.location)


class _WithoutSessions(DefaultCookiePolicy):
    """Keeps sessions of Data Center, which would win over the token, from going with it."""

    def __init__(self, auth: AtlassianAuth) -> None:
        super().__init__()
        self.auth = auth

    def return_ok(self, cookie: Cookie, request: Request) -> bool:
        is_session = cookie.name in SESSION_COOKIES
        if is_session and self.auth.is_ours(_location(request.get_full_url())):
            return False
        return super().return_ok(cookie, request)


def _text(header: str | bytes) -> str:
    return header.decode("latin-1") if isinstance(header, bytes) else header


def _location(url: str | None) -> Location:
    """The URL as urllib3 sees it, which is who connects; the path as it is sent.

    For a redirect requests neither removes dot segments nor has urllib3 do it.
    """
    parsed = parse_url(url or "")
    return Location(
        (parsed.scheme or "").lower(),
        (parsed.host or "").strip("[]").lower(),
        parsed.port,
        urlsplit(url or "").path or "/",
        parsed.auth is not None,
    )


def _failed(error: AtlassianAuthError, request: requests.PreparedRequest) -> AtlassianAuthError:
    failure: Any = bridged(error, requests.RequestException)
    failure.response = None
    # Where it was to go, without headers and body.
    failure.request = requests.Request(request.method, request.url)
    return cast("AtlassianAuthError", failure)


def _leave_off(request: requests.PreparedRequest) -> None:
    """The request goes on without the token, and is ours all the same when it is sent once more."""
    request.headers.pop("Authorization", None)
    request._atlassian_token_left_off = True  # type: ignore[attr-defined] # noqa: SLF001


def _was_left_off(request: requests.PreparedRequest) -> bool:
    return getattr(request, "_atlassian_token_left_off", False)


def _url(url: str, location: Location) -> str:
    """The URL moved to another place, with its query."""
    query = parse_url(url).query
    return f"{location.origin_url}{location.path}" + (f"?{query}" if query else "")


def _send_to(request: requests.PreparedRequest, location: Location) -> None:
    """Send the request to the gateway instead; cookies of the site stay behind."""
    request.url = _url(request.url or "", location)
    request.headers.pop("Host", None)
    request.headers.pop("Cookie", None)
    request.prepare_cookies(request._cookies)  # type: ignore[attr-defined] # noqa: SLF001


def _encoding_again(body: Any) -> Callable[[], Any] | None:
    """What makes an encoder of requests-toolbelt anew, before any of it was read; else None.

    It streams a form and cannot be rewound itself, but the files in it can. The SDK jira uploads
    attachments so. Source: requests-toolbelt 1.0, multipart/encoder.py.
    """
    if type(body).__name__ != "MultipartEncoder" or library_of(body) != "requests_toolbelt":
        return None
    fields, length = body.fields, body.len
    values = [value for _, value in (fields.items() if hasattr(fields, "items") else fields)]
    parts = [value[1] if isinstance(value, list | tuple) else value for value in values]
    files = [part for part in parts if hasattr(part, "read")]
    try:
        starts = [(file, file.tell()) for file in files]
    except (AttributeError, OSError, ValueError):
        return None

    # No function of this place: responses are pickled with their requests.
    return partial(_encoded_again, body, length, starts)


def _encoded_again(spent: Any, length: int, starts: list[tuple[Any, int]]) -> Any:
    """An encoder of the same form, or None when it would not be the same any more."""
    try:
        if any(file.seek(start) != start for file, start in starts):
            return None
        encoder = type(spent)(spent.fields, spent.boundary_value, spent.encoding)
    except (AttributeError, OSError, ValueError):  # closed by now, or never could
        return None
    return encoder if encoder.len == length else None


def _rewound(request: requests.PreparedRequest) -> bool:
    """Whether the body stands at its start again, so that all of it would be sent."""
    if encode_again := getattr(request, "_atlassian_encode_again", None):
        encoder = encode_again()
        request.body = encoder or request.body
        return encoder is not None
    body: object = request.body
    if body is None or isinstance(body, bytes | str):
        return True
    try:
        rewind_body(request)  # refuses a generator, and what could not tell where it began
    except (UnrewindableBodyError, ValueError):
        return False
    return True
