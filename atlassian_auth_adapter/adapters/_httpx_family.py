"""The auth flow of the httpx family: httpx and httpx2 speak the same interface.

The flow is one generator. It yields what it needs (a token set, a response's body, an answer) and
gets it back; two short drivers, one sync and one async, fetch it. Nothing is held across a yield.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.adapters._auth import (
    SAFE_METHODS,
    AuthObject,
    bridged,
    credential_in,
    library_of,
    may_repeat,
    refuse,
    without_session,
)
from atlassian_auth_adapter.atlassian.gateway import Location, Route
from atlassian_auth_adapter.errors import AtlassianAuthError, FreshTokenRejectedError
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:
    import httpx

__all__ = ["HTTPXFamilyAuth"]


@dataclass(frozen=True, slots=True)
class _NeedTokenSet:
    rejected: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _NeedBody:
    response: httpx.Response


class HTTPXFamilyAuth(AuthObject):
    """The auth flow for httpx and for httpx2, which speak the same interface."""

    requires_request_body = False
    requires_response_body = False
    #: The library's base of everything that can go wrong with a request.
    _error: type[Exception]

    def __call__(self, request: object) -> None:
        """Reached only through the wrong library, which takes any callable for an auth function."""
        refuse(self, request)

    # Typed as Any: the request is httpx's or httpx2's.
    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Drives the flow for a sync client. Called by the library."""
        reply: Any = None
        flow = self._flow(request, _Trace)
        while True:
            try:
                step = flow.send(reply)
            except StopIteration:
                return
            match step:
                case _NeedTokenSet():
                    try:
                        reply = self.source.token_set(step.rejected)
                    except AtlassianAuthError as error:
                        reply = error
                case _NeedBody():
                    reply = step.response.read()
                case _:
                    reply = yield step

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drives the flow for an async client. Called by the library."""
        reply: Any = None
        flow = self._flow(request, _AsyncTrace)
        while True:
            try:
                step = flow.send(reply)
            except StopIteration:
                return
            match step:
                case _NeedTokenSet():
                    try:
                        reply = await self.source.token_set_async(step.rejected)
                    except AtlassianAuthError as error:
                        reply = error
                case _NeedBody():
                    reply = await step.response.aread()
                case _:
                    reply = yield step

    def _flow(
        self, request: httpx.Request, trace: type[_Trace], *, redirected: bool = False
    ) -> Generator[Any, Any, None]:
        location = _location(request.url)
        route = self._admitted(location, request)
        if route is not None:
            token_set = self._believed((yield _NeedTokenSet()), request)
            if route.undecided:
                route = self._admitted(location, request, again=True)
        if route is None:
            yield request
            return
        if route.location != location:
            _redirect(request, route.location)
        rewind = rewinder(request)
        theirs = request.extensions.get("trace")
        if isinstance(theirs, _Trace):  # the same request once more
            theirs = theirs.theirs
        request.extensions = {**request.extensions, "trace": trace(self, theirs)}
        request.headers["Authorization"] = token_set.authorization
        if self.drops_sessions:
            cookies = without_session(request.headers.pop("Cookie", ""))
            if cookies:
                request.headers["Cookie"] = cookies
        response = yield request
        answered = route.location
        if response.request is not request:  # after redirects this may be anybody's answer
            answered = _location(response.request.url)
            if not self.is_ours(answered):
                # Once: servers that go on sending us there get no more from us.
                if not redirected and self._was_sent_to_the_site(response, answered):
                    yield from self._flow(_hop(response.request), trace, redirected=True)
                return
        if credential_in(response.request.headers.get("Authorization")) != token_set.access_token:
            return
        body = b""
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            body = yield _NeedBody(response)
        verdict = self.verdict(
            response.status_code,
            response.headers,
            lambda: body,
            token_set.access_token,
            response.request.method,
            answered,
        )
        if not verdict.is_rejection:
            return
        try:
            self.check_pace(request.method, answered, token_set.access_token)
            fresh = yield _NeedTokenSet(rejected=token_set.access_token)
        except FreshTokenRejectedError as error:
            fresh = error
        if isinstance(fresh, FreshTokenRejectedError):
            self.give_up(fresh, answered)
            return
        fresh = self._believed(fresh, request)
        self.note_brought(request.method, answered, fresh)
        if response.request.method != request.method and request.method not in SAFE_METHODS:
            return  # carried out, and answered by a redirect to what was then rejected
        if not may_repeat(verdict, request.method) or not rewind():
            return  # the token is ready for the next request
        request.headers["Authorization"] = fresh.authorization
        response = yield request
        if response.request is request:
            self.note_answer(
                request.method, answered, fresh, response.status_code, response.headers
            )

    def _was_sent_to_the_site(self, response: httpx.Response, answered: Location) -> bool:
        """Whether our server redirects to the site, which takes no token: the gateway does.

        The library has followed already, in vain. Who else sends us there has no say in this.
        """
        return (
            response.request.method in SAFE_METHODS
            and self.source.resource_server.route(answered).bearer
            and all(self.is_ours(_location(hop.request.url)) for hop in response.history)
        )

    def _admitted(
        self, location: Location, request: httpx.Request, *, again: bool = False
    ) -> Route | None:
        try:
            return self.admit(location, again=again)
        except AtlassianAuthError as error:
            refusal = error
        raise self._failed(refusal, request)

    def _believed(self, reply: TokenSet | AtlassianAuthError, request: httpx.Request) -> TokenSet:
        if isinstance(reply, AtlassianAuthError):
            raise self._failed(reply, request) from reply.__cause__
        return reply

    def _failed(self, error: AtlassianAuthError, request: httpx.Request) -> AtlassianAuthError:
        failure = bridged(error, self._error)
        # What httpx hands out as `.request`: where it was to go, without headers and body.
        failure.request = type(request)(request.method, request.url)  # type: ignore[attr-defined]
        return failure


def _location(url: httpx.URL) -> Location:
    return Location(
        url.scheme,
        url.host.lower(),
        url.port,
        url.raw_path.decode("ascii").partition("?")[0],
        bool(url.userinfo),
    )


def _redirect(request: httpx.Request, location: Location) -> None:
    """Send the request to the gateway instead; cookies of the site stay behind."""
    request.url = request.url.copy_with(
        scheme=location.scheme,
        host=location.host,
        port=location.port,
        raw_path=location.path.encode() + (b"?" + request.url.query if request.url.query else b""),
    )
    request.headers["Host"] = request.url.netloc.decode("ascii")
    request.headers.pop("Cookie", None)


def _hop(request: httpx.Request) -> httpx.Request:
    """The request once more, to be routed; without what belongs to the host it went to."""
    headers = [(k, v) for k, v in request.headers.multi_items() if k not in ("host", "cookie")]
    return type(request)(
        request.method, request.url, headers=headers, extensions=request.extensions
    )


def rewinder(request: httpx.Request) -> Callable[[], bool]:
    """What puts the request's body back to its start and says whether that has worked.

    Only of the library's own streams is known how they read: bytes in memory, one over parts that
    seeks each file by itself (`fields`), and one over any iterable (`_stream`), of which only
    seekable files can be read twice. Files whose methods have to be awaited are none of those.
    """
    stream: Any = request.stream
    if hasattr(request, "_content"):  # bytes in memory, or no body
        return _nothing_to_do
    source: Any = getattr(stream, "_stream", None)
    if library_of(stream) != type(stream).__module__.partition(".")[0]:
        return _cannot_be_done
    if hasattr(stream, "fields"):
        files = [field.file for field in stream.fields if hasattr(field, "file")]
        seekable = all(isinstance(file, str | bytes) or _is_seekable(file) for file in files)
        return _nothing_to_do if seekable else _cannot_be_done
    if hasattr(stream, "__aiter__") or not _is_seekable(source):
        return _cannot_be_done
    start = source.tell()

    def rewind() -> bool:
        try:
            return bool(source.seek(start) == start)
        except (OSError, ValueError):  # closed by now
            return False

    return rewind


def _nothing_to_do() -> bool:
    return True


def _cannot_be_done() -> bool:
    return False


def _is_seekable(file: Any) -> bool:
    try:
        return file.seekable() is True and isinstance(file.tell(), int)
    except (AttributeError, OSError, ValueError):
        return False


def _strip(auth: HTTPXFamilyAuth, name: str, info: Mapping[str, Any]) -> None:
    """Take the bearer off a hop that may not carry it, and else a session that would win over it.

    The library follows redirects inside the flow, keeps the header on the same origin, whatever the
    path, and adds its cookies. The trace extension sees each hop's request just before its headers
    are written.
    """
    if not name.endswith("send_request_headers.started"):
        return
    request = info["request"]
    url = request.url
    target = url.target.decode("ascii")
    if "://" in target.partition("?")[0]:  # through a proxy, in absolute form
        location = Location.of(target)
    else:
        path = target.partition("?")[0]
        location = Location(url.scheme.decode(), url.host.decode().lower(), url.port, path)
    if not auth.is_ours(location):
        request.headers = [
            (key, value)
            for key, value in request.headers
            if not (key.lower() == b"authorization" and value.startswith((b"Bearer ", b"Basic ")))
        ]
    elif auth.drops_sessions:
        kept = [
            (key, without_session(value.decode("latin-1")).encode("latin-1"))
            if key.lower() == b"cookie"
            else (key, value)
            for key, value in request.headers
        ]
        request.headers = [(key, value) for key, value in kept if value or key.lower() != b"cookie"]


class _Trace:
    """A trace extension that strips first and then calls the program's own, if there is one."""

    def __init__(self, auth: HTTPXFamilyAuth, theirs: Callable[..., Any] | None) -> None:
        self.auth = auth
        self.theirs = theirs

    def __call__(self, name: str, info: Mapping[str, Any]) -> Any:
        _strip(self.auth, name, info)
        if self.theirs is not None:
            self.theirs(name, info)


class _AsyncTrace(_Trace):
    """The same for async clients."""

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        _strip(self.auth, name, info)
        if self.theirs is not None:
            await self.theirs(name, info)
