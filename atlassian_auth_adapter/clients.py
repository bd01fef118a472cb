"""The OAuth clients: product, authorization server, store and refresh put together.

`create_atlassian_oauth_client` makes the right one; the classes can be used directly as well. Every
client is a TokenSource and can be handed to the auth objects.
"""

from __future__ import annotations

import itertools
import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar, Literal, TypedDict, Unpack

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    DataCenter,
    Location,
    ResourceServer,
    checked_cloud_id,
    normalized_base_url,
)
from atlassian_auth_adapter.atlassian.products import (
    BITBUCKET_CLOUD,
    COMMERCIAL,
    CloudEnvironment,
    bitbucket_cloud_server,
    cloud_server,
    data_center_server,
    product_named,
)
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AtlassianAuthError,
    AuthorizationError,
    ConfigurationError,
    FreshTokenRejectedError,
    LoginRequiredError,
    ResourceUnavailableError,
    StaleRecordError,
    TokenRequestRefusedError,
    without_frames,
)
from atlassian_auth_adapter.events import OnEvent
from atlassian_auth_adapter.expiry import SYSTEM_CLOCK, Clock, ExpiryPolicy, Freshness
from atlassian_auth_adapter.flights import landed, result_of, take_off
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest, AuthorizationResponse
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.oauth.token_endpoint import TokenEndpoint, checked_secret
from atlassian_auth_adapter.references import Unique, is_named
from atlassian_auth_adapter.refresh import RefreshingTokenSource
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.stores.base import Record, TokenKey, TokenStore
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, Proxy, Transport

__all__ = [
    "AtlassianOAuthClient",
    "BitbucketCloudOAuthClient",
    "BitbucketOnPremOAuthClient",
    "ConfluenceCloudOAuthClient",
    "ConfluenceOnPremOAuthClient",
    "Identity",
    "JiraCloudOAuthClient",
    "JiraOnPremOAuthClient",
    "TokenStatus",
    "create_atlassian_oauth_client",
    "create_jira_oauth_client",
]

#: The client secret, or a function that fetches it: pass a module-level function to be able to
#: pickle a client into another process.
Secret = str | Callable[[], str]

#: Authorizations that may wait for their redirects at one time; the oldest give way.
MOST_AUTHORIZATIONS = 100
#: Times that somebody else may be faster in starting one before the store is called broken.
MOST_OVERTAKINGS = 100


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
        state: "none" (nobody logged in), "fresh", "stale", "expired" (the next use renews it) or
            "login_required" (the refresh token was refused; what is left of the access token's
            hour may still work).
        expires_at: POSIX timestamp (seconds) of the access token's end, or None.
        obtained_at: POSIX timestamp (seconds) of the last token request, or None.
        scopes: The granted scopes.
        generation: Rotations and logins so far.
        throttled_until: POSIX timestamp (seconds) before which the server is not asked, or None.
        pending_since: POSIX timestamp (seconds) of a refresh whose end is not on record, or None.
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


def _finite(instant: float) -> float | None:
    return instant if math.isfinite(instant) else None


class Settings(TypedDict, total=False):
    """Keyword arguments that every client takes; see `create_atlassian_oauth_client`."""

    scopes: Iterable[str] | None
    store: TokenStore | None
    account: str
    cert: str | tuple[str, str] | None
    timeout: float | tuple[float, float]
    expiry: ExpiryPolicy
    on_event: OnEvent | None
    clock: Clock


