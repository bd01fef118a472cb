"""OAuth clients: a person logs in, and the login is kept. `factory.py` makes the right one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar, Unpack
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from atlassian_auth_adapter.atlassian.products import (
    COMMERCIAL,
    CloudEnvironment,
    Product,
    product_named,
)
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.places import PlaceKind, place_of
from atlassian_auth_adapter.clients.settings import Secret, Settings
from atlassian_auth_adapter.errors import (
    AuthorizationError,
    ConfigurationError,
    LoginRequiredError,
    ResourceUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreUnavailableError,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest, AuthorizationResponse
from atlassian_auth_adapter.records import Authorizations, Login, change, load
from atlassian_auth_adapter.transport import Proxy

__all__ = [
    "CLIENT_CLASSES",
    "AtlassianOAuthClient",
    "BitbucketCloudOAuthClient",
    "BitbucketOnPremOAuthClient",
    "CloudOAuthClient",
    "ConfluenceCloudOAuthClient",
    "ConfluenceOnPremOAuthClient",
    "JiraCloudOAuthClient",
    "JiraOnPremOAuthClient",
    "OnPremOAuthClient",
    "OwnCloudOAuthClient",
    "ProductOAuthClient",
]

#: Authorizations that may wait for their redirects at one time; beyond that the oldest are dropped.
MOST_AUTHORIZATIONS = 100
Requests = tuple[AuthorizationRequest, ...]


class AtlassianOAuthClient(AtlassianClient):
    """One OAuth client with one login: starts and completes authorizations, hands out tokens."""

    #: The product of the class; "": the argument `product` names one.
    default_product: ClassVar[str] = ""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None = "",
        cloud_id: str | UUID = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        product: str = "",
        site_url: str = "",
        server_url: str = "",
        cloud: CloudEnvironment | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        record = self._product(product)
        if not server_url:  # without a site it is the only one that the login reaches
            cloud = cloud or record.own_cloud or COMMERCIAL
        place = place_of(
            record.name,
            cloud_id=cloud_id,
            server_url=server_url,
            site_url=site_url,
            cloud=cloud,
        )
        super().__init__(place, client_id, client_secret, callback_url, verify, proxy, settings)

    @classmethod
    def _product(cls, named: str) -> Product:
        """The product of a client of this class: Jira, if neither class nor argument names it."""
        product = product_named(named or cls.default_product or "jira")
        if cls.default_product not in ("", product.name):
            raise ConfigurationError(
                f"product: {cls.__name__} is for {cls.default_product}. Use "
                f"create_atlassian_oauth_client(product={product.name!r})."
            )
        return product

    # --- authorization ----------------------------------------------------------------------------

    @abstractmethod
    def get_oauth_scopes(self) -> list[str]:
        """The scopes that `oauth_start` asks for. A class of your own needs this method only."""

    @without_frames
    def oauth_start(self) -> str:
        """The authorization URL to open in the resource owner's browser.

        State and code verifier are stored for 10 minutes; several authorizations may be under way
        at one time. May block on the store.

        Raises:
            ConfigurationError: The client was made without a callback URL, or there is a login for
                other hosts.
            TokenStoreError: The store cannot be written, so a login could not be kept either.
        """
        if not self.callback_url:
            raise ConfigurationError(
                "callback_url is missing. Pass the redirect URI exactly as it is registered for "
                "the OAuth client."
            )
        load(self._store, self.token_key, Login)  # one that cannot be replaced is told now
        request = AuthorizationRequest.new(
            self._server, " ".join(self.get_oauth_scopes()), self._clock.time()
        )
        self._change_authorizations(lambda pending: (*pending, request))
        return request.url(self._server, self.client_id, self.callback_url)

    @without_frames
    def oauth_complete(self, code: str) -> None:
        """Exchange the code and save the login. May block on the network and the store.

        Args:
            code: The authorization code, or better the whole redirect URL: its state is compared.

        Raises:
            AuthorizationDeniedError: The resource owner declined.
            StateMismatchError: The redirect belongs to no authorization started with this store.
            AuthorizationError: The code is wrong, used or too old; start again.
            TokenRequestRefusedError: The registration of the client is wrong.
            TokenEndpointUnavailableError: No usable answer. A code works once: start again.
            TokenStoreError: The store failed.
        """
        response = AuthorizationResponse.parse(code)
        response.raise_for_error()
        request = self._claimed(response)
        if request is None:
            if self._server.pkce:
                raise AuthorizationError(
                    "no authorization is waiting in this store, so the code verifier is not known. "
                    "Call oauth_start() with the same store and use its URL within 10 minutes."
                )
            request = AuthorizationRequest("", scope=" ".join(self.get_oauth_scopes()))
        self._exchange(response.code, request)

    def forget(self) -> None:
        """As `AtlassianClient.forget`; authorizations that were started may still be completed.

        Those that cannot be read, as after a change of keys, are deleted as well, since they would
        prevent every later sign-in.
        """
        super().forget()
        key = self.token_key.for_authorizations()
        try:
            load(self._store, key, Authorizations)
        except TokenStoreUnavailableError:
            raise
        except TokenStoreError:
            self._store.delete(key.name)

    def _claimed(self, response: AuthorizationResponse) -> AuthorizationRequest | None:
        """The started request that this is the response to; it cannot be claimed again."""
        request: AuthorizationRequest | None = None

        def claim(alive: Requests) -> Requests:
            nonlocal request
            request = response.request_among(alive, self._clock.time())
            return tuple(other for other in alive if other is not request)

        self._change_authorizations(claim)
        return request

    @without_frames
    def check_registration(self) -> str:
        """How the authorization server answers client id, callback URL and scopes, in words.

        Asks for the page that a browser would get; no person is needed and nothing is stored. May
        block on the network.

        Raises:
            AuthorizationError: It refuses them.
            ResourceUnavailableError: No usable answer.
        """
        request = AuthorizationRequest.new(self._server, " ".join(self.get_oauth_scopes()), 0.0)
        url = request.url(self._server, self.client_id, self.callback_url)
        answer = self.transport.get(url, accept="text/html")
        location = urlsplit(answer.headers.get("Location", ""))
        refusal = parse_qs(location.query).get("error", [""])[0]
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ResourceUnavailableError(
                f"the authorization server has failed (HTTP {answer.status}). Try again.",
                status=answer.status,
            )
        if answer.status >= HTTPStatus.BAD_REQUEST or refusal or location.path.endswith("/error"):
            raise AuthorizationError(
                "the authorization server refuses client_id, callback_url or scopes "
                f"(HTTP {answer.status}{', ' if refusal else ''}{refusal[:60]}). They must be "
                "exactly those of the OAuth 2.0 app.",
                error=refusal,
            )
        return f"sends to {location.hostname}" if location.hostname else "shows its page"

    def _exchange(self, code: str, request: AuthorizationRequest) -> None:
        try:
            self._source.sign_in(
                lambda: self._endpoint.exchange(code, request.code_verifier, request.scope)
            )
        except TokenRequestRefusedError as error:
            if error.error not in ("invalid_grant", "invalid_request"):
                raise
            failure = AuthorizationError(
                "the authorization code was refused: it was used before, is too old, or was issued "
                f"for another callback URL ({error.error}, HTTP {error.status}). Call "
                "oauth_start() again.",
                error=error.error,
            )
            raise_clean(failure, error.copied())
        self._begin_login()

    def _change_authorizations(self, how: Callable[[Requests], Requests]) -> None:
        now = self._clock.time()

        def changed(record: Authorizations | None) -> Authorizations | None:
            before = record.requests if record else ()
            alive = tuple(request for request in before if request.is_alive(now))
            after = how(alive)[-MOST_AUTHORIZATIONS:]
            return None if after == before else Authorizations(after)

        change(self._store, self.token_key.for_authorizations(), Authorizations, changed)

    @without_frames
    def oauth2_retrieve_access_token(self, code: str = "", refresh_token: str = "") -> str:
        """The access token for a code or for a refresh token; the login is saved.

        Exactly one of the two must be given. A program may pass the refresh token that it was
        installed with at every start: it is used once. May block on the network and the store.

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
        scope = " ".join(self.get_oauth_scopes())
        try:
            return self._source.take_over(refresh_token, scope).access_token
        except TokenRequestRefusedError as error:
            if not self._server.refuses_refresh_token(error.error, error.error_description):
                raise
            failure = LoginRequiredError(
                "the server refuses the given refresh token: it was used before, revoked, or is "
                "older than 90 days. Log in with oauth_start() and oauth_complete(). Nothing was "
                "deleted.",
                reason="refused",
            )
            raise_clean(failure, error.copied())


