"""AtlassianClient: what OAuth clients and service accounts have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, cast

from atlassian_auth_adapter import transport
from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import ResourceServer
from atlassian_auth_adapter.atlassian.products import Product
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.clients.app import App
from atlassian_auth_adapter.clients.places import Place
from atlassian_auth_adapter.clients.resources import Identity, Resources
from atlassian_auth_adapter.clients.settings import Secret, Settings, no_secret
from atlassian_auth_adapter.clients.site import SiteFinder
from atlassian_auth_adapter.clients.status import TokenStatus, status_of
from atlassian_auth_adapter.clients.texts import checked_account
from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    without_frames,
)
from atlassian_auth_adapter.events import Event, EventName, OnEvent, report
from atlassian_auth_adapter.oauth import token_endpoint
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.oauth.token_endpoint import TokenEndpoint
from atlassian_auth_adapter.pacing import Pacing
from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.records import Login, TokenKey, load as load_record
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.refresh.steps import Rules
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.sources import Known, Located, TokenSource
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.threads import run_in_thread, wait, wait_async
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Proxy, Transport, portable_proxy

__all__ = ["AtlassianClient"]

#: Seconds that a sign-in waits for the answer whether it reaches its site; the question goes on.
SITE_CHECK = 5.0


class _KeptBy:
    """An attribute of a client that another object keeps, unless it was given a value of its own.

    `place` names it, as seen from the client.
    """

    def __init__(self, place: str) -> None:
        self._read = attrgetter(place)

    def __get__(self, client: object | None, _: type | None = None) -> Any:
        return self if client is None else self._read(client)


def _kept_by(place: str) -> Any:
    return _KeptBy(place)


class AtlassianClient(PickledByReference, TokenSource):
    """One client with one login at one place: hands out tokens.

    Threads, tasks and event loops share a client. Copies of it are the same object. A pickle holds
    the configuration and the store, no token and no secret: unpickled in the same process (or a
    forked child) it is the same client; in another process it works if `client_secret` was given as
    a function of a module, whose pickle is its name.

    Attributes:
        client_id: Identifies the client at the authorization server.
        callback_url: The registered redirect URI.
        verify: True, False or the path of a CA bundle.
        proxy: The proxy setting.
        product: Which product's defaults are used.
        transport: Sends the client's own requests with its verify, proxy, cert and timeout.
        token_key: Names the login in its store, as in `store.rotate(client.token_key.name)`.
        issuer: The authorization server.
        server_url: Of the Data Center server, context path included; "" on Cloud.
    """

    #: Whether a person has to log in before there is a token.
    _needs_login = True

    def __init__(
        self,
        place: Place,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None,
        verify: bool | str,
        proxy: Proxy,
        settings: Settings,
    ) -> None:
        server, own_scopes = place.server, None
        if not self._needs_login:
            server, own_scopes = server.for_client_credentials(), place.scopes
        self._app = app = App.of(
            server, client_id, client_secret, callback_url, verify, proxy, settings, own_scopes
        )
        self.account: str = checked_account(settings.get("account", "default"))
        self._place = place
        rules = Rules(self._token_key(), app.server, app.expiry, self._needs_login)
        self._source = RefreshingTokenSource(rules, app.parties)

    # What is the same for all clients of an app is kept once.
    client_id: str = _kept_by("_app.endpoint.client_id")
    callback_url: str = _kept_by("_app.endpoint.redirect_uri")
    verify: bool | str = _kept_by("_app.transport.verify")
    proxy: Proxy = _kept_by("_app.transport.proxy")
    transport: Transport = _kept_by("_app.transport")
    on_event: OnEvent | None = _kept_by("_app.parties.on_event")
    product: Product = _kept_by("_place.product")
    server_url: str = _kept_by("_place.server_url")
    issuer: str = _kept_by("_app.server.issuer")
    token_key: TokenKey = _kept_by("_source.key")
    _server: AuthorizationServer = _kept_by("_app.server")
    _endpoint: TokenEndpoint = _kept_by("_app.endpoint")
    _store: TokenStore = _kept_by("_app.parties.store")
    _clock: Clock = _kept_by("_app.parties.clock")
    _scopes: list[str] | None = _kept_by("_app.scopes")

    @property
    def _resources(self) -> Resources:
        return Resources(self._place, self.transport, self._source, self.pacing)

    @property
    def _site(self) -> SiteFinder:
        if found := self.__dict__.get("_finder"):
            return cast("SiteFinder", found)
        made = SiteFinder(
            self._place,
            self.transport,
            self._store,
            self.token_key,
            self._resources.accessible,
            partial(_report, self.on_event, self.account),
            self._clock.monotonic,
        )
        return cast("SiteFinder", self.__dict__.setdefault("_finder", made))

    @property
    def pacing(self) -> Pacing:
        """As `TokenSource.pacing`; it does not hold the client."""
        found = self.__dict__.get("_pacing") or Pacing(self._clock.monotonic)
        return cast("Pacing", self.__dict__.setdefault("_pacing", found))

    def _find_site(self) -> None:
        if not self._place.is_known:
            self._site.find()

    def _report(self, name: EventName, **fields: Any) -> None:
        _report(self.on_event, self.account, name, **fields)

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        return {
            **self._place.arguments,
            **self._app.arguments,
            "product": self.product.name,
            "account": self.account,
        }

    @property
    def client_secret(self) -> str:
        """Not readable (AttributeError): the program has it, or the function that fetches it."""
        raise AttributeError(
            "a client does not show its client_secret. Take it from where the program has it."
        )

    # A service account overrides it.

    def _token_key(self) -> TokenKey:
        return self._place.token_key(self.client_id, self.account)

    def load_libraries(self) -> None:
        """As `TokenSource.load_libraries`."""
        _load_libraries()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(client_id={self.client_id!r}, account={self.account!r}, "
            f"issuer={self.issuer!r})"
        )

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        arguments = dict(self._arguments)
        for name in ("on_event", "clock"):  # a hook or a clock need not be picklable
            arguments.pop(name, None)
        if callable(arguments["client_secret"]) and not is_named(arguments["client_secret"]):
            arguments["client_secret"] = no_secret
        arguments["proxy"] = portable_proxy(self.proxy)
        return (partial(type(self), **arguments),)

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

    def fresh(self) -> TokenSet | None:
        """As `TokenSource.fresh`."""
        return self._source.fresh() if self._place.is_known else None

    def quick_look(self) -> tuple[Located, Known, Callable[[], TokenSet | None]]:
        """As `TokenSource.quick_look`."""
        ours = AtlassianClient
        if (type(self).fresh, type(self).resource_server) != (ours.fresh, ours.resource_server):
            return super().quick_look()  # a subclass does it otherwise
        return self._place, self._source.known, self._source.fresh

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """As `TokenSource.token_set`; on Cloud the site is known afterwards.

        Raises:
            AmbiguousSiteError, AccessDeniedError, ConfigurationError, ResourceUnavailableError: The
                site had to be found and was not.
        """
        rejected = rejected and SecretText(rejected)
        token_set = self._source.token_set(rejected)
        self._find_site()
        return token_set

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """As `TokenSource.token_set_async`; raises what `token_set` does.

        The first call in a process loads what refreshes need; the first refresh would do it while
        other tasks make requests.
        """
        rejected = rejected and SecretText(rejected)
        if not _load_libraries.cache_info().currsize:
            await wait_async(self._workers.run(self.load_libraries))
        token_set = await self._source.token_set_async(rejected)
        if not self._place.is_known:
            await self._site.find_async()
        return token_set

    def learn_site(self) -> None:
        """As `TokenSource.learn_site`: the URL of a Cloud site that the login reaches."""
        if self._place.lacks_site_url:
            self._site.learn_url()

    async def learn_site_async(self) -> None:
        """As `TokenSource.learn_site_async`."""
        if self._place.lacks_site_url:
            await self._site.learn_url_async()

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return self._source.has_ended(token_set)

    def monotonic(self) -> float:
        """Monotonic time of the client's clock, seconds."""
        return self._clock.monotonic()

    @without_frames
    def status(self) -> TokenStatus:
        """What the store knows of the login, without a request. May block on the store.

        Raises:
            ConfigurationError: The login is for other hosts than those of this client.
            TokenStoreError: The store failed.
        """
        login, _ = load_record(self._store, self.token_key, Login)
        return status_of(
            self.account,
            login,
            self._source.freshness_of,
            self._server,
            needs_login=self._needs_login,
        )

    @without_frames
    def refresh(self, older_than: float = 0.0) -> TokenStatus:
        """Refresh now and return the status: keeps a login alive that is seldom used.

        A program that makes requests does not need it. Call it daily with `older_than=7 * 86400`,
        for example: however many hosts do so, there is one refresh a week. May block on a token
        request.

        Args:
            older_than: Seconds; there is no refresh if the last one is more recent.

        Raises:
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        self._source.refresh(older_than)
        return self.status()

    @without_frames
    def revoke(self) -> None:
        """Revoke the login at the server and forget it here. May block on the network.

        Raises:
            ConfigurationError: The server has no revocation endpoint; `forget` still works.
            TokenEndpointError: The server did not confirm; nothing was forgotten.
            TokenStoreError: The store failed.
        """
        if not self._server.revocation_endpoint:
            raise ConfigurationError(
                "this authorization server cannot revoke tokens.",
                advice="Remove the app in the account's settings, then call forget().",
            )
        self._source.forget(
            lambda last: self._endpoint.revoke(last.refresh_token or last.access_token)
        )
        self._site.forget()

    def forget(self) -> None:
        """Delete the login from the store and from memory. The server is not told.

        The store keeps the number of the generation, without any secret.

        Raises:
            TokenStoreError: The store failed.
        """
        self._source.forget()
        self._site.forget()

    # --- the place --------------------------------------------------------------------------------

    @property
    def resource_server(self) -> ResourceServer:
        """Accepts the tokens: the gateway, or the server."""
        return self._place.resource_server

    @property
    def identity_url(self) -> str:
        """The URL that `test_connection` asks; blocks as `base_url` does."""
        return self.base_url + self._place.identity_path

    @property
    def cloud_id(self) -> str:
        """Of the Cloud site; "" until the site has been found, and on Data Center."""
        return self._place.site.id

    @property
    def site_url(self) -> str:
        """Of the Cloud site, such as https://acme.atlassian.net; "" when not known."""
        return self._place.site.url

    @property
    def base_url(self) -> str:
        """The server's URL for an SDK: the gateway on Cloud, `server_url` on Data Center.

        On Cloud the site may have to be found first: then this blocks on the network and raises
        what `token_set` does.
        """
        self._find_site()
        return self.resource_server.base_url

    @without_frames
    def known_base_url(self) -> str:
        """`base_url` as far as the store knows it, without a request; else "". May block on it.

        Raises:
            TokenStoreError: The store failed.
        """
        if not self._place.is_known:
            self._site.recall()
        return self.resource_server.base_url if self._place.is_known else ""

    def _begin_login(self) -> None:
        """Find the site of a new login. Reports if the login does not reach it."""
        self._site.forget()
        if self.cloud_id or self.site_url:  # else the first use tells whether there is one site
            wait(run_in_thread(self._check_site), SITE_CHECK)

    def _check_site(self) -> None:
        with suppress(AtlassianAuthError):  # the login is there all the same
            self._find_site()
            cloud_id, reached = self.cloud_id, self._resources.accessible()
            if cloud_id not in {site.id for site in reached}:
                self._report("site_not_granted", cloud_id=cloud_id, reached=sites.listed(reached))

    @without_frames
    def accessible_resources(self) -> tuple[Site, ...]:
        """The Cloud sites that the grant reaches. May block on the network.

        Raises:
            ConfigurationError: The client is not one of Jira or Confluence Cloud.
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        return self._resources.accessible()

    # --- resources --------------------------------------------------------------------------------

    @without_frames
    def test_connection(self) -> Identity:
        """Ask the resource server who we are. May block on the network.

        Raises:
            AccessDeniedError: It answers as if not logged in, denies access, or requires another
                scope.
            ResourceUnavailableError: No usable answer.
            LoginRequiredError, TokenEndpointError, TokenStoreError: As `get_access_token`.
        """
        return self._resources.identity(lambda: self.base_url)


@cache
def _load_libraries() -> None:
    token_endpoint.load_libraries()
    transport.load_libraries()
    from atlassian_auth_adapter.disk import kernel_locks

    kernel_locks.load_libraries()  # for a store in files


def _report(on_event: OnEvent | None, account: str, name: EventName, **fields: Any) -> None:
    """Report an event of a client, without its object, which what reports would keep."""
    report(on_event, Event(name, account, MappingProxyType(fields)))
