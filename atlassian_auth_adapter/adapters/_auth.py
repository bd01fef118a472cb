"""What every auth object does, for any HTTP library: which request carries the token, and what an
answer says about it.

Imports no HTTP library.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from atlassian_auth_adapter.atlassian.gateway import Route
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.plain_urls import PlainURLs, is_rest
from atlassian_auth_adapter.atlassian.scopes import lacking, scopes_for, shortened, successor_of
from atlassian_auth_adapter.atlassian.verdicts import DATA_POLICY, Verdict, judge
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    ForeignOriginError,
    FreshTokenRejectedError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.events import Event, EventName, report
from atlassian_auth_adapter.expiry import NO_LIMITS
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.hosts import is_loopback
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.sources import TokenSource

if TYPE_CHECKING:
    from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "AuthObject",
    "Rejection",
    "credential_in",
    "forget_oldest",
    "refuse_clear_text_proxy",
    "without_session",
]

#: Methods that may be sent again although the first answer was a success.
#: Source: RFC 9110 section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What an auth object remembers of each kind, such as what an event was reported about: the latest.
MOST_REMEMBERED = 1000

#: What the event `app_access_blocked` advises.
ALLOW_APP = (
    "a data security policy of the organization keeps apps from some content, and the answer is "
    "without it: an administrator can allow the app"
)

#: The session cookies of Data Center.
#: Source: documentation of Jira, Confluence, Bitbucket and Crowd, 2026-11-22.
SESSION_COOKIES = frozenset(
    {
        *("JSESSIONID", "BITBUCKETSESSIONID", "crowd.token_key"),
        *("seraph.rememberme.cookie", "seraph.confluence", "_atl_bitbucket_remember_me"),
    }
)

#: A resource server, its plain URLs, and whether it prefers session cookies to the token: of an
#: auth object that was asked for none.
_NONE_YET: tuple[Any, PlainURLs, bool] = None, PlainURLs({}), False
#: What an auth object has worked out for its latest request. It holds while resource server and
#: snapshot of the login are these, until a timestamp and a monotonic time: the route of the URL, as
#: of `PlainURLs`, whether session cookies are taken off, the token set, and its header.
_Latest = tuple[object, object, float, float, str, str, bool, Any, tuple[str, str]]
_NOTHING_YET: _Latest = (None, None, *NO_LIMITS[2:], "\n", "", False, None, ("", ""))


class AuthObject(PickledByReference):
    """What all auth objects have in common: a source, and the rules for its token.

    Threads, tasks and event loops may share one. A copy is the same object; a pickle holds the
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
        source.load_libraries()
        self.source = source
        self.foreign = foreign
        self._plain = _NONE_YET
        self._latest = _NOTHING_YET
        self._place, self._known, self._fresh = source.quick_look()

    @classmethod
    def from_profile(
        cls, name: str = "", *, foreign: Literal["bare", "raise"] = "bare", **arguments: Any
    ) -> Self:
        """With the client of a profile that was made with the command atlassian-auth.

        Args:
            name: Name of the profile; "": that in `ATLASSIAN_PROFILE`, or the only one, or
                "default".
            foreign: As in the constructor.
            arguments: Arguments of `create_atlassian_oauth_client`; they replace the profile's.

        Raises:
            ConfigurationError: There is no such profile, or it does not describe a client.
            MissingExtraError: The extra `cli` is not installed.
        """
        # The only import upwards; pyproject.toml declares it.
        from atlassian_auth_adapter.profiles.client import client_from_profile

        return cls(client_from_profile(name, **arguments), foreign=foreign)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return partial(type(self), foreign=self.foreign), self.source

    @property
    def drops_sessions(self) -> bool:
        """Whether session cookies are taken off, because the server prefers them to the token."""
        return self.source.resource_server.anonymous_fallback

    def sent_to(self, url: str) -> str | None:
        """As `PlainURLs.sent_to`, for the resource server: another one once a site was found."""
        return self._plain_urls()[1].sent_to(url)

    def at_once(self, url: str) -> tuple[str, TokenSet] | None:
        """What `sent_to` says of the URL, and the token set, if that is all that a request needs.

        None: URL or token need a closer look.
        """
        server, snapshot, end, deadline, begins, sent, _, token_set, _ = self._latest
        if (
            (rest := url.removeprefix(begins)) != url
            and "\\" not in rest  # nothing leads out again: see `Location.is_plain`
            and rest.isprintable()
            and (("." not in rest and "%" not in rest) or is_rest(f"/{rest}"))
            and not (sent and ("//" in rest or rest[:1] == "/"))
            and self._place.resource_server is server
            and self._known.shared.snapshot is snapshot
            and time.time() < end
            and time.monotonic() < deadline
        ):
            return sent and sent + rest, token_set
        return self._looked_up(url)

    def _looked_up(self, url: str) -> tuple[str, TokenSet] | None:
        """As `at_once`, for any plain URL. The next one may be found at once, if it has TLS."""
        server, plain, drops_sessions = self._plain_urls()
        route = plain.route_of(url)
        token_set = None if route is None else self._fresh()
        if route is None or token_set is None:
            return None
        begins, sent = route
        snapshot, limited, end, deadline = self._known.limits
        if limited is token_set and (sent or begins).startswith("https:"):
            header = "Authorization", token_set.authorization
            until = server, snapshot, end, deadline
            self._latest = *until, begins, sent, drops_sessions, token_set, header
        return sent and sent + url.removeprefix(begins), token_set

    def _plain_urls(self) -> tuple[Any, PlainURLs, bool]:
        """As `_plain`, of the resource server as it is now."""
        server, plain = self._place.resource_server, self._plain
        if plain[0] is not server:
            plain = server, PlainURLs(server.plain_routes), server.anonymous_fallback
            self._plain = plain
        return plain

    def admit(self, location: Location, *, again: bool = False) -> Route | None:
        """The route of a request that carries the token, or None if it must not carry it.

        If the route is undecided, get a token set, let the source learn the site, and call this
        `again`. If the site could not be learnt, the request must not carry the token.

        Raises:
            ForeignOriginError: It must not carry the token, and `foreign` is "raise".
            ResourceUnavailableError: The cloud id is not known any more.
        """
        route = self.source.resource_server.route(location)
        if route.undecided and again and not route.hint:
            raise ResourceUnavailableError(
                "the login was replaced or forgotten during a request, which was not sent: try "
                "again."
            )
        if route.bearer or (route.undecided and not again):
            return route
        origin = location.origin_url
        hint = route.hint or (
            f'Use {self.source.resource_server.base_url} or another auth object, or foreign="bare".'
        )
        if self.foreign == "raise":
            raise ForeignOriginError(
                f"a request to {origin} is outside the grant of this login and would carry no "
                f"token. {hint}"
            )
        if self._first_time("foreign_origin", (origin, route.hint)):
            self._report("foreign_origin", origin=origin, hint=route.hint)
        return None

    def note_accepted(self, method: str, url: str) -> None:
        """Remember that the token was accepted at this plain URL."""
        self.source.pacing.accepted(f"{method} {url.partition('?')[0]}")

    def note_proxy(self, location: Location, proxy: str | None) -> None:
        """Report a proxy that has got the token in clear text, for a request to this machine."""
        if proxy and is_loopback(location.host) and self._first_time("proxied", location.origin):
            self._report("proxied", origin=location.origin_url, hint=_without_proxy(location))

    def may_carry_token(self, location: Location) -> bool:
        """Whether a request to this location may carry the token as it is, without a new route."""
        route = self.source.resource_server.route(location)
        return route.bearer and route.location == location

    def rejection(
        self,
        method: str,
        location: Location,
        token: str | None,
        status: int,
        headers: Mapping[str, str],
        body: Callable[[], bytes],
    ) -> Rejection | None:
        """A Rejection if the answer rejects the token and another token may help, otherwise None.

        Reports what the answer says about token, scopes and rate limits.

        Args:
            method: HTTP method of the request that was answered.
            location: Location of that request.
            token: The access token that it carried; None for another credential.
            status: HTTP status of the answer.
            headers: Headers of the answer.
            body: Returns the start of the body, decoded; called only for a 401.
        """
        current = self.source.current()
        expired = (
            current is not None and current.access_token == token and self.source.has_ended(current)
        )
        verdict = self._verdict(location, status, headers, body, expired=expired)
        self._report_answer(verdict, method, location, headers, current)
        if not verdict.is_rejection:
            if _is_accepted(status, verdict):
                self.source.pacing.accepted(_paced(method, location))
            return None
        rejection = Rejection(self, verdict, method, location)
        current = self.source.current()  # there may be another one: the body took its time
        is_newest = current is None or current.access_token == token
        return None if is_newest and rejection.is_final(token) else rejection

    def asks_for_a_login(self, location: Location, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the answer is one to a request without a login, such as a redirect to sign in."""
        return self._verdict(location, status, headers) is Verdict.ANONYMOUS

    def _verdict(
        self,
        location: Location,
        status: int,
        headers: Mapping[str, str],
        body: Callable[[], bytes] = bytes,
        *,
        expired: bool = False,
    ) -> Verdict:
        return judge(
            status,
            headers,
            body,
            expired=expired,
            anonymous_fallback=self.source.resource_server.anonymous_fallback,
            path=location.path,
            origin=location.origin,
        )

    def _report_answer(
        self,
        verdict: Verdict,
        method: str,
        location: Location,
        headers: Mapping[str, str],
        current: TokenSet | None,
    ) -> None:
        where = {"origin": location.origin_url, "path": location.path}
        left_out = "app_access_blocked" in headers.get(DATA_POLICY, "").lower()
        if left_out and self._first_time("app_access_blocked", location.path):
            self._report("app_access_blocked", hint=ALLOW_APP, **where)
        match verdict:
            case Verdict.SCOPE_MISSING:
                scopes = current.scopes if current else frozenset()
                alternatives = scopes_for(method, location.path)
                self._report(
                    "scope_missing",
                    granted=shortened(scopes),
                    needed=" or ".join(alternatives),
                    missing=lacking(alternatives, scopes),
                    **where,
                )
            case Verdict.ANONYMOUS:
                self._report("anonymous", **where)
            case Verdict.GONE:
                if self._first_time("gone", location.path):
                    self._report("gone", hint=successor_of(location.path), **where)
            case Verdict.RATE_LIMITED:
                told = (headers.get(name) for name in ("Retry-After", "RateLimit-Reason"))
                wait, reason = (printable(text, 100) for text in told)
                self._report("rate_limited", retry_after=wait, reason=reason, **where)

    def _first_time(self, name: EventName, subject: Hashable) -> bool:
        """Whether the event was not reported about the subject yet; true for one thread only.

        Each event has a memory of its own. When it is full, what came first is forgotten.
        """
        memories = self.__dict__.setdefault("_reported", {})
        reported: OrderedDict[Hashable, object] = memories.setdefault(name, OrderedDict())
        mine = object()
        if reported.setdefault(subject, mine) is not mine:
            return False
        forget_oldest(reported)
        return True

    def _report(self, name: EventName, **fields: Any) -> None:
        report(self.source.on_event, Event(name, self.source.account, MappingProxyType(fields)))


class Rejection(NamedTuple):
    """An answer that rejects the token of a request, so that the adapter has to get another one."""

    auth: AuthObject
    verdict: Verdict
    method: str
    location: Location

    @property
    def may_resend(self) -> bool:
        """Whether the request may be sent again: it was not carried out, or it is a safe method."""
        return self.verdict is Verdict.REJECTED or self.method.upper() in SAFE_METHODS

    def is_final(self, token: str | None) -> bool:
        """Whether no other token than this one, the newest, would help now; that is reported."""
        try:
            self.auth.source.pacing.check(_paced(self.method, self.location), token)
        except FreshTokenRejectedError as error:
            self.report_final(error)
            return True
        return False

    def report_final(self, error: FreshTokenRejectedError) -> None:
        """Report that no other token would help, so that the caller gets this answer."""
        place = {"origin": self.location.origin_url, "path": self.location.path}
        self.auth._report("rejected", error=str(error), **place)  # noqa: SLF001 - this module's own

    def note_token(self, token_set: TokenSet, *, is_rejected: bool | None = None) -> None:
        """Remember that the token set was fetched because of this rejection.

        Args:
            token_set: The new one.
            is_rejected: Whether it was rejected as well; None: it was not tried yet.
        """
        self.auth.source.pacing.brought(
            _paced(self.method, self.location), token_set.access_token, is_rejected=is_rejected
        )

    def note_answer(
        self, token_set: TokenSet, status: int, headers: Mapping[str, str], start: bytes
    ) -> None:
        """Remember, and report, the answer to the request that was sent again with the new token
        set; of a 401 with the start of its body, decoded.
        """
        auth, method, location = self.auth, self.method, self.location
        verdict = auth._verdict(location, status, headers, lambda: start)  # noqa: SLF001
        if verdict.is_rejection or _is_accepted(status, verdict):
            self.note_token(token_set, is_rejected=verdict.is_rejection)
        if not verdict.is_rejection:
            auth._report_answer(verdict, method, location, headers, token_set)  # noqa: SLF001
        else:
            self.is_final(token_set.access_token)


def forget_oldest(memory: OrderedDict[Any, Any]) -> None:
    """Take off what is more than `MOST_REMEMBERED`; threads may share the memory."""
    while len(memory) > MOST_REMEMBERED:
        memory.popitem(last=False)


def _paced(method: str, location: Location) -> str:
    """The key for `Pacing`: a right may be missing for one method of a path and not for another."""
    return f"{method} {location.origin_url}{location.path}"


def _is_accepted(status: int, verdict: Verdict) -> bool:
    """Whether an answer shows that the server accepts the token, even if it denies the resource."""
    if verdict is Verdict.RATE_LIMITED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return False  # the server may not have looked at the token
    return not verdict.is_rejection


def credential_in(authorization: str | None) -> str | None:
    """The token or API token in an Authorization header; None for another scheme."""
    scheme, _, credential = (authorization or "").partition(" ")
    return SecretText(credential) if scheme in ("Bearer", "Basic") and credential else None


def without_session(cookies: str) -> str:
    """A Cookie header without the sessions of Data Center, which it prefers to the token.

    Cookies of load balancers and of analytics stay. "": send no Cookie header.
    Source: pycontribs/jira#1904.
    """
    kept = (pair for pair in cookies.split("; ") if pair.partition("=")[0] not in SESSION_COOKIES)
    return "; ".join(kept)


def refuse_clear_text_proxy(location: Location) -> None:
    """Raise if a proxy would read the token: to this machine it is sent without encryption.

    Call it for a request with the token that is on its way to a proxy.

    Raises:
        ConfigurationError: It is a request to this machine by http.
    """
    if location.scheme == "http" and is_loopback(location.host):
        raise ConfigurationError(
            f"a proxy is set for {location.origin_url}, and would read the token, so the request "
            f"was not sent. {_without_proxy(location)}"
        )


def _without_proxy(location: Location) -> str:
    return (
        f"Requests to this machine need no proxy: add {location.host} to the environment variable "
        "NO_PROXY, or take the proxy off the session or client."
    )
