"""The auth flow of the httpx family: httpx and httpx2 speak the same interface.

The flow is one generator. It yields what it needs (a token set, the body of a response, the
response to a request) and gets it back; two short drivers, one sync and one async, provide it. No
lock is held across a yield.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.adapters._auth import (
    SAFE_METHODS,
    AuthObject,
    Rejection,
    credential_in,
    without_session,
)
from atlassian_auth_adapter.adapters._bodies import PartlyReadStream
from atlassian_auth_adapter.adapters._headers import UncopiedHeaders
from atlassian_auth_adapter.adapters._httpx_urls import (
    location_of,
    relocated,
    sent_elsewhere,
    text_of,
)
from atlassian_auth_adapter.adapters._libraries import bridged, library_of, refuse
from atlassian_auth_adapter.adapters._trace import without_ours
from atlassian_auth_adapter.atlassian.gateway import Route
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.verdicts import is_ordinary
from atlassian_auth_adapter.errors import AtlassianAuthError, FreshTokenRejectedError, raise_clean
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:
    import httpx

__all__ = ["HTTPXFamilyAuth"]


#: Extensions with which caches mark their answers; see `_is_from_cache`.
_CACHE_EXTENSIONS = ("caching", "from_cache", "hishel_from_cache")


@dataclass(frozen=True, slots=True)
class _NeedTokenSet:
    rejected: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _NeedSite:
    """The route of the request is undecided: the site has to be known."""


@dataclass(frozen=True, slots=True)
class _NeedStart:
    """The start of the body."""

    response: httpx.Response


@dataclass(frozen=True, slots=True)
class _Drop:
    """Another request takes the place of this response."""

    response: httpx.Response


#: What was sent at once: its URL as text, its URL, and its token set.
_Sent = tuple[str, Any, TokenSet]


class HTTPXFamilyAuth(AuthObject):
    """The auth flow for httpx and for httpx2, which speak the same interface."""

    requires_request_body = False
    requires_response_body = False
    #: The library's base of everything that can go wrong with a request.
    _error: type[Exception]
    #: A stream of the library, for bodies that were read in part.
    _stream: type[PartlyReadStream]
    #: The library's headers, with `UncopiedHeaders` mixed in.
    _headers: type[UncopiedHeaders]

    def __call__(self, request: object, *_: object) -> None:
        """Reached only from another library, one that takes any callable."""
        refuse(self, request)

    # Typed as Any: the request is one of httpx or of httpx2.
    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Drives the flow for a sync client. Called by the library."""
        if (sent := self._sent_at_once(request, False)) is None:
            flow = self._flow(request, is_async=False)
        else:
            response = yield request
            if self._is_ordinary(request, sent, response):
                return
            flow = self._answered(request, response, sent[2], lambda: True, is_async=False)
        reply: Any = None
        while (step := _next_step(flow, reply)) is not None:
            if isinstance(step, _NeedTokenSet):
                try:
                    reply = self.source.token_set(step.rejected)
                except AtlassianAuthError as error:
                    reply = error
            elif isinstance(step, _NeedSite):
                self.source.learn_site()
            elif isinstance(step, _NeedStart):
                reply = self._stream.start_of(step.response)
            elif isinstance(step, _Drop):
                self._stream.drop(step.response)
            else:
                reply = yield step

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drives the flow for an async client. Called by the library."""
        if (sent := self._sent_at_once(request, True)) is None:
            flow = self._flow(request, is_async=True)
        else:
            response = yield request
            if self._is_ordinary(request, sent, response):
                return
            flow = self._answered(request, response, sent[2], lambda: True, is_async=True)
        reply: Any = None
        while (step := _next_step(flow, reply)) is not None:
            if isinstance(step, _NeedTokenSet):
                try:
                    reply = await self.source.token_set_async(step.rejected)
                except AtlassianAuthError as error:
                    reply = error
            elif isinstance(step, _NeedSite):
                await self.source.learn_site_async()
            elif isinstance(step, _NeedStart):
                reply = await self._stream.start_of_async(step.response)
            elif isinstance(step, _Drop):
                await self._stream.drop_async(step.response)
            else:
                reply = yield step

    def _sent_at_once(self, request: httpx.Request, is_async: bool) -> _Sent | None:
        """What was added to the request, if URL, token and body need no closer look."""
        url = request.url
        text = text_of(url)
        found = self.at_once(text) if hasattr(request, "_content") else None
        if found is None:
            return None
        sent_to, token_set = found
        headers = self._attach(request, token_set, is_async)
        if sent_to:
            text, url = sent_to, sent_elsewhere(url, sent_to)
            _send_to(request, url, has_cookies=headers.has_cookies)
        return text, url, token_set

    def _is_ordinary(self, request: httpx.Request, sent: _Sent, response: httpx.Response) -> bool:
        """Whether nothing is to be done about the response to a request that was sent at once."""
        text, url, token_set = sent
        headers: Any = request.headers
        if (
            response.request is not request  # the library has followed redirects
            or request.url is not url
            or getattr(headers, "authorization", None) is not token_set.authorization
            or not is_ordinary(response.status_code, response.headers.raw)
        ):
            return False
        if not _is_from_cache(response):
            self.note_accepted(request.method, text)
        return True

    def _flow(self, request: httpx.Request, is_async: bool) -> Generator[Any, Any, None]:
        token_set = yield from self._routed(request)
        if token_set is None:
            yield request
            return
        rewind = _rewinder(request)
        self._attach(request, token_set, is_async)
        response = yield request
        yield from self._answered(request, response, token_set, rewind, is_async)

    def _answered(
        self,
        request: httpx.Request,
        response: httpx.Response,
        token_set: TokenSet,
        rewind: Callable[[], bool],
        is_async: bool,
    ) -> Generator[Any, Any, None]:
        """What follows the response to a request with the token."""
        answer = self._telling(request, response)
        if answer.request is not request:  # the library has followed redirects
            bare = yield from self._hop_without_its_token(request, response, rewind)
            if bare is not None:
                # The library counts these requests as redirects, so they have an end.
                yield _Drop(response)
                yield from self._flow(bare, is_async)
                return
        location = location_of(answer.request.url)
        if not self.may_carry_token(location):
            return
        if not _carried(answer.request, token_set) or _is_from_cache(answer):
            return
        start = yield from _start_of(answer)
        rejection = self.rejection(
            answer.request.method,
            location,
            token_set.access_token,
            answer.status_code,
            answer.headers,
            lambda: start,
        )
        if rejection is not None:
            yield from self._replace_token(
                request, response, rejection, token_set, rewind, is_async
            )

    def _telling(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        """The answer that says something about the token: usually the last one.

        A redirect to a login page says that the token was not accepted, although the library may
        have followed it.
        """
        for hop in _answers_to(request, response):
            location = location_of(hop.request.url)
            if self.may_carry_token(location) and self.asks_for_a_login(
                location, hop.status_code, hop.headers
            ):
                return hop
        return response

    def _routed(self, request: httpx.Request) -> Generator[Any, Any, TokenSet | None]:
        """The token set of the request, which has its route then; None: no token."""
        location = location_of(request.url)
        route = self.admitted(location, request)
        if route is None:
            return None
        token_set = self._token_set_or_raise((yield _NeedTokenSet()), request)
        if route.undecided:
            yield _NeedSite()
            route = self.admitted(location, request, again=True)
            if route is None:
                return None
        if route.location != location:
            _send_to(request, relocated(request.url, route.location))
        return token_set

    def _attach(
        self, request: httpx.Request, token_set: TokenSet, is_async: bool
    ) -> UncopiedHeaders:
        """Add the token, and a trace extension that checks each hop after a redirect."""
        headers: Any = self._headers(self, request, token_set.authorization)
        request.headers = headers
        if headers.has_cookies and self.drops_sessions:
            cookies = without_session(headers.pop("Cookie"))
            if cookies:
                headers["Cookie"] = cookies
        extensions = {**request.extensions}
        if (inner := extensions.get("trace")) is not None:
            headers.inner = without_ours(inner)
        extensions["trace"] = headers.trace_async if is_async else headers.trace
        request.extensions = extensions
        return headers  # type: ignore[no-any-return]

    def _replace_token(
        self,
        request: httpx.Request,
        response: httpx.Response,
        rejection: Rejection,
        token_set: TokenSet,
        rewind: Callable[[], bool],
        is_async: bool,
    ) -> Generator[Any, Any, None]:
        """Get another token set, and send the request again with it if that is safe."""
        fresh = yield _NeedTokenSet(rejected=token_set.access_token)
        if isinstance(fresh, FreshTokenRejectedError):
            rejection.report_final(fresh)
            return
        fresh = self._token_set_or_raise(fresh, request)
        rejection.note_token(fresh)
        if rejection.method != request.method and request.method not in SAFE_METHODS:
            return  # carried out; the server rejected the GET that its redirect asked for
        if not rejection.may_resend or not rewind():
            return  # the token is ready for the next request
        yield _Drop(response)
        request.headers["Authorization"] = fresh.authorization
        response = yield request
        answer = self._telling(request, response)
        if answer.request is not request:
            bare = yield from self._hop_without_its_token(request, response, rewind)
            if bare is not None:
                yield _Drop(response)
                yield from self._flow(bare, is_async)
                return
        if self.may_carry_token(location_of(answer.request.url)) and _carried(
            answer.request, fresh
        ):
            start = yield from _start_of(answer)
            rejection.note_answer(fresh, answer.status_code, answer.headers, start)

    def _hop_without_its_token(
        self, request: httpx.Request, response: httpx.Response, rewind: Callable[[], bool]
    ) -> Generator[Any, Any, httpx.Request | None]:
        """The request to send again with the token, if the library followed a redirect without it.

        That is one to the site, which the gateway has to get, and each within the grant over a
        transport that does not show where its requests go. Others than safe methods are sent again
        only if they were rejected.

        Raises:
            ForeignOriginError: The library has gone to a foreign host, and `foreign` is "raise".
        """
        for answer in _answers_to(request, response):
            hop = answer.request
            if hop is request:
                continue
            location = location_of(hop.url)
            route = self.admitted(location, hop)
            if route is not None and route.undecided:
                yield _NeedSite()
                route = self.admitted(location, hop, again=True)
            if route is None:
                return None  # what a foreign host asks for gets no token
            if not (self.may_carry_token(location) and "Authorization" in hop.headers):
                is_rejected = answer.status_code == HTTPStatus.UNAUTHORIZED
                if hop.method in SAFE_METHODS or (is_rejected and rewind()):
                    return _again(hop)
                if self.asks_for_a_login(location, answer.status_code, answer.headers):
                    return None  # the rest is the way to its login page
        return None

    def admitted(
        self, location: Location, request: httpx.Request, *, again: bool = False
    ) -> Route | None:
        """As `admit`, with the error of the library."""
        try:
            return self.admit(location, again=again)
        except AtlassianAuthError as error:
            raise_clean(self.failed(error, request))

    def _token_set_or_raise(
        self, reply: TokenSet | AtlassianAuthError, request: httpx.Request
    ) -> TokenSet:
        if isinstance(reply, AtlassianAuthError):
            raise self.failed(reply, request) from reply.__cause__
        return reply

    def failed(self, error: AtlassianAuthError, request: httpx.Request) -> AtlassianAuthError:
        """The error for the program, which also is one of the library."""
        failure = bridged(error, self._error)
        # What httpx gives out as `.request`: method and URL, without headers and body.
        failure.request = type(request)(request.method, request.url)  # type: ignore[attr-defined]
        return failure


def _start_of(answer: httpx.Response) -> Generator[Any, Any, bytes]:
    """The start of the body of an answer that rejects the token."""
    return (yield _NeedStart(answer)) if answer.status_code == HTTPStatus.UNAUTHORIZED else b""


def _next_step(flow: Generator[Any, Any, None], reply: Any) -> Any:
    """The next step of the flow, or None at its end."""
    try:
        return flow.send(reply)
    except StopIteration:
        return None


def _send_to(request: httpx.Request, url: httpx.URL, *, has_cookies: bool = True) -> None:
    """Send the request to the gateway instead, without the cookies of the site."""
    request.url = url
    request.headers["Host"] = url.netloc.decode("ascii")
    if has_cookies:  # to look for one that is missing takes long
        request.headers.pop("Cookie", None)


def _answers_to(request: httpx.Request, response: httpx.Response) -> list[httpx.Response]:
    """The answers since the request was sent for the last time: the first one is to the request,
    the others are to its redirects, which the library has followed.
    """
    answers = [*response.history, response]
    last = max((at for at, answer in enumerate(answers) if answer.request is request), default=0)
    return answers[last:]


def _again(request: httpx.Request) -> httpx.Request:
    """The same request, to be sent by a new route."""
    again = type(request)(
        request.method,
        request.url,
        headers=request.headers,
        extensions=request.extensions,
        stream=request.stream,  # with a stream the library adds no headers
    )
    if _is_in_memory(again.stream):
        again.read()  # what was not read httpx-aiohttp sends in chunks, also the body of a GET
    return again


def _rewinder(request: httpx.Request) -> Callable[[], bool]:
    """A function that rewinds the body of the request and returns whether that has worked.

    Only the library's own streams are known: bytes in memory, a stream of parts that seeks each
    file by itself (`fields`), and a stream over any iterable (`_stream`), of which only seekable
    files can be read twice. Files with async methods cannot.
    """
    stream: Any = request.stream
    if hasattr(request, "_content") or _is_in_memory(stream):
        return lambda: True
    if library_of(stream) != type(stream).__module__.partition(".")[0]:
        return lambda: False
    if hasattr(stream, "fields"):
        files = [field.file for field in stream.fields if hasattr(field, "file")]
        seekable = all(isinstance(file, str | bytes) or _is_seekable(file) for file in files)
        return lambda: seekable
    source: Any = getattr(stream, "_stream", None)
    if hasattr(stream, "__aiter__") or not _is_seekable(source):
        return lambda: False
    start = source.tell()

    def rewind() -> bool:
        try:
            return bool(source.seek(start) == start)
        except (OSError, ValueError):  # closed meanwhile
            return False

    return rewind


def _is_in_memory(stream: Any) -> bool:
    """Whether it is the library's stream of bytes, or of no body."""
    return isinstance(getattr(stream, "_stream", None), bytes)


def _carried(request: httpx.Request, token_set: TokenSet) -> bool:
    return credential_in(request.headers.get("Authorization")) == token_set.access_token


def _is_from_cache(response: httpx.Response) -> bool:
    """Whether a cache has answered, so that no server has seen the token.

    Source: the extensions of hishel 0.1.5, 1.0 and 2.0.
    """
    known = response.extensions
    if known.keys().isdisjoint(_CACHE_EXTENSIONS):
        return False
    status = known.get("caching")
    status = status if isinstance(status, Mapping) else {}
    return any((known.get("from_cache"), known.get("hishel_from_cache"), status.get("from_cache")))


def _is_seekable(file: Any) -> bool:
    try:
        # As the libraries do, a file is believed to be seekable if it has `seek`.
        can_seek = file.seekable() if hasattr(file, "seekable") else hasattr(file, "seek")
        return can_seek is True and isinstance(file.tell(), int)
    except (AttributeError, OSError, ValueError):
        return False
