"""What OAuth clients and service accounts have in common: a login, a store, and a place."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Literal, TypedDict

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import Location, ResourceServer
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge
from atlassian_auth_adapter.clients.places import CloudPlace, Place, SiteMemory
from atlassian_auth_adapter.clock import SYSTEM_CLOCK, Clock
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AtlassianAuthError,
    ConfigurationError,
    FreshTokenRejectedError,
    ResourceUnavailableError,
    without_frames,
)
from atlassian_auth_adapter.events import Event, EventName, OnEvent, report
from atlassian_auth_adapter.expiry import ExpiryPolicy, Freshness
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.oauth.token_endpoint import TokenEndpoint, checked_secret
from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.records import Login, TokenKey, load as load_record
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource, reentrancy_error
from atlassian_auth_adapter.refresh.steps import Rules
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.threads import (
    is_exiting,
    result_of,
    run_in_thread,
    wait,
    wait_async,
)
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, Proxy, Transport

__all__ = ["AtlassianClient", "Identity", "Secret", "Settings", "TokenStatus"]

#: The client secret, or a function that fetches it: pass a module-level function to be able to
#: pickle a client into another process.
Secret = str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the resource server says we are.

    Attributes:
        id: Account id on Cloud, user key or name on Data Center.
        name: For people.
        email: "" when the server does not tell.
        base_url: Which server said so.
    """

    id: str
    name: str = ""
    email: str = ""
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """What is known of a login, without a request and without secrets.

    Attributes:
        account: Whose login.
        state: "none" (there is no login), "fresh", "stale", "expired" (the next use renews it) or
            "login_required" (the refresh token was refused; what is left of the access token's
            hour may still work).
        expires_at: POSIX timestamp (seconds) of the access token's end, or None.
        obtained_at: POSIX timestamp (seconds) of the last token request, or None.
        scopes: The granted scopes.
        generation: Rotations and logins so far.
        throttled_until: POSIX timestamp (seconds) before which the server is not asked, or None.
        pending_since: POSIX timestamp (seconds) of a refresh whose end is not on record, or None.
        pending_owner: "host:process" that has sent it, or "".
        reason: Why the refresh token is dead, as in `LoginRequiredError.reason`, or "": the last
            refresh, that of `obtained_at`, went well.
        idle_until: POSIX timestamp (seconds) at which the login dies unless it is refreshed before,
            by itself or with `refresh()`; None when not known. Cloud and Data Center: 90 days.
        reauthorize_by: POSIX timestamp (seconds) by which a person has to log in again: the end of
            `idle_until`, or of the 365 days after the consent that Cloud once documented, whichever
            comes first; None when not known.
    """

    account: str
    state: Literal["none", "fresh", "stale", "expired", "login_required"]
    expires_at: float | None = None
    obtained_at: float | None = None
    scopes: tuple[str, ...] = ()
    generation: int = 0
    throttled_until: float | None = None
    pending_since: float | None = None
    idle_until: float | None = None
    reauthorize_by: float | None = None
    pending_owner: str = ""
    reason: Literal["", "refused", "answer_lost"] = ""


def _finite(instant: float) -> float | None:
    return instant if math.isfinite(instant) else None


class Settings(TypedDict, total=False):
    """Keyword arguments that every client takes; see `create_atlassian_oauth_client`."""

    scopes: Iterable[str] | None
    store: TokenStore | None
    account: str
    cert: str | tuple[str, str] | None
    timeout: float | tuple[float, float]
    max_wait: float
    expiry: ExpiryPolicy
    on_event: OnEvent | None
    clock: Clock