class ProductOAuthClient(AtlassianOAuthClient):
    """A client with the scopes of its argument, or the default scopes of its product."""

    def get_oauth_scopes(self) -> list[str]:
        """The scopes that `oauth_start` asks for."""
        return list(self._scopes or self._place.scopes)


class CloudOAuthClient(ProductOAuthClient):
    """A client of a product on the sites of Atlassian Cloud."""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None = "",
        cloud_id: str | UUID = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        product: str = "",
        site_url: str = "",
        cloud: CloudEnvironment = COMMERCIAL,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(
            client_id,
            client_secret,
            callback_url,
            cloud_id,
            verify,
            proxy,
            product=product,
            site_url=site_url,
            cloud=cloud,
            **settings,
        )


class OwnCloudOAuthClient(ProductOAuthClient):
    """A client of a product with a Cloud of its own, which has no sites."""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        product: str = "",
        cloud: CloudEnvironment | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(
            client_id,
            client_secret,
            callback_url,
            verify=verify,
            proxy=proxy,
            product=product,
            cloud=cloud,
            **settings,
        )


class OnPremOAuthClient(ProductOAuthClient):
    """A client of a Data Center product."""

    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None = "",
        server_url: str = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        *,
        product: str = "",
        **settings: Unpack[Settings],
    ) -> None:
        if not server_url:
            raise ConfigurationError(
                "server_url is missing: the base URL of the server with its context path, such as "
                "https://jira.company.com/jira. For Cloud pass cloud_id or site_url."
            )
        super().__init__(
            client_id,
            client_secret,
            callback_url,
            verify=verify,
            proxy=proxy,
            product=product,
            server_url=server_url,
            **settings,
        )


