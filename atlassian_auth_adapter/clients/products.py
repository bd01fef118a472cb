"""The OAuth clients of the products. `factory.py` makes the right one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack
from uuid import UUID

from atlassian_auth_adapter.atlassian.products import COMMERCIAL, CloudEnvironment
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.clients.places import PlaceKind
from atlassian_auth_adapter.clients.settings import Secret, Settings, shows_settings
from atlassian_auth_adapter.errors import ConfigurationError, without_frames
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.transport import Proxy

__all__ = [
    "CLIENT_CLASSES",
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


class ProductOAuthClient(AtlassianOAuthClient):
    """A client with the scopes of its argument, or the default scopes of its product."""

    def get_oauth_scopes(self) -> list[str]:
        """The scopes that `oauth_start` asks for."""
        return list(self._scopes or self._place.scopes)


class CloudOAuthClient(ProductOAuthClient):
    """A client of a product on the sites of Atlassian Cloud."""

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
        cloud: CloudEnvironment = COMMERCIAL,
        gateway_paths: Iterable[str] = (),
        **settings: Unpack[Settings],
    ) -> None:
        client_secret, proxy = hidden(client_secret), hidden(proxy)
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
            gateway_paths=gateway_paths,
            **settings,
        )


class OwnCloudOAuthClient(ProductOAuthClient):
    """A client of a product with a Cloud of its own, which has no sites."""

    @shows_settings
    @without_frames
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
        client_secret, proxy = hidden(client_secret), hidden(proxy)
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

    @shows_settings
    @without_frames
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
        client_secret, proxy = hidden(client_secret), hidden(proxy)
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
