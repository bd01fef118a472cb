"""Places: the authorization server and the resource server of a client, decided by `place_of`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    Location,
    OneServer,
    ResourceServer,
    checked_cloud_id,
    is_cloud_host,
    normalized_base_url,
    origin_of_site,
)
from atlassian_auth_adapter.atlassian.products import (
    COMMERCIAL,
    CloudEnvironment,
    Product,
    checked_environment,
    data_center_server,
    product_named,
)
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    ConfigurationError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer

if TYPE_CHECKING:
    from atlassian_auth_adapter.transport import Transport

__all__ = ["AskForSites", "Place", "PlaceKind", "place_of"]

PlaceKind = Literal["cloud_site", "own_cloud", "server"]
#: Asks for the Cloud sites that a grant reaches.
AskForSites = Callable[[], tuple[Site, ...]]


def place_of(
    product: str,
    *,
    cloud_id: str = "",
    server_url: str = "",
    site_url: str = "",
    cloud: CloudEnvironment | None = None,
) -> Place:
    """The place that the arguments of a client mean.

    Args:
        product: Name of a product.
        cloud_id: Of a Cloud site. It wins over `server_url`.
        server_url: Base URL of a Data Center product, context path included.
        site_url: Of a Cloud site. It wins over `server_url`.
        cloud: The hosts of the Cloud; None: those of the product. Alone it means the only site that
            the login reaches.

    Raises:
        ConfigurationError: They are missing or contradictory; the text says what to change.
    """
    record = product_named(product)
    if server_url and not (cloud_id or site_url):
        return _Server(record, server_url)
    if record.own_cloud:
        return _OwnCloud(record, cloud or record.own_cloud)
    if not (cloud_id or site_url or cloud):
        raise ConfigurationError(
            "say which site: pass cloud_id, or site_url such as https://acme.atlassian.net; or "
            "cloud=COMMERCIAL for the only site that the login reaches. For Data Center pass "
            "server_url."
        )
    return _CloudSite(record, cloud_id, site_url, cloud or COMMERCIAL)


class Place(ABC):
    """The authorization server and the resource server of a client. Threads share it.

    Attributes:
        kind: "cloud_site": a site of Atlassian Cloud. "own_cloud": a product with a Cloud of its
            own, without sites. "server": Data Center.
        product: Whose.
        server: The authorization server.
        scopes: What an authorization asks for unless told otherwise.
        identity_path: Path below `base_url` that answers who we are.
        arguments: What the place was made of, by the names of `place_of`.
        sites_url: Lists the Cloud sites that a grant reaches; "" where there are no sites.
        server_url: Of a server of Data Center, context path included; "" elsewhere.
    """

    kind: ClassVar[PlaceKind]
    product: Product
    server: AuthorizationServer
    scopes: tuple[str, ...]
    identity_path: str
    arguments: dict[str, Any]
    sites_url = server_url = ""

    @property
    @abstractmethod
    def resource_server(self) -> ResourceServer:
        """Who accepts the tokens."""

    @property
    def cloud_id(self) -> str:
        """Of the Cloud site; "" until it has been found, and elsewhere."""
        return ""

    @property
    def site_url(self) -> str:
        """Of the Cloud site; "" when it is not known, and elsewhere."""
        return ""

    @property
    def is_known(self) -> bool:
        """Whether nothing has to be found before a request."""
        return True

    @property
    def wanted(self) -> str:
        """Names the site that has to be found, for the record of what was found before."""
        return self.site_url or self.product.name

    def ask_for_site(self, transport: Transport, accessible: AskForSites) -> Site:
        """The site that is wanted. Blocks on the network.

        Args:
            transport: How to reach the site.
            accessible: Asks for the sites of the grant.

        Raises:
            AmbiguousSiteError: The grant reaches several sites and none was named.
            AccessDeniedError: It reaches none, or not the one that was named.
            ConfigurationError: The URL is not that of a site.
            ResourceUnavailableError: No usable answer.
        """
        return Site(self.cloud_id, self.site_url)

    def settle(self, site: Site | None) -> None:  # noqa: B027 - only some places have sites
        """The site is this one; None: it is looked for again."""


class _Server(Place):
    """A product of Data Center."""

    kind = "server"

    def __init__(self, product: Product, server_url: str) -> None:
        self.product = product
        self.server_url = normalized_base_url(server_url, "server_url")
        if is_cloud_host(Location.of(self.server_url).host):
            raise ConfigurationError(
                f"server_url: {self.server_url} is Atlassian Cloud. Pass site_url, such as "
                "https://acme.atlassian.net, or cloud_id."
            )
        if not product.data_center_identity:
            raise ConfigurationError(
                f"server_url: there is no Data Center of {product.name}. Leave the argument out."
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


class _OwnCloud(Place):
    """A product with a Cloud of its own, which has no sites: Bitbucket."""

    kind = "own_cloud"

    def __init__(self, product: Product, cloud: CloudEnvironment) -> None:
        self.product = product
        cloud = _normalized(checked_environment(cloud, product))
        self.arguments = {"cloud": cloud}
        self.server = product.cloud_server(cloud)
        self.scopes = product.cloud_scopes
        self.identity_path = product.cloud_identity
        self._resources = OneServer(
            f"{cloud.api_url}{product.own_api_path}", anonymous_fallback=False
        )

    @property
    def resource_server(self) -> OneServer:
        """The API."""
        return self._resources


class _CloudSite(Place):
    """A site of Atlassian Cloud. It has to be found first when its cloud id is not given."""

    kind = "cloud_site"

    def __init__(
        self, product: Product, cloud_id: str, site_url: str, cloud: CloudEnvironment
    ) -> None:
        self.product = product
        self._given = Site(
            checked_cloud_id(str(cloud_id)) if cloud_id else "",
            origin_of_site(site_url) if site_url else "",
        )
        cloud = _normalized(cloud)
        self._cloud = checked_environment(cloud, product, Location.of(self._given.url).host)
        self.arguments = {
            "cloud_id": self._given.id,
            "site_url": self._given.url,
            "cloud": self._cloud,
        }
        self.server = product.cloud_server(self._cloud)
        self.scopes = product.cloud_scopes
        self.identity_path = product.cloud_identity
        origin = self._cloud.resources_url or self._cloud.api_url
        self.sites_url = f"{origin}/oauth/token/accessible-resources"
        self.settle(None)

    @property
    def resource_server(self) -> CloudGateway:
        """The gateway."""
        return self._gateway

    @property
    def cloud_id(self) -> str:
        """Of the site; "" until it has been found."""
        return self._gateway.cloud_id

    @property
    def site_url(self) -> str:
        """Of the site; "" when it is not known."""
        return self._gateway.site_url

    @property
    def is_known(self) -> bool:
        """Whether the cloud id is known."""
        return bool(self.cloud_id)

    def settle(self, site: Site | None) -> None:
        """The site is this one; None: the given one, which is looked for again."""
        found = site or self._given
        # One assignment: threads see all of it or nothing.
        self._gateway = CloudGateway(
            self._cloud.api_url,
            found.id,
            self.product.gateway_path,
            self._given.url or sites.origin_at(found.url),
        )

    def ask_for_site(self, transport: Transport, accessible: AskForSites) -> Site:
        """As `Place.ask_for_site`: by its URL, or as the only one that the grant reaches."""
        url = self._given.url
        if not url:
            return sites.only_site(accessible(), self.product)
        try:
            return Site(sites.cloud_id_of(transport, url), url)
        except (ConfigurationError, ResourceUnavailableError) as error:
            failure = error
        # The site does not tell, or cannot be reached from here: the grant may name it.
        try:
            reached = accessible()
        except (AccessDeniedError, ResourceUnavailableError):
            reached = ()
        if site := sites.site_at(url, reached):
            return site
        if reached:
            failure.args = (f"{failure} The sites of this login: {sites.listed(reached)}.",)
        raise failure


def _normalized(cloud: CloudEnvironment) -> CloudEnvironment:
    """The environment with its URLs as they are compared."""
    return replace(
        cloud,
        auth_url=normalized_base_url(cloud.auth_url, "cloud.auth_url"),
        api_url=normalized_base_url(cloud.api_url, "cloud.api_url"),
        resources_url=cloud.resources_url
        and normalized_base_url(cloud.resources_url, "cloud.resources_url"),
    )