class JiraCloudOAuthClient(CloudOAuthClient):
    """Jira Cloud. Default scopes: `read:audit-log:jira`, `read:jira-user`, `offline_access`."""

    default_product = "jira"


class ConfluenceCloudOAuthClient(CloudOAuthClient):
    """Confluence Cloud."""

    default_product = "confluence"


class BitbucketCloudOAuthClient(OwnCloudOAuthClient):
    """Bitbucket Cloud, which has an authorization server of its own and no cloud id."""

    default_product = "bitbucket"


class JiraOnPremOAuthClient(OnPremOAuthClient):
    """Jira Data Center, with PKCE. Default scope: `WRITE`."""

    default_product = "jira"


class ConfluenceOnPremOAuthClient(OnPremOAuthClient):
    """Confluence Data Center, with PKCE. Default scope: `WRITE`."""

    default_product = "confluence"


class BitbucketOnPremOAuthClient(OnPremOAuthClient):
    """Bitbucket Data Center, with PKCE. Default scope: `REPO_READ`."""

    default_product = "bitbucket"


#: Which classes a place of each kind has: those of one product first, then that of any.
CLIENT_CLASSES: dict[PlaceKind, tuple[type[AtlassianOAuthClient], ...]] = {
    "cloud_site": (JiraCloudOAuthClient, ConfluenceCloudOAuthClient, CloudOAuthClient),
    "own_cloud": (BitbucketCloudOAuthClient, OwnCloudOAuthClient),
    "server": (
        JiraOnPremOAuthClient,
        ConfluenceOnPremOAuthClient,
        BitbucketOnPremOAuthClient,
        OnPremOAuthClient,
    ),
}