class AtlassianOAuthClient(Unique, TokenSource):
    """One OAuth client with one login: starts and completes authorizations, hands out tokens.

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

    default_product: ClassVar[str] = "jira"

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str,
        verify: bool | str,
        proxy: Proxy,
        arguments: Mapping[str, Any],
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
        self.product = product_named(self.default_product)
        self.account = settings.get("account", "default")
        self.on_event = settings.get("on_event")
        store = settings.get("store")
        self._store = MemoryTokenStore() if store is None else store
        if not isinstance(self._store, TokenStore):
            raise ConfigurationError(
                f"store: {type(store).__name__} is none. Give a TokenStore, such as "
                "FileTokenStore(path)."
            )
        self._scopes = settings.get("scopes")
        if isinstance(self._scopes, str):
            self._scopes = self._scopes.split()
        elif self._scopes is not None:
            self._scopes = list(self._scopes)
        self._clock = settings.get("clock", SYSTEM_CLOCK)
        self._transport = Transport(
            verify, proxy, settings.get("cert"), settings.get("timeout", (5.0, 30.0))
        )
        known = "" if callable(client_secret) else checked_secret(client_secret)
        self._secret = _typed(client_secret) if callable(client_secret) else lambda: known
        self._server = self._authorization_server()
        self._endpoint = TokenEndpoint(
            self._server, client_id, self._secret, callback_url, self._transport, self._clock
        )
        self._key = TokenKey(self._server.issuer, client_id, self.account)
        self._source = RefreshingTokenSource(
            self._key,
            self._store,
            self._server,
            self._renew,
            lambda: self.resource_server,
            patience=self._transport.patience,
            expiry=settings.get("expiry", ExpiryPolicy()),
            clock=self._clock,
            on_event=self.on_event,
        )
        self._arguments = dict(
            arguments,
            client_id=client_id,
            client_secret=client_secret if callable(client_secret) else None,
            callback_url=callback_url,
            verify=verify,
            proxy=proxy,
            **{**settings, "store": self._store, "scopes": self._scopes},
        )

    @abstractmethod
    def _authorization_server(self) -> AuthorizationServer:
        """Whose tokens these are; raises ConfigurationError when the arguments do not say."""

    @abstractmethod
    def _default_scopes(self) -> Iterable[str]: ...

    @abstractmethod
    def _identity_url(self) -> str: ...

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(client_id={self.client_id!r}, account={self.account!r}, "
            f"issuer={self._server.issuer!r})"
        )

    def _elsewhere(self) -> tuple[Any, ...]:
        # Neither a hook nor a clock has to be picklable: in another process they are not ours.
        left_out = ("on_event", "clock")
        kept = {name: value for name, value in self._arguments.items() if name not in left_out}
        if not is_named(kept["client_secret"]):
            kept["client_secret"] = None
        return _made_anew, type(self), kept

    # --- authorization ----------------------------------------------------------------------------

    def get_oauth_scopes(self) -> list[str]:
        """The scopes that `oauth_start` asks for."""
        return list(self._default_scopes() if self._scopes is None else self._scopes)

    @without_frames
    def oauth_start(self) -> str:
        """The authorization URL to open in the resource owner's browser.

        State and code verifier are kept in the store for 10 minutes; several authorizations may be
        under way at one time. May block on the store.

        Raises:
            ConfigurationError: The client was made without a callback URL.
            TokenStoreError: The store cannot be written, so a login could not be kept either.
        """
        if not self.callback_url:
            raise ConfigurationError(
                "callback_url is missing. Pass the redirect URI that is registered for the OAuth "
                "client, letter by letter."
            )
        request = AuthorizationRequest.new(
            self._server, " ".join(self.get_oauth_scopes()), self._clock.time()
        )
        self._change_authorizations(lambda pending: (*pending, request))
        return request.url(self._server, self.client_id, self.callback_url)

    @without_frames
    def oauth_complete(self, code: str) -> None:
        """The login is made and saved. May block on the network and the store.

        Args:
            code: The authorization code, or better the whole redirect URL: its state is compared.

        Raises:
            AuthorizationDeniedError: The resource owner declined.
            StateMismatchError: The redirect belongs to no authorization started with this store.
            AuthorizationError: The code is wrong, used or too old; start again.
            TokenRequestRefusedError: The registration of the client is wrong.
            TokenEndpointUnavailableError: No usable answer. A code is good for one try: start
                again.
            TokenStoreError: The store failed.
        """
        response = AuthorizationResponse.parse(code)
        record = self._store.load(self._key.for_authorizations())
        pending = record.authorizations if record else ()
        request = response.request_among(pending, self._clock.time())
        if request is None:
            if self._server.pkce:
                raise AuthorizationError(
                    "no authorization is waiting in this store, so the code verifier is not known. "
                    "Call oauth_start() with the same store and use its URL within 10 minutes."
                )
            request = AuthorizationRequest("", scope=" ".join(self.get_oauth_scopes()))
        else:
            done = request.state
            self._change_authorizations(
                lambda others: tuple(other for other in others if other.state != done)
            )
        self._exchange(response.code, request)

    def _exchange(self, code: str, request: AuthorizationRequest) -> TokenSet:
        try:
            return self._source.install(
                lambda: self._endpoint.exchange(code, request.code_verifier, request.scope)
            )
        except TokenRequestRefusedError as error:
            if error.error not in ("invalid_grant", "invalid_request"):
                raise
            refusal = error.copied()
        raise AuthorizationError(
            "the authorization code was refused: it is used, too old, or was issued for another "
            f"callback URL ({refusal.error}, HTTP {refusal.status}). Call oauth_start() again.",
            error=refusal.error,
        ) from refusal

    def _change_authorizations(
        self,
        change: Callable[[tuple[AuthorizationRequest, ...]], tuple[AuthorizationRequest, ...]],
    ) -> None:
        key, now = self._key.for_authorizations(), self._clock.time()
        for attempt in itertools.count(1):
            record = self._store.load(key)
            expected = record.generation if record else None
            alive = [old for old in (record.authorizations if record else ()) if old.is_alive(now)]
            pending = change(tuple(alive))[-MOST_AUTHORIZATIONS:]
            changed = Record(generation=(expected or 0) + 1, authorizations=pending)
            try:
                self._store.save(key, changed, expected=expected)
            except StaleRecordError:  # another authorization was started at the same moment
                if attempt == MOST_OVERTAKINGS:
                    raise
            else:
                return

    @without_frames
    def oauth2_retrieve_access_token(self, code: str = "", refresh_token: str = "") -> str:
        """The access token for a code or for a refresh token; the login is saved.

        Exactly one of the two must be given. May block on the network and the store. A program that
        offers the refresh token it was installed with at every start takes the login over once.

        Raises:
            ConfigurationError: Both or none were given.
            LoginRequiredError: The refresh token was refused. What was stored before still is.
            AuthorizationError, TokenEndpointError, TokenStoreError: As `oauth_complete`.
        """
        if bool(code) == bool(refresh_token):
            raise ConfigurationError(
                "give exactly one of code and refresh_token: a code from the redirect to log in, "
                "or a refresh token to take over a login."
            )
        if code:
            self.oauth_complete(code)
            return self.get_access_token()
        record = self._store.load(self._key)
        if record and record.token_set and record.token_set.refresh_token == refresh_token:
            return self._source.refresh().access_token
        if self._source.has_taken_over(refresh_token):
            return self.get_access_token()  # it is spent; the stored login came from it
        given = TokenSet("", refresh_token, scope=" ".join(self.get_oauth_scopes()))
        try:
            return self._source.install(lambda: self._renew(given), refresh_token).access_token
        except TokenRequestRefusedError as error:
            if not self._server.refuses_refresh_token(error.error, error.error_description):
                raise
            refusal = error.copied()
        raise LoginRequiredError(
            "the server refuses the given refresh token: it was used before, revoked, or is older "
            "than 90 days. Log in with oauth_start() and oauth_complete(). Nothing was deleted.",
            reason="refused",
        ) from refusal

    # --- tokens -----------------------------------------------------------------------------------

    def get_access_token(self) -> str:
        """An access token that is valid for at least 10 more seconds; refreshed if need be.

        May block on a token request.

        Raises:
            LoginRequiredError: A person has to log in.
            TokenEndpointError: The token request failed.
            TokenStoreError: The store failed.
        """
        return self.token_set().access_token

    def current(self) -> TokenSet | None:
        """The token set known to this process at this moment. Never blocks."""
        return self._source.current()

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set`."""
        return self._source.token_set(rejected)

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set_async`."""
        return await self._source.token_set_async(rejected)

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return self._source.has_ended(token_set)

    def _renew(self, previous: TokenSet) -> TokenSet:
        return self._endpoint.refresh(previous)

    @without_frames
    def status(self) -> TokenStatus:
        """What the store knows of the login. No request, no secrets; may block on the store.

        Raises:
            TokenStoreError: The store failed.
        """
        record = self._store.load(self._key)
        if record is None or record.token_set is None:
            return TokenStatus(self.account, "none")
        token_set = record.token_set
        return TokenStatus(
            self.account,
            self._state(record, token_set),
            expires_at=token_set.expires_at,
            obtained_at=token_set.obtained_at or None,
            scopes=tuple(token_set.scope.split()),
            generation=record.generation,
            throttled_until=record.throttled_until or None,
            pending_since=record.pending.started_at if record.pending else None,
            idle_until=_finite(self._server.idle_until(token_set.obtained_at)),
            reauthorize_by=_finite(
                self._server.reauthorize_by(token_set.obtained_at, record.authorized_at)
            ),
        )

    def _state(
        self, record: Record, token_set: TokenSet
    ) -> Literal["fresh", "stale", "expired", "login_required"]:
        freshness = self._source.freshness_of(token_set)
        if record.dead or (freshness is Freshness.EXPIRED and not token_set.refresh_token):
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

    def forget(self) -> None:
        """The login is deleted from the store and from memory. The server is not told.

        The store keeps the number of the generation, without any secret.

        Raises:
            TokenStoreError: The store failed.
        """
        self._source.forget()

    # --- resources --------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """What to give an SDK as its server: the gateway on Cloud, `server_url` on Data Center."""
        return self.resource_server.base_url

    @without_frames
    def test_connection(self) -> Identity:
        """Who we are for the resource server. May block on the network.

        Raises:
            AccessDeniedError: It answers as to nobody, knows no such site, or wants another scope.
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        answer, verdict, granted = self._get(self._identity_url)
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
                "cloud_id or server_url: accessible_resources() lists the sites of the grant.",
                granted=granted,
            )
        parsed = answer.json() if answer.status == HTTPStatus.OK else None
        identity = _identity(parsed, self.base_url)
        if identity is None:
            raise ResourceUnavailableError(
                f"unusable answer from {self.base_url} (HTTP {answer.status}, "
                f"{answer.content_type or 'no content type'}). Is the URL right, is a login page "
                "or a proxy in between?",
                status=answer.status,
            )
        return identity

    def _get(self, url: Callable[[], str]) -> tuple[Answer, Verdict, str]:
        """A resource's answer with its verdict and the granted scopes; once more if rejected."""
        token_set = self._source.token_set()
        answer, verdict = self._ask(url(), token_set)
        if verdict in (Verdict.REJECTED, Verdict.ANONYMOUS):
            with suppress(FreshTokenRejectedError):  # then the answer stands
                token_set = self._source.token_set(token_set.access_token)
                answer, verdict = self._ask(url(), token_set)
        return answer, verdict, token_set.scope

    def _ask(self, url: str, token_set: TokenSet) -> tuple[Answer, Verdict]:
        answer = sites.ask(self._transport, url, token_set.authorization)
        verdict = judge(
            answer.status,
            answer.headers,
            lambda: answer.body,
            expired=self.has_ended(token_set),
            anonymous_fallback=self.resource_server.anonymous_fallback,
            path=Location.of(url).path,
        )
        return answer, verdict


class _CloudClient(AtlassianOAuthClient):
    """A client of Jira or Confluence Cloud."""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str = "",
        cloud_id: str = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        site_url: str = "",
        cloud: CloudEnvironment = COMMERCIAL,
        **settings: Unpack[Settings],
    ) -> None:
        self.cloud_id = cloud_id = str(cloud_id or "")
        self._cloud = replace(
            cloud,
            auth_url=normalized_base_url(cloud.auth_url, "cloud.auth_url"),
            api_url=normalized_base_url(cloud.api_url, "cloud.api_url"),
        )
        self.site_url = _origin_of_site(site_url) if site_url else ""
        if not (cloud_id or site_url):
            raise ConfigurationError(
                "say which site: pass cloud_id, or site_url such as https://acme.atlassian.net. "
                "For Data Center pass server_url to create_atlassian_oauth_client()."
            )
        if cloud_id:
            checked_cloud_id(cloud_id)
        arguments = {"cloud_id": cloud_id, "site_url": self.site_url, "cloud": self._cloud}
        super().__init__(client_id, client_secret, callback_url, verify, proxy, arguments, settings)
        self._gateway = self._gateway_of(cloud_id)
        self._asking: tuple[int, Future[None]] | None = None

    def _gateway_of(self, cloud_id: str) -> CloudGateway:
        return CloudGateway(self._cloud.api_url, cloud_id, self.product.gateway_path, self.site_url)

    def _authorization_server(self) -> AuthorizationServer:
        return cloud_server(self._cloud)

    def _default_scopes(self) -> Iterable[str]:
        return self.product.cloud_scopes

    def _identity_url(self) -> str:
        return self.base_url + self.product.cloud_identity

    @property
    def resource_server(self) -> CloudGateway:
        """The gateway."""
        return self._gateway

    @property
    def base_url(self) -> str:
        """The gateway's URL of the product on this site; may first ask the site for its id."""
        self._find_site()
        return self._gateway.base_url

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set`; the first call may ask the site for its cloud id."""
        self._find_site()
        return super().token_set(rejected)

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set_async`."""
        if not self.cloud_id:
            await landed(self._site_flight())
        return await super().token_set_async(rejected)

    def _find_site(self) -> None:
        """The cloud id is known afterwards."""
        if not self.cloud_id:
            result_of(self._site_flight())

    def _site_flight(self) -> Future[None]:
        """The one flight that asks the site for its cloud id, whoever waits for it."""

        def ask() -> None:
            cloud_id = sites.cloud_id_of(self._transport, self.site_url)
            self._gateway, self.cloud_id = self._gateway_of(cloud_id), cloud_id

        # Without a lock: at worst two ask, and the answer is the same. A forked child asks anew.
        process, flight = self._asking or (0, None)
        if flight is None or process != os.getpid() or flight.done():
            flight = take_off(ask)
            self._asking = os.getpid(), flight
        return flight

    @without_frames
    def accessible_resources(self) -> tuple[Site, ...]:
        """The sites that the grant reaches. May block on the network.

        Raises:
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        answer, _, _ = self._get(lambda: f"{self._cloud.api_url}/oauth/token/accessible-resources")
        return sites.sites_in(answer)


class _OnPremClient(AtlassianOAuthClient):
    """A client of a Data Center product."""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str = "",
        server_url: str = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        **settings: Unpack[Settings],
    ) -> None:
        if not server_url:
            raise ConfigurationError(
                "server_url is missing: the base URL of the server with its context path, such as "
                "https://jira.company.com/jira. For Cloud pass cloud_id or site_url."
            )
        self.server_url = normalized_base_url(server_url, "server_url")
        self._resources = DataCenter(self.server_url)
        arguments = {"server_url": self.server_url}
        super().__init__(client_id, client_secret, callback_url, verify, proxy, arguments, settings)

    def _authorization_server(self) -> AuthorizationServer:
        return data_center_server(self.server_url)

    def _default_scopes(self) -> Iterable[str]:
        return self.product.data_center_scopes

    def _identity_url(self) -> str:
        return self.base_url + self.product.data_center_identity

    @property
    def resource_server(self) -> ResourceServer:
        """The server."""
        return self._resources


class JiraCloudOAuthClient(_CloudClient):
    """Jira Cloud. Default scopes: `read:audit-log:jira`, `read:jira-user`, `offline_access`."""


class ConfluenceCloudOAuthClient(_CloudClient):
    """Confluence Cloud."""

    default_product = "confluence"


class JiraOnPremOAuthClient(_OnPremClient):
    """Jira Data Center, with PKCE. Default scope: `WRITE`."""


class ConfluenceOnPremOAuthClient(_OnPremClient):
    """Confluence Data Center, with PKCE. Default scope: `WRITE`."""

    default_product = "confluence"


class BitbucketOnPremOAuthClient(_OnPremClient):
    """Bitbucket Data Center, with PKCE. Default scope: `REPO_READ`."""

    default_product = "bitbucket"


class BitbucketCloudOAuthClient(AtlassianOAuthClient):
    """Bitbucket Cloud, which has an authorization server of its own and knows no cloud id."""

    default_product = "bitbucket"

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        cloud: CloudEnvironment = BITBUCKET_CLOUD,
        **settings: Unpack[Settings],
    ) -> None:
        self._cloud = replace(cloud, auth_url=normalized_base_url(cloud.auth_url, "cloud.auth_url"))
        # Source: https://api.bitbucket.org/2.0, developer.atlassian.com/cloud/bitbucket/oauth-2.
        base_url = normalized_base_url(f"{cloud.api_url}/2.0", "cloud.api_url")
        self._resources = DataCenter(base_url, anonymous_fallback=False)
        super().__init__(
            client_id, client_secret, callback_url, verify, proxy, {"cloud": cloud}, settings
        )

    def _authorization_server(self) -> AuthorizationServer:
        return bitbucket_cloud_server(self._cloud)

    def _default_scopes(self) -> Iterable[str]:
        return self.product.cloud_scopes

    def _identity_url(self) -> str:
        return self.base_url + self.product.cloud_identity

    @property
    def resource_server(self) -> ResourceServer:
        """The API."""
        return self._resources


def create_atlassian_oauth_client(
    client_id: str,
    client_secret: Secret,
    callback_url: str = "",
    cloud_id: str = "",
    server_url: str = "",
    verify: bool | str = True,
    proxy: Proxy = None,
    *,
    product: str = "jira",
    site_url: str = "",
    cloud: CloudEnvironment | None = None,
    **settings: Unpack[Settings],
) -> AtlassianOAuthClient:
    """The OAuth client for a product: Cloud when `cloud_id` or `site_url` is given, else on-prem.

    Args:
        client_id: Of the OAuth 2.0 app (Cloud) or application link (Data Center).
        client_secret: Its secret, or a function that fetches it.
        callback_url: The registered redirect URI; needed to log in, not to refresh.
        cloud_id: Of the site. Given together with a `server_url` it wins.
        server_url: Base URL of a Data Center product, context path included.
        verify: True, False, or the path of a CA bundle, for every request of our own.
        proxy: None: as requests does by itself; True: the environment's; False: none; a URL or a
            mapping of scheme to URL: this one.
        product: "jira", "confluence" or "bitbucket": which default scopes and paths.
        site_url: https://acme.atlassian.net, in place of `cloud_id` or beside it.
        cloud: The hosts of the Cloud; None: the commercial one.
        scopes: Scopes to ask for; None: the product's defaults.
        store: Where the login is kept; None: a new MemoryTokenStore, which ends with the process.
        account: Names the login within the store.
        cert: Client certificate: path of a PEM file, or (certificate, key).
        timeout: Seconds (connect, read) for every request of our own.
        expiry: When a token counts as stale and as expired.
        on_event: Called with every Event.
        clock: Where instants come from.

    Raises:
        ConfigurationError: Something is missing or contradictory; the text says what to change.
    """
    product_named(product)
    common = (client_id, client_secret, callback_url)
    if product == "bitbucket" and not server_url:
        return BitbucketCloudOAuthClient(
            *common, verify, proxy, cloud=cloud or BITBUCKET_CLOUD, **settings
        )
    if cloud_id or site_url or not server_url:
        return _CLOUD[product](
            *common,
            cloud_id,
            verify,
            proxy,
            site_url=site_url,
            cloud=cloud or COMMERCIAL,
            **settings,
        )
    return _ON_PREM[product](*common, server_url, verify, proxy, **settings)


#: The seed's name of the same function.
create_jira_oauth_client = create_atlassian_oauth_client

_CLOUD: dict[str, type[_CloudClient]] = {
    "jira": JiraCloudOAuthClient,
    "confluence": ConfluenceCloudOAuthClient,
}
_ON_PREM: dict[str, type[_OnPremClient]] = {
    "jira": JiraOnPremOAuthClient,
    "confluence": ConfluenceOnPremOAuthClient,
    "bitbucket": BitbucketOnPremOAuthClient,
}


def _origin_of_site(site_url: str) -> str:
    """A Cloud site is an origin; what was copied from a browser has a path as well."""
    return Location.of(normalized_base_url(site_url, "site_url")).origin_url


def _made_anew(cls: type[AtlassianOAuthClient], arguments: dict[str, Any]) -> AtlassianOAuthClient:
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


def _identity(parsed: object, base_url: str) -> Identity | None:
    """Who a `myself` answer describes, in any product's spelling."""
    if not isinstance(parsed, dict):
        return None

    def first(*names: str) -> str:
        return next((str(parsed[name]) for name in names if parsed.get(name)), "")

    account_id = first("accountId", "account_id", "key", "userKey", "name", "username")
    if not account_id:
        return None
    return Identity(
        account_id,
        name=first("displayName", "display_name", "publicName", "name", "username"),
        email=first("emailAddress", "email"),
        base_url=base_url,
    )
