"""What every adapter does, and the auth flow that the httpx family shares. Imports no HTTP library.

The flow is one generator. It yields what it needs (a token set, a response's body, an answer) and
gets it back; two short drivers, one sync and one async, fetch it. Nothing is held across a yield.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from atlassian_auth_adapter.atlassian.gateway import Location, Route
from atlassian_auth_adapter.atlassian.scopes import scopes_for, successor_of
from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ForeignOriginError,
    FreshTokenRejectedError,
    ResourceUnavailableError,
    rebuilt,
)
from atlassian_auth_adapter.events import Event, EventName, report
from atlassian_auth_adapter.pickling import Unique
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:
    import httpx

__all__ = ["AuthObject", "HTTPXFamilyAuth", "bridged", "credential_in", "refuse", "without_session"]

#: Methods that may be sent again although the first answer was a success.
#: Source: RFC 9110 section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Foreign origins and resources that have gone which are remembered so as to be reported once.
MOST_REPORTED = 1000
#: What a site answers, among others, to which the grant does not reach.
_DOUBTFUL = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)

#: Of Data Center. Source: documentation of Jira, Confluence, Bitbucket and Crowd, 2026-11-22.
SESSION_COOKIES = frozenset(
    {
        *("JSESSIONID", "BITBUCKETSESSIONID", "crowd.token_key"),
        *("seraph.rememberme.cookie", "seraph.confluence", "_atl_bitbucket_remember_me"),
    }
)

_CLASS_FOR = {
    "requests": "AtlassianAuth",
    "httpx": "AtlassianHTTPXAuth",
    "httpx2": "AtlassianHTTPX2Auth",
}
#: niquests nearly fits, and breaks our promises. Source: measured 2026-11-24 with 3.21.2, HTTP/2.
#: While it multiplexes it follows redirects before a response hook runs, so that the token goes
#: along, and sends what was rejected twice more, POSTs too; AsyncSession cannot show hooks a body.
_KNOWN = frozenset({*_CLASS_FOR, "niquests"})


class AuthObject(Unique):
    """What all auth objects have in common: a source, and the rules of who gets its token.

    Threads, tasks and event loops share one. Copies are the same object; a pickle carries the
    source.
    """

    def __init__(self, source: TokenSource, *, foreign: Literal["bare", "raise"] = "bare") -> None:
        if not isinstance(source, TokenSource):
            raise TypeError(
                f"{type(self).__name__} takes a client or another TokenSource, not "
                f"{type(source).__name__}"
            )
        if foreign not in ("bare", "raise"):
            raise ValueError('foreign: choose "bare" (no token, request goes out) or "raise"')
        self.source = source
        self.foreign = foreign
        self._reported: dict[str, object] = {}

    @classmethod
    def from_profile(
        cls, name: str = "", *, foreign: Literal["bare", "raise"] = "bare", **arguments: Any
    ) -> Self:
        """With the client that a person has set up and logged in with the command atlassian-auth.

        Args:
            name: Of the profile; "": that of `ATLASSIAN_PROFILE`, or the only one, or "default".
            foreign: As in the constructor.
            arguments: Arguments of `create_atlassian_oauth_client`, which win over the profile.

        Raises:
            ConfigurationError: There is no such profile, or it does not describe a client.
            MissingExtraError: The extra `cli` is not installed.
        """
        import atlassian_auth_adapter as package  # clients are above us

        return cls(package.client_from_profile(name, **arguments), foreign=foreign)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def _elsewhere(self) -> tuple[Any, ...]:
        return _made, type(self), self.source, self.foreign

    @property
    def drops_sessions(self) -> bool:
        """Whether a session cookie would win over the token: on Data Center."""
        return self.source.resource_server.anonymous_fallback

    def admit(self, location: Location, *, again: bool = False) -> Route | None:
        """Where the request goes with the token, or None when it goes without.

        A route that is undecided has to be asked for again when there is a token set.

        Raises:
            ForeignOriginError: It would go without, and the option says to raise.
            ResourceUnavailableError: It is still undecided.
        """
        route = self.source.resource_server.route(location)
        if route.undecided and again:
            raise ResourceUnavailableError(
                "the login was replaced or forgotten in the middle of a request. It was not sent: "
                "try again."
            )
        if route.bearer or route.undecided:
            return route
        origin = location.origin_url
        hint = route.hint or (
            f'Use {self.source.resource_server.base_url} or another auth object, or foreign="bare".'
        )
        if self.foreign == "raise":
            raise ForeignOriginError(
                f"{origin} is outside of what this login is for, so the request would carry no "
                f"token. {hint}"
            )
        if self._is_news(origin):
            self._report("foreign_origin", origin=origin, hint=route.hint)
        return None

    def is_ours(self, location: Location) -> bool:
        """Whether a request that is on its way as it stands may carry the token."""
        route = self.source.resource_server.route(location)
        return route.bearer and route.location == location

    def verdict(
        self,
        status: int,
        headers: Mapping[str, str],
        body: Callable[[], bytes],
        sent: str | None,
        method: str,
        location: Location,
    ) -> Verdict:
        """What the response to a request with our bearer says; reports what people should know.

        Args:
            status: HTTP status.
            headers: Response headers.
            body: Called for the body when it matters.
            sent: The access token that the request carried; None for another credential.
            method: Of the request.
            location: Where it went.
        """
        current = self.source.current()
        verdict = judge(
            status,
            headers,
            body,
            expired=current is not None
            and current.access_token == sent
            and self.source.has_ended(current),
            anonymous_fallback=self.source.resource_server.anonymous_fallback,
            path=location.path,
        )
        where = {"origin": location.origin_url, "path": location.path}
        match verdict:
            case Verdict.SCOPE_MISSING:
                granted = current.scope if current else ""
                needed = " or ".join(scopes_for(method, location.path))
                self._report("scope_missing", granted=granted, needed=needed, **where)
            case Verdict.ANONYMOUS:
                self._report("anonymous", **where)
            case Verdict.GONE:
                if self._is_news(location.path):
                    self._report("gone", hint=successor_of(location.path), **where)
            case Verdict.RATE_LIMITED:
                wait, reason = headers.get("Retry-After", ""), headers.get("RateLimit-Reason", "")
                self._report("rate_limited", retry_after=wait, reason=reason, **where)
        if verdict is Verdict.FINE and status in _DOUBTFUL:
            self.source.doubt()
        if _is_accepted(status, verdict):
            self.source.pacing.accepted(_paced(method, location))
        return verdict

    def check_pace(self, method: str, location: Location, sent: str | None) -> None:
        """What was rejected may have another token fetched.

        Raises:
            FreshTokenRejectedError: It is the newest token, and this path goes on rejecting.
        """
        current = self.source.current()
        if current is None or current.access_token == sent:
            self.source.pacing.check(_paced(method, location), sent)

    def note_answer(
        self,
        method: str,
        location: Location,
        token_set: TokenSet,
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        """What a path says to the token that was fetched because it had rejected the one before."""
        verdict = judge(
            status,
            headers,
            lambda: b"",
            expired=False,
            anonymous_fallback=self.source.resource_server.anonymous_fallback,
            path=location.path,
        )
        if verdict.is_rejection or _is_accepted(status, verdict):
            self.note_brought(method, location, token_set, is_rejected=verdict.is_rejection)

    def note_brought(
        self,
        method: str,
        location: Location,
        token_set: TokenSet,
        *,
        is_rejected: bool | None = None,
    ) -> None:
        """A token set was fetched because this path had rejected the one before."""
        path, token = _paced(method, location), token_set.access_token
        self.source.pacing.brought(path, token, is_rejected=is_rejected)

    def give_up(self, error: FreshTokenRejectedError, location: Location) -> None:
        """Report a rejection that goes to the caller, because no other token would help."""
        self._report("rejected", error=str(error), origin=location.origin_url, path=location.path)

    def _is_news(self, thing: str) -> bool:
        """Whether it was not reported before; one thread only is told so."""
        mine = object()
        is_new = len(self._reported) < MOST_REPORTED and self._reported.setdefault(thing, mine)
        return is_new is mine

    def _report(self, name: EventName, **fields: Any) -> None:
        report(self.source.on_event, Event(name, self.source.account, MappingProxyType(fields)))


def _paced(method: str, location: Location) -> str:
    """What is paced: a method of a path. What one may do with it, another may not."""
    return f"{method} {location.origin_url}{location.path}"


def _is_accepted(status: int, verdict: Verdict) -> bool:
    """Whether an answer shows that the token is fine, whatever it says of the resource."""
    is_told = verdict is not Verdict.RATE_LIMITED and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_told and not verdict.is_rejection


def _made(
    cls: type[AuthObject], source: TokenSource, foreign: Literal["bare", "raise"]
) -> AuthObject:
    return cls(source, foreign=foreign)


def credential_in(authorization: str | None) -> str | None:
    """What an Authorization header of a kind that we write carries; None for any other."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential if scheme in ("Bearer", "Basic") and credential else None