class AtlassianClient(PickledByReference, TokenSource):
    """One client with one login at one place: hands out tokens.

    Threads, tasks and event loops share a client. Copies of it are the same object. A pickle
    carries the configuration and the store, no token and no secret: unpickled in the same process
    (or a forked child) it is the very same client; elsewhere it needs `client_secret` to have been
    given as a function of a module, whose pickle is its name.

    Attributes:
        client_id: Identifies the client at the authorization server.
        callback_url: The registered redirect URI.
        verify: True, False or the path of a CA bundle.
        proxy: The proxy setting.
        product: Which product's defaults are used.
    """

    #: Whether a person has to log in before there is a token.
    _needs_login = True

    def __init__(
        self,
        place: Place,
        client_id: str,
        client_secret: Secret,
        callback_url: str,
        verify: bool | str,
        proxy: Proxy,
        settings: Settings,
    ) -> None:
        if not client_id or not isinstance(client_id, str):
            raise ConfigurationError(
                "client_id is missing. Take it from the OAuth 2.0 app (Cloud) or the application "
                "link (Data Center)."
            )
        if unknown := settings.keys() - Settings.__annotations__.keys():
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}. Is one misspelled?")
        self.client_id = client_id
        self.callback_url = callback_url
        self.verify = verify
        self.proxy = proxy
        self.product = place.product
        self.account = settings.get("account", "default")
        self.on_event = settings.get("on_event")
        store = settings.get("store")
        self._store = MemoryTokenStore() if store is None else store
        if not isinstance(self._store, TokenStore):
            raise ConfigurationError(
                f"store: a {type(store).__name__} is not a TokenStore. Give one, such as "
                "FileTokenStore(path)."
            )
        scopes = settings.get("scopes")
        self._scopes = scopes.split() if isinstance(scopes, str) else scopes and list(scopes)
        self._clock = settings.get("clock", SYSTEM_CLOCK)
        self._transport = Transport(
            verify, proxy, settings.get("cert"), settings.get("timeout", (5.0, 30.0))
        )
        known = "" if callable(client_secret) else checked_secret(client_secret)
        secret = _typed(client_secret) if callable(client_secret) else lambda: known
        self._place = place
        self._server = self._authorization_server(place)
        self._endpoint = TokenEndpoint(
            self._server, client_id, secret, callback_url, self._transport, self._clock
        )
        self._key = self._token_key()
        self._finding: tuple[int, Future[None]] | None = None  # by which process
        self._finder: tuple[int, int] | None = None  # process and thread of that flight
        self._has_doubted = False
        self._source = RefreshingTokenSource(
            Rules(
                self._key, self._server, settings.get("expiry", ExpiryPolicy()), self._needs_login
            ),
            self._store,
            self._token_request(),
            send_timeout=self._transport.total_timeout,
            max_wait=_checked_wait(settings.get("max_wait", 30.0)),
            clock=self._clock,
            on_event=self.on_event,
        )
        self._arguments = dict(
            place.arguments,
            client_id=client_id,
            client_secret=client_secret if callable(client_secret) else None,
            callback_url=callback_url,
            verify=verify,
            proxy=proxy,
            **{**settings, "store": self._store, "scopes": self._scopes},
        )

    def _authorization_server(self, place: Place) -> AuthorizationServer:
        return place.server

    def _token_key(self) -> TokenKey:
        """Names the login within the store."""
        return TokenKey(self._server.issuer, self.client_id, self.account)

    def _token_request(self) -> Callable[[TokenSet], TokenSet]:
        """What sends one token request, for the successor of a token set."""
        return self._endpoint.refresh

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(client_id={self.client_id!r}, account={self.account!r}, "
            f"issuer={self._server.issuer!r})"
        )

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        # Neither a hook nor a clock has to be picklable: in another process they are not ours.
        left_out = ("on_event", "clock")
        kept = {name: value for name, value in self._arguments.items() if name not in left_out}
        if not is_named(kept["client_secret"]):
            kept["client_secret"] = None
        return _made_anew, type(self), kept

    def _report(self, name: EventName, **fields: Any) -> None:
        report(self.on_event, Event(name, self.account, MappingProxyType(fields)))

    @property
    def token_key(self) -> TokenKey:
        """Names the login within its store, as in `store.rotate(client.token_key.name)`."""
        return self._key

    # --- tokens -----------------------------------------------------------------------------------

    def get_access_token(self) -> str:
        """An access token that is valid for at least 10 more seconds; refreshed if need be.

        May block on a token request.

        Raises:
            LoginRequiredError: A person has to log in.
            TokenEndpointError: The token request failed.
            TokenStoreError: The store failed.
        """
        return self._source.token_set().access_token

    def current(self) -> TokenSet | None:
        """The token set known to this process at this moment. Never blocks."""
        return self._source.current()

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set`; `resource_server` is decided afterwards.

        Raises:
            AmbiguousSiteError, AccessDeniedError, ConfigurationError, ResourceUnavailableError: On
                Cloud, when the site had to be found and was not.
        """
        token_set = self._source.token_set(rejected)
        self._find_place()
        return token_set

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set_async`; raises what `token_set` does."""
        token_set = await self._source.token_set_async(rejected)
        while not self._place.is_known:
            flight = self._finding_flight()
            await wait_async(flight)
            result_of(flight)
        return token_set

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return self._source.has_ended(token_set)

    def monotonic(self) -> float:
        """Monotonic time of the client's clock, seconds."""
        return self._clock.monotonic()

    @without_frames
    def status(self) -> TokenStatus:
        """What the store knows of the login. No request, no secrets; may block on the store.

        Raises:
            TokenStoreError: The store failed.
        """
        login, _ = load_record(self._store, self._key, Login)
        if login is None or login.token_set is None:
            return TokenStatus(self.account, "none")
        token_set = login.token_set
        return TokenStatus(
            self.account,
            self._state(login, token_set),
            expires_at=token_set.expires_at,
            obtained_at=token_set.obtained_at or None,
            scopes=tuple(token_set.scope.split()),
            generation=login.generation,
            throttled_until=login.throttled_until or None,
            pending_since=login.journal.started_at if login.journal else None,
            idle_until=_finite(self._server.idle_until(token_set.obtained_at)),
            reauthorize_by=_finite(
                self._server.reauthorize_by(token_set.obtained_at, login.authorized_at)
            ),
            pending_owner=login.journal.owner if login.journal else "",
            reason=login.dead_reason if login.dead else "",
        )

    def _state(
        self, login: Login, token_set: TokenSet
    ) -> Literal["fresh", "stale", "expired", "login_required"]:
        freshness = self._source.freshness_of(login)
        is_over = freshness is Freshness.EXPIRED and not token_set.refresh_token
        if login.dead or (self._needs_login and is_over):
            return "login_required"
        return freshness.value

    @without_frames
    def refresh(self, older_than: float = 0.0) -> TokenStatus:
        """Refresh now, in order to keep a login alive that is seldom used, and tell its status.

        Not needed by a program that makes requests. Call it daily with `older_than=7 * 86400`, say:
        however many hosts do so, there is one refresh a week. May block on a token request.

        Args:
            older_than: Seconds; a token set that was obtained no longer ago is left alone.

        Raises:
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        self._source.refresh(older_than)
        return self.status()

    @without_frames
    def revoke(self) -> None:
        """The login is taken back at the server and forgotten here. May block on the network.

        Raises:
            ConfigurationError: The server has no revocation endpoint; `forget` still works.
            TokenEndpointError: The server did not confirm; nothing was forgotten.
            TokenStoreError: The store failed.
        """
        if not self._server.revocation_endpoint:
            raise ConfigurationError(
                "this authorization server cannot revoke tokens. Remove the app in the account's "
                "settings, then call forget()."
            )
        self._source.forget(
            lambda last: self._endpoint.revoke(last.refresh_token or last.access_token)
        )
        self._forget_site()

    def forget(self) -> None:
        """The login is deleted from the store and from memory. The server is not told.

        The store keeps the number of the generation, without any secret.

        Raises:
            TokenStoreError: The store failed.
        """
        self._source.forget()
        self._forget_site()

    # --- the place --------------------------------------------------------------------------------

    @property
    def resource_server(self) -> ResourceServer:
        """Who accepts the tokens: the gateway, or the server."""
        return self._place.resource_server

    @property
    def issuer(self) -> str:
        """The authorization server."""
        return self._server.issuer

    @property
    def identity_url(self) -> str:
        """What `test_connection` asks; blocks as `base_url` does."""
        return self.base_url + self._place.identity_path

    @property
    def cloud_id(self) -> str:
        """Of the Cloud site; "" until it has been found, and elsewhere."""
        return self._place.cloud_id

    @property
    def site_url(self) -> str:
        """Of the Cloud site, such as https://acme.atlassian.net; "" when it is not known."""
        return self._place.site_url

    @property
    def server_url(self) -> str:
        """Of the server of Data Center, context path included; "" on Cloud."""
        return self._place.server_url

    @property
    def base_url(self) -> str:
        """What to give an SDK as its server: the gateway on Cloud, `server_url` on Data Center.

        On Cloud the site may have to be found first: then it blocks on the network and raises what
        `token_set` does.
        """
        self._find_place()
        return self.resource_server.base_url

    def _find_place(self) -> None:
        """The place is known afterwards."""
        while not self._place.is_known:
            flight = self._finding_flight()
            wait(flight)
            result_of(flight)

    def _finding_flight(self) -> Future[None]:
        """The one flight that looks for the site, for all who wait for it."""
        if self._finder == (os.getpid(), threading.get_ident()):
            raise reentrancy_error()
        # Without a lock: at worst two look, and find the same. A forked child looks anew.
        process, flight = self._finding or (0, None)
        if flight is None or process != os.getpid() or flight.done():
            failures: list[AtlassianAuthError] = []
            flight = run_in_thread(lambda: self._find_site(failures))
            flight.add_done_callback(lambda _: self._report_failures(failures))
            self._finding = os.getpid(), flight
        return flight

    def _find_site(self, failures: list[AtlassianAuthError]) -> None:
        assert isinstance(self._place, CloudPlace)  # noqa: S101 - other places are known
        self._finder = os.getpid(), threading.get_ident()
        try:
            self._place.find(
                self._transport,
                SiteMemory(self._store, self._key),
                self.accessible_resources,
                failures.append,
            )
        finally:
            self._finder = None

    def _report_failures(self, failures: list[AtlassianAuthError]) -> None:
        for error in failures:
            self._report("store_failed", error=f"site not remembered: {error}")

    def _forget_site(self) -> None:
        """It is looked for again; what is remembered of it has to go with the login it was for."""
        if isinstance(self._place, CloudPlace):
            self._has_doubted = False
            self._place.forget()
            try:
                self._store.delete(self._key.for_sites().name)
            except AtlassianAuthError as error:
                self._report("store_failed", error=f"site not forgotten: {error}")

    def doubt(self) -> None:
        """See `TokenSource.doubt`: looks once a login whether it reaches the site at all."""
        if self._has_doubted or not isinstance(self._place, CloudPlace) or is_exiting():
            return
        self._has_doubted = True
        with suppress(RuntimeError):  # no thread can be had: then nobody is told
            # A daemon: no process waits for it at its end.
            threading.Thread(
                target=self._check_site, name="atlassian-auth-doubt", daemon=True
            ).start()

    def _check_site(self) -> None:
        with suppress(AtlassianAuthError):  # the answer that has raised the doubt says enough
            reached = self.accessible_resources()
            if self.cloud_id not in {site.id for site in reached}:
                self._report(
                    "site_not_granted", cloud_id=self.cloud_id, reached=sites.listed(reached)
                )

    @without_frames
    def accessible_resources(self) -> tuple[Site, ...]:
        """The Cloud sites that the grant reaches. May block on the network.

        Raises:
            ConfigurationError: The client is not one of Jira or Confluence Cloud.
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        place = self._place
        if not isinstance(place, CloudPlace):
            raise ConfigurationError("sites are a matter of Jira and Confluence Cloud.")
        answer, _, _ = self._get(lambda: place.accessible_resources_url)
        return sites.sites_in(answer)

    # --- resources --------------------------------------------------------------------------------

    @without_frames
    def test_connection(self) -> Identity:
        """Who we are for the resource server. May block on the network.

        Raises:
            AccessDeniedError: It answers as to nobody, knows no such site, or wants another scope.
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        answer, verdict, granted = self._get(lambda: self.identity_url)
        if verdict is Verdict.SCOPE_MISSING:
            raise AccessDeniedError(
                "the login works, but lacks a scope to ask who it belongs to (granted: "
                f"{granted!r}). Add the scope to the app and to `scopes`, then log in again.",
                granted=granted,
            )
        if verdict is Verdict.ANONYMOUS or answer.status == HTTPStatus.UNAUTHORIZED:
            raise AccessDeniedError(
                f"{self.base_url} answers as if nobody had logged in. Is the token meant for this "
                "server, and may this account use the product?",
                granted=granted,
            )
        if answer.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise AccessDeniedError(
                f"{self.base_url} does not let this login in (HTTP {answer.status}). Check "
                f"{self._other_places()}",
                granted=granted,
            )
        identity = _identity(answer, self.base_url) if answer.status == HTTPStatus.OK else None
        if identity is None:
            raise ResourceUnavailableError(
                f"unusable answer from {self.base_url} (HTTP {answer.status}, "
                f"{answer.content_type or 'no content type'}). Is the URL right, is a login page "
                "or a proxy in between?",
                status=answer.status,
            )
        return identity

    def _other_places(self) -> str:
        if not isinstance(self._place, CloudPlace):
            return "server_url and the rights of the account."
        try:
            reached = sites.listed(self.accessible_resources())
            return f"cloud_id: the sites of this login are {reached}."
        except AtlassianAuthError:
            return "cloud_id: accessible_resources() lists the sites of this login."

    def _get(self, url: Callable[[], str]) -> tuple[Answer, Verdict, str]:
        """A resource's answer with its verdict and the granted scopes; once more if rejected."""
        token_set = self._source.token_set()
        asked = url()
        answer, verdict = self._ask(asked, token_set)
        if verdict.is_rejection:
            with suppress(FreshTokenRejectedError):  # then the answer stands
                if self.current() == token_set:
                    self.pacing.check(asked, token_set.access_token)
                token_set = self._source.token_set(token_set.access_token)
                answer, verdict = self._ask(url(), token_set)
                self.pacing.brought(asked, token_set.access_token, is_rejected=verdict.is_rejection)
        else:
            self.pacing.accepted(asked)
        return answer, verdict, token_set.scope

    def _ask(self, url: str, token_set: TokenSet) -> tuple[Answer, Verdict]:
        answer = self._transport.get(url, token_set.authorization)
        verdict = judge(
            answer.status,
            answer.headers,
            lambda: answer.body,
            expired=self.has_ended(token_set),
            anonymous_fallback=self.resource_server.anonymous_fallback,
            path=Location.of(url).path,
        )
        return answer, verdict


