"""A service account: a client that acts for itself, with client credentials and without a person.

Source: RFC 6749 section 4.4; support.atlassian.com
create-oauth-2-0-credential-for-service-accounts (Cloud) and confluence.atlassian.com
service-accounts-overview-1627095923 (Data Center), as collected on 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Unpack
from uuid import UUID

from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.places import place_of
from atlassian_auth_adapter.clients.settings import Secret, Settings, shows_settings
from atlassian_auth_adapter.errors import ConfigurationError, without_frames
from atlassian_auth_adapter.records import TokenKey
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.transport import Proxy

__all__ = ["AtlassianServiceAccountClient"]


class AtlassianServiceAccountClient(AtlassianClient):
    """The tokens of a service account: fetched when they are needed, kept until they expire.

    There is no refresh token, and no person logs in. All threads, tasks and processes that share
    the store share one token request an hour.

    A consumer of Bitbucket Cloud that belongs to a personal workspace reaches only that workspace.
    Source: community 99003, 2026-05-04.

    Args:
        client_id: Of the credential: of the service account (Cloud), of the application link (Data
            Center), of the consumer (Bitbucket Cloud).
        client_secret: Its secret, or a function that fetches it.
        scopes: What to ask for on Data Center; None: the product's default. Cloud fixes the scopes
            of a credential when it is made, and refuses a request that names any.

    All other arguments are those of `create_atlassian_oauth_client`.

    Raises:
        ConfigurationError: Something is missing or contradictory; the text says what to change.
    """

    _needs_login = False

    @shows_settings
    @without_frames
    def __init__(
        self,
        client_id: str,
        client_secret: Secret,
        *,
        cloud_id: str | UUID = "",
        server_url: str = "",
        verify: bool | str = True,
        proxy: Proxy = None,
        product: str = "jira",
        site_url: str = "",
        cloud: CloudEnvironment | None = None,
        gateway_paths: Iterable[str] = (),
        **settings: Unpack[Settings],
    ) -> None:
        client_secret, proxy = hidden(client_secret), hidden(proxy)
        place = place_of(
            product,
            cloud_id=cloud_id,
            server_url=server_url,
            site_url=site_url,
            cloud=cloud,
            gateway_paths=gateway_paths,
        )
        if not place.server.client_grants:
            raise ConfigurationError(
                f"product: {place.product.name} has no service accounts, and no client credentials "
                f"grant. A person signs in: create_atlassian_oauth_client(product="
                f"{place.product.name!r})."
            )
        if settings.get("scopes") and not place.server.scope_on_client_credentials:
            raise ConfigurationError(
                "scopes: on Cloud a service account cannot ask for scopes. They are chosen when "
                "the credential is made in the administration; leave the argument out."
            )
        super().__init__(place, client_id, client_secret, "", verify, proxy, settings)

    def _token_key(self) -> TokenKey:
        # Its name has the scopes, since tokens of other scopes are others, and its kind: a consumer
        # of Bitbucket Cloud can also have the login of a person.
        scope = self._app.own_scope
        account = f"{self.account} ({scope})" if scope else self.account
        return self._place.token_key(self.client_id, account)._replace(kind="service_account")

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments
        del arguments["callback_url"]
        return arguments
