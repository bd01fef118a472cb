"""What every auth object does, for any HTTP library: who gets the token, what a response says.

Imports no HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Literal, Self

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

__all__ = [
    "AuthObject",
    "bridged",
    "credential_in",
    "library_of",
    "may_repeat",
    "refuse",
    "without_session",
]

#: Methods that may be sent again although the first answer was a success.
#: Source: RFC 9110 section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Foreign origins and resources that have gone which are remembered so as to be reported once.
MOST_REPORTED = 1000

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
        # The one import that points up; pyproject.toml declares it.
        from atlassian_auth_adapter.profiles import client_from_profile

        return cls(client_from_profile(name, **arguments), foreign=foreign)

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
