"""AtlassianOAuthClient: a person logs in, and the login is kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Unpack
from uuid import UUID

from atlassian_auth_adapter.atlassian.products import (
    COMMERCIAL,
    CloudEnvironment,
    Product,
    product_named,
)
from atlassian_auth_adapter.atlassian.scopes import shortened
from atlassian_auth_adapter.clients.authorizations import StartedAuthorizations
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.places import place_of
from atlassian_auth_adapter.clients.registration import describe_answer, describe_error_pages
from atlassian_auth_adapter.clients.settings import Secret, Settings, shows_settings
from atlassian_auth_adapter.clients.texts import checked_scopes
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationError,
    ConfigurationError,
    LoginRequiredError,
    TokenNotSavedError,
    TokenRequestRefusedError,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest, AuthorizationResponse
from atlassian_auth_adapter.records import Login, load
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.threads import run_in_thread, wait
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Proxy

__all__ = ["AtlassianOAuthClient"]

#: Seconds that a sign-in waits for the revocation of the login that it has replaced, which goes on.
REVOCATION = 5.0
#: What the event `no_refresh_token` advises.
NO_REFRESH_TOKEN = "add it to `scopes`, or a person has to sign in again when the token ends"
#: The same when the scopes are right, and the server has issued none.
NONE_ISSUED = "the server has issued none: ask who runs the app; sign in again when the token ends"
#: More scopes may make a URL that is too long for the authorization page, which answers 414 or
#: "header too large". Source: n8n-io/n8n#22479 and #35732, and community 56311.
MOST_SCOPES = 50
#: What the event `many_scopes` advises.
MANY_SCOPES = "if the page answers 414 or says that a header is too large, ask for fewer scopes"
#: What the event `scopes_not_granted` advises. Source: names that do not exist are dropped without
#: an error, simstudioai/sim#4388 and community 56311.
NOT_GRANTED = "check the names: Atlassian leaves out scopes that do not exist, without an error"
#: What the event `state_not_checked` advises.
WHOLE_URL = "pass the whole redirect URL: a code alone may be that of a stranger's account"


class AtlassianOAuthClient(AtlassianClient):
    """One OAuth client with one login: starts and completes authorizations, hands out tokens."""

    #: The product of the class; "": the argument `product` names one.
    default_product: ClassVar[str] = ""

    @shows_settings
    @without_frames
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
        gateway_paths: Iterable[str] = (),
        **settings: Unpack[Settings],
    ) -> None:
        client_secret, proxy = hidden(client_secret), hidden(proxy)
        record = self._product(product)
        if not server_url:  # without a site it is the only one that the login reaches
            cloud = cloud or record.own_cloud or COMMERCIAL
        place = place_of(
            record.name,
            cloud_id=cloud_id,
            server_url=server_url,
            site_url=site_url,
            cloud=cloud,
            gateway_paths=gateway_paths,
        )
        super().__init__(place, client_id, client_secret, callback_url, verify, proxy, settings)

    @property
    def _started(self) -> StartedAuthorizations:
        return StartedAuthorizations(self._store, self.token_key, self._clock)

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

        State and code verifier are stored for 10 minutes; up to 100 authorizations may be under
        way at one time. May block on the store. Reports `no_refresh_token` if the login will end
        with its first access token, and `many_scopes` if there are more than 50.

        Raises:
            ConfigurationError: The client was made without a callback URL, `get_oauth_scopes` names
                no scopes, or there is a login for other hosts.
            AuthorizationError: 100 authorizations of the account are under way.
            TokenStoreError: The store cannot be written, so a login could not be kept either.
        """
        if not self.callback_url:
            raise ConfigurationError(
                "callback_url is missing. Pass the redirect URI exactly as it is registered for "
                "the OAuth client."
            )
        load(self._store, self.token_key, Login)  # one that cannot be replaced is told now
        scopes = self._wanted
        request = AuthorizationRequest.new(" ".join(scopes), self._clock.time())
        self._started.add(request)
        if len(scopes) > MOST_SCOPES:
            self._report("many_scopes", count=len(scopes), hint=MANY_SCOPES)
        if self.missing_scope:
            self._report("no_refresh_token", needed=self.missing_scope, hint=NO_REFRESH_TOKEN)
        # WSGI takes no child of str as the value of a header. Source: PEP 3333, "native strings".
        return str(request.url(self._server, self.client_id, self.callback_url))

    @property
    def missing_scope(self) -> str:
        """The scope without which a login ends with its first access token; "" if it is asked for.

        On Jira and Confluence Cloud it is `offline_access`; other servers need none.
        """
        needed = self._server.refresh_token_scope
        return "" if needed in self._wanted else needed

    @property
    def _wanted(self) -> list[str]:
        """The scopes that `get_oauth_scopes` names, which may be a method of the program."""
        return checked_scopes(self.get_oauth_scopes() or "") or []

    @without_frames
    def scopes_not_granted(self) -> tuple[str, ...]:
        """The scopes of `oauth_start` that the login does not have, sorted. May block on the store.

        Atlassian leaves out scopes that do not exist, without an error. None without a login, and
        none where scopes include others (Data Center, Bitbucket Cloud): those that are included
        need not be named.

        Raises:
            ConfigurationError: The login is for other hosts than those of this client.
            TokenStoreError: The store failed.
        """
        login, _ = load(self._store, self.token_key, Login)
        if login is None or login.token_set is None:
            return ()
        return self._not_granted(self._wanted, login.token_set)

    def _not_granted(self, asked: Iterable[str], token_set: TokenSet) -> tuple[str, ...]:
        if self._server.scopes_include_others:
            return ()
        granted = set(token_set.scopes)
        if token_set.refresh_token:
            granted.add(self._server.refresh_token_scope)
        return tuple(sorted({*asked} - granted))

    @without_frames
    def oauth_complete(self, code: str) -> None:
        """Exchange the code and save the login. May block on the network and the store.

        However many calls are given the same redirect, in whatever process that shares the store,
        its code is sent once. The refresh token of a login that is replaced is revoked where that
        can do no harm (Data Center); the event `not_revoked` says that it failed. The event
        `scopes_not_granted` says which scopes the login does not have although they were asked for.

        Args:
            code: The whole redirect URL, its query, or the code alone. State, `iss` and address are
                compared as far as they are there. A code alone is accepted only while an
                authorization waits, and the event `state_not_checked` is reported.

        Raises:
            AuthorizationCompletedError: Another call has completed this sign-in; the login is
                there.
            AuthorizationDeniedError: The resource owner declined.
            StateMismatchError: The redirect belongs to no authorization started with this store, or
                comes from another server.
            AuthorizationError: The code is wrong, used or too old; start again.
            TokenRequestRefusedError: The registration of the client is wrong.
            TokenEndpointUnavailableError: No usable answer. If nothing was sent (`.outcome` is
                "not_sent" and `.status` None) the same redirect can be completed again; else start
                again.
            TokenStoreError: The store failed.
        """
        code = hidden(code)
        response = AuthorizationResponse.parse(code)
        response.check_origin(self.issuer, self.callback_url)
        if response.state is not None or not response.error:
            waits = self._started.find(response)  # raises if the state is unknown
            if waits and response.state is None:
                self._report("state_not_checked", hint=WHOLE_URL)
        response.raise_for_error()
        self._exchange(response)

    def forget(self) -> None:
        """As `AtlassianClient.forget`; authorizations that were started may still be completed.

        Those that cannot be read, as after a change of keys, are deleted as well, since they would
        prevent every later sign-in.
        """
        super().forget()
        self._started.forget_damaged()

    @without_frames
    def check_registration(self) -> str:
        """What can be known of the registration without a person, in words.

        Asks for the page that a browser would get; nothing is stored. An answer that is no error
        does not mean that client id, callback URL and scopes are right: Cloud sends everyone to its
        sign-in first, and compares them afterwards. May block on the network.

        Raises:
            AuthorizationError: The server refuses them.
            ResourceUnavailableError: No usable answer.
        """
        request = AuthorizationRequest.new(" ".join(self._wanted), 0.0)
        url = request.url(self._server, self.client_id, self.callback_url)
        answer = self.transport.get(url, accept="text/html")
        return describe_answer(answer, url, self._server.issuer)

    def explain_error_pages(self) -> str:
        """What the authorization server's error pages mean, which do not lead back to the program.

        For a person whose sign-in does not end: lines with the most probable cause first, each with
        the value to compare. No request is sent, and no secret is in it.
        """
        return describe_error_pages(self._server, self.client_id, self.callback_url, self._wanted)

    def _exchange(self, response: AuthorizationResponse) -> None:
        """Replace the login by the one that the code brings, and revoke the one before."""
        replaced = asked = ""

        # Called under the lock of the login, on a thread that goes on when the caller is cancelled:
        # a second call with the same code waits, and learns how this one has ended.
        def exchange() -> TokenSet:
            nonlocal replaced, asked
            login, _ = load(self._store, self.token_key, Login)
            if login and login.token_set and self._server.revokes_one_login:
                replaced = login.token_set.refresh_token
            with self._started.claimed(response, login) as request:
                asked = request.scope
                return self._endpoint.exchange(response.code, request.code_verifier, asked)

        try:
            token_set = self._source.sign_in(exchange)
        except TokenNotSavedError as error:
            if replaced:  # it is still what the store holds
                self._report("not_revoked", error=str(error))
            raise
        except TokenRequestRefusedError as error:
            if not self._server.refuses_code(error.error, error.error_description):
                raise
            failure = AuthorizationError(
                "the authorization code was refused: it was used before, is too old, or was issued "
                f"for another callback URL ({error.error}, HTTP {error.status}).",
                error=error.error,
                advice="Call oauth_start() again.",
            )
            raise_clean(failure, error.copied())
        if not (token_set.refresh_token or self.missing_scope):  # else the start has told
            scope = self._server.refresh_token_scope
            self._report("no_refresh_token", needed=scope, hint=NONE_ISSUED)
        if missing := " ".join(self._not_granted(asked.split(), token_set)):
            granted = shortened(token_set.scopes)
            self._report("scopes_not_granted", missing=missing, granted=granted, hint=NOT_GRANTED)
        if replaced not in ("", token_set.refresh_token):
            wait(run_in_thread(partial(self._revoke_replaced, replaced)), REVOCATION)
        self._begin_login()

    def _revoke_replaced(self, refresh_token: str) -> None:
        try:
            self._endpoint.revoke(refresh_token)
        except AtlassianAuthError as error:
            self._report("not_revoked", error=str(error))

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
        code, refresh_token = hidden(code), hidden(refresh_token)
        if bool(code) == bool(refresh_token):
            raise ConfigurationError(
                "give exactly one of code and refresh_token: a code from the redirect to log in, "
                "or a refresh token to take over a login."
            )
        if code:
            self.oauth_complete(code)
            return self.get_access_token()
        scope = " ".join(self._wanted)
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