def without_session(cookies: str) -> str:
    """A Cookie header without the sessions of Data Center, which would win over the token.

    What balances load or counts visitors stays; "" when nothing does, and then there is no header
    to send. Source: pycontribs/jira#1904.
    """
    kept = (pair for pair in cookies.split("; ") if pair.partition("=")[0] not in SESSION_COOKIES)
    return "; ".join(kept)


def may_repeat(verdict: Verdict, method: str) -> bool:
    """Whether sending again does no harm: what was rejected was not carried out."""
    return verdict is Verdict.REJECTED or method.upper() in SAFE_METHODS


def library_of(thing: object) -> str:
    """The HTTP library that a request or a stream belongs to, also by inheritance."""
    homes = [cls.__module__.partition(".")[0] for cls in type(thing).__mro__]
    return next((home for home in homes if home in _KNOWN), homes[0])


def refuse(auth: object, request: object) -> None:
    """Say which auth object belongs to the library that has called this one.

    Raises:
        TypeError: Always.
    """
    library = library_of(request)
    right = _CLASS_FOR.get(library)
    supported = ", ".join(f"{name}(...) for {home}" for home, name in _CLASS_FOR.items())
    advice = f"use {right}(...) for {library}" if right else f"it is not supported. Use {supported}"
    raise TypeError(f"{type(auth).__name__} does not work with {library}: {advice}")


_bridges: dict[tuple[type, type], type[AtlassianAuthError]] = {}


def bridged(error: AtlassianAuthError, foreign: type[Exception]) -> AtlassianAuthError:
    """The same error, for callers that catch the HTTP library's errors as well.

    It holds neither request nor response: they carry the bearer.
    """
    leaf = type(error)
    return _rebuild(leaf, foreign, error.args, dict(vars(error)))


def _rebuild(
    leaf: type[AtlassianAuthError],
    foreign: type[Exception],
    args: tuple[Any, ...],
    fields: dict[str, Any],
) -> AtlassianAuthError:
    cls = _bridges.get((leaf, foreign))
    if cls is None:
        namespace = {
            "__module__": leaf.__module__,
            "__doc__": leaf.__doc__,
            "__reduce__": lambda self: (
                _rebuild,
                (leaf, foreign, self.args, leaf.__reduce__(self)[1][2]),
            ),
        }
        cls = _bridges[leaf, foreign] = type(leaf.__name__, (leaf, foreign), namespace)
    return rebuilt(cls, args, fields)


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