def _checked_wait(seconds: object) -> float:
    if (
        isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and 0 < seconds < threading.TIMEOUT_MAX
    ):
        return float(seconds)
    raise ConfigurationError(
        f"max_wait={seconds!r:.40} must be a positive number of seconds: how long a request waits "
        "for a refresh at most."
    )


def _made_anew(cls: type[AtlassianClient], arguments: dict[str, Any]) -> AtlassianClient:
    """What a client of another process is here, by its configuration."""
    return cls(**{**arguments, "client_secret": arguments["client_secret"] or _no_secret})


def _typed(fetch: Callable[[], str]) -> Callable[[], str]:
    """The function, whose errors are ours: theirs would take frames of ours along, with tokens."""

    def fetch_typed() -> str:
        try:
            return fetch()
        except AtlassianAuthError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"client_secret() raised {type(error).__name__}. Nothing was sent, nothing is lost."
            ) from error

    return fetch_typed


def _no_secret() -> str:
    raise ConfigurationError(
        "this client was unpickled in another process, and a pickle carries no secret. Give "
        "client_secret as a module-level function that fetches it, or make the client there."
    )


def _identity(answer: Answer, base_url: str) -> Identity | None:
    """Who an answer describes, in any product's spelling, or else says to have answered to."""
    parsed = answer.json()
    if not isinstance(parsed, dict):
        return None

    def first(*names: str) -> str:
        return next((str(parsed[name]) for name in names if parsed.get(name)), "")

    account_id = first("accountId", "account_id", "key", "userKey", "name", "username")
    if not account_id:
        caller = answer.headers.get("X-AUSERNAME", "")
        return Identity(caller, name=caller, base_url=base_url) if caller else None
    return Identity(
        account_id,
        name=first("displayName", "display_name", "publicName", "name", "username"),
        email=first("emailAddress", "email"),
        base_url=base_url,
    )
