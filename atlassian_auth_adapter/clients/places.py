"""Where a client is at home: who issues its tokens, and who accepts them.

A Cloud site, a server of Data Center, or Bitbucket Cloud. A Cloud site may have to be found first,
by its URL or as the only one that the grant reaches; what was found is remembered in the store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    Location,
    OneServer,
    ResourceServer,
    checked_cloud_id,
    is_cloud_host,
    is_cloud_id,
    normalized_base_url,
    origin_of_site,
)
from atlassian_auth_adapter.atlassian.products import (
    CloudEnvironment,
    Product,
    bitbucket_cloud_server,
    checked_environment,
    cloud_server,
    data_center_server,
)
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AtlassianAuthError,
    ConfigurationError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login, Sites, TokenKey, change, load as load_record
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.transport import Transport

__all__ = [
    "BitbucketCloudPlace",
    "CloudPlace",
    "Place",
    "ServerPlace",
    "SiteMemory",
    "is_cloud",
]


def is_cloud(
    cloud_id: str, site_url: str, server_url: str, cloud: CloudEnvironment | None, product: str
) -> bool:
    """Whether the arguments mean Cloud, and not a server.

    Raises:
        ConfigurationError: They mean nothing.
    """
    if cloud_id or site_url:
        return True
    if server_url:
        return False
    if cloud is None and product != "bitbucket":  # which has one Cloud, without sites
        raise ConfigurationError(
            "say which site: pass cloud_id, or site_url such as https://acme.atlassian.net; or "
            "cloud=COMMERCIAL for the only site that the login reaches. For Data Center pass "
            "server_url."
        )
    return True


class Place(ABC):
    """A home of clients. Threads share it.

    Attributes:
        product: Whose.
        server: Who issues the tokens.
        scopes: What an authorization asks for unless told otherwise.
        identity_path: Path below `base_url` that answers who we are.
        arguments: What the place was made of, by the names that clients use.
        cloud_id: Of a Cloud site; "" until it has been found, and elsewhere.
        site_url: Of a Cloud site; "" when it is not known, and elsewhere.
        server_url: Of a server of Data Center, context path included; "" elsewhere.
    """

    product: Product
    server: AuthorizationServer
    scopes: tuple[str, ...]
    identity_path: str
    arguments: dict[str, Any]
    cloud_id = site_url = server_url = ""

    @property
    @abstractmethod
    def resource_server(self) -> ResourceServer:
        """Who accepts the tokens."""

    @property
    def is_known(self) -> bool:
        """Whether nothing has to be found first."""
        return True


class ServerPlace(Place):
    """A product of Data Center.

    Args:
        product: Which one.
        server_url: Its base URL, context path included.

    Raises:
        ConfigurationError: There is no URL, it is none, or that of Cloud.
    """

    def __init__(self, product: Product, server_url: str) -> None:
        if not server_url:
            raise ConfigurationError(
                "server_url is missing: the base URL of the server with its context path, such as "
                "https://jira.company.com/jira. For Cloud pass cloud_id or site_url."
            )
        self.product = product
        self.server_url = normalized_base_url(server_url, "server_url")
        if is_cloud_host(Location.of(self.server_url).host):
            raise ConfigurationError(
                f"server_url: {self.server_url} is Atlassian Cloud. Pass site_url, such as "
                "https://acme.atlassian.net, or cloud_id."
            )
        self.arguments = {"server_url": self.server_url}
        self.server = data_center_server(self.server_url)
        self.scopes = product.data_center_scopes
        self.identity_path = product.data_center_identity
        self._resources = OneServer(self.server_url)

    @property
    def resource_server(self) -> OneServer:
        """The server itself."""
        return self._resources


class BitbucketCloudPlace(Place):
    """Bitbucket Cloud, which has an authorization server of its own and knows no sites.

    Args:
        product: Bitbucket.
        cloud: Its hosts.
    """

    def __init__(self, product: Product, cloud: CloudEnvironment) -> None:
        self.product = product
        self.arguments = {"cloud": checked_environment(cloud, product)}
        auth_url = normalized_base_url(cloud.auth_url, "cloud.auth_url")
        # Source: https://api.bitbucket.org/2.0, developer.atlassian.com/cloud/bitbucket/oauth-2.
        base_url = normalized_base_url(f"{cloud.api_url}/2.0", "cloud.api_url")
        self.server = bitbucket_cloud_server(replace(cloud, auth_url=auth_url))
        self.scopes = product.cloud_scopes
        self.identity_path = product.cloud_identity
        self._resources = OneServer(base_url, anonymous_fallback=False)

    @property
    def resource_server(self) -> OneServer:
        """The API."""
        return self._resources


@dataclass(frozen=True, slots=True)
class SiteMemory:
    """The cloud ids that were found out for a login, kept beside it.

    Each goes by what was asked for: the URL of the site, or the name of the product for the only
    site of the grant that has it. Another login may reach other sites: nothing is known of them.
    """

    store: TokenStore
    key: TokenKey  # of the login

    def login_id(self) -> str:
        """Names the login of now: the owner of what is asked of the server from now on.

        Raises:
            TokenStoreError: The store cannot be read.
        """
        login, _ = load_record(self.store, self.key, Login)
        return login.login_id if login else ""

    def recall(self, asked: str, login_id: str) -> Site | None:
        """The site that was asked for, or None when it is not remembered.

        Raises:
            TokenStoreError: The store cannot be read.
        """
        known, _ = load_record(self.store, self.key.for_sites(), Sites)
        cloud_ids = _of_login(known, login_id)
        cloud_id = cloud_ids.get(asked)
        if not is_cloud_id(cloud_id):  # it becomes part of a path
            return None
        urls = (sites.origin_at(name) for name, same in cloud_ids.items() if same == cloud_id)
        return Site(cloud_id, next(filter(None, urls), ""))

    def keep(self, asked: str, login_id: str, site: Site) -> None:
        """Remember the site under what was asked for, and under its URL.

        Raises:
            TokenStoreError: The store cannot be read or written.
        """
        found = {name: site.id for name in (asked, site.url) if name}
        change(
            self.store,
            self.key.for_sites(),
            Sites,
            lambda known: Sites(login_id, {**_of_login(known, login_id), **found}),
        )


def _of_login(known: Sites | None, login_id: str) -> dict[str, str]:
    return dict(known.cloud_ids) if known and known.login_id == login_id else {}


class CloudPlace(Place):
    """A site of Atlassian Cloud, with Jira or Confluence.

    Args:
        product: Which one.
        cloud_id: Of the site; "" if it is to be found.
        site_url: Of the site; "" beside no `cloud_id`: the only site that the grant reaches.
        cloud: Which Cloud.

    Raises:
        ConfigurationError: One of them is wrong.
    """

    def __init__(
        self, product: Product, cloud_id: str, site_url: str, cloud: CloudEnvironment
    ) -> None:
        self.product = product
        self.cloud_id = checked_cloud_id(str(cloud_id)) if cloud_id else ""
        self.site_url = origin_of_site(site_url) if site_url else ""
        self.cloud = checked_environment(
            replace(
                cloud,
                auth_url=normalized_base_url(cloud.auth_url, "cloud.auth_url"),
                api_url=normalized_base_url(cloud.api_url, "cloud.api_url"),
                resources_url=cloud.resources_url
                and normalized_base_url(cloud.resources_url, "cloud.resources_url"),
            ),
            product,
            Location.of(self.site_url).host,
        )
        self.arguments = {
            "cloud_id": self.cloud_id,
            "site_url": self.site_url,
            "cloud": self.cloud,
        }
        self.server = cloud_server(self.cloud)
        self.scopes = product.cloud_scopes
        self.identity_path = product.cloud_identity
        self._gateway = self._gateway_to(self.cloud_id, self.site_url)
        self._epoch = object()  # another one for each login

    def _gateway_to(self, cloud_id: str, site_url: str) -> CloudGateway:
        return CloudGateway(self.cloud.api_url, cloud_id, self.product.gateway_path, site_url)

    @property
    def resource_server(self) -> CloudGateway:
        """The gateway."""
        return self._gateway

    @property
    def is_known(self) -> bool:
        """Whether the cloud id is known."""
        return bool(self.cloud_id)

    @property
    def accessible_resources_url(self) -> str:
        """Where the sites of a grant are listed."""
        origin = self.cloud.resources_url or self.cloud.api_url
        return f"{origin}/oauth/token/accessible-resources"

    def find(
        self,
        transport: Transport,
        memory: SiteMemory,
        accessible: Callable[[], tuple[Site, ...]],
        reported: Callable[[AtlassianAuthError], object],
    ) -> None:
        """The cloud id is known afterwards, unless it was forgotten again in the meantime.

        Blocks on the network and the store.

        Args:
            transport: How to reach the site.
            memory: What was found before.
            accessible: Asks for the sites of the grant.
            reported: Told when the store fails, which can do without.

        Raises:
            AmbiguousSiteError: The grant reaches several sites and none was named.
            AccessDeniedError: It reaches none, or not the one that was named.
            ConfigurationError: The URL is not that of a site.
            ResourceUnavailableError: No usable answer.
        """
        epoch, asked = self._epoch, self.site_url or self.product.name
        login_id = site = None
        with _told(reported):
            login_id = memory.login_id()
            site = memory.recall(asked, login_id)
        if site is None:
            site = self._asked_for(transport, accessible)
            if login_id is not None:
                with _told(reported):
                    memory.keep(asked, login_id, site)
        self.site_url = self.site_url or sites.origin_at(site.url)
        self._gateway, self.cloud_id = self._gateway_to(site.id, self.site_url), site.id
        if self._epoch is not epoch:  # the login was replaced meanwhile
            self.forget()

    def forget(self) -> None:
        """What was found is looked for again: another login may reach other sites."""
        self._epoch = object()
        cloud_id, self.site_url = self.arguments["cloud_id"], self.arguments["site_url"]
        self._gateway, self.cloud_id = self._gateway_to(cloud_id, self.site_url), cloud_id

    def _asked_for(self, transport: Transport, accessible: Callable[[], tuple[Site, ...]]) -> Site:
        if not self.site_url:
            return sites.only_site(accessible(), self.product)
        try:
            return Site(sites.cloud_id_of(transport, self.site_url), self.site_url)
        except (ConfigurationError, ResourceUnavailableError) as error:
            failure = error
        # A site that does not tell, or cannot be reached from here: the grant may name it.
        try:
            reached = accessible()
        except (AccessDeniedError, ResourceUnavailableError):
            reached = ()
        if site := sites.site_at(self.site_url, reached):
            return site
        if reached:
            failure.args = (f"{failure} The sites of this login: {sites.listed(reached)}.",)
        raise failure


@contextmanager
def _told(reported: Callable[[AtlassianAuthError], object]) -> Iterator[None]:
    """Hands on the error that ends the block; what follows it goes on."""
    try:
        yield
    except AtlassianAuthError as error:
        reported(error)
