"""Places: the authorization server and the resource server of a client, decided by `place_of`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    OneServer,
    ResourceServer,
    checked_cloud_id,
    is_cloud_host,
)
from atlassian_auth_adapter.atlassian.gateway_paths import checked_gateway_paths
from atlassian_auth_adapter.atlassian.locations import Location, normalized_base_url, origin_of_site
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
from atlassian_auth_adapter.records import TokenKey

if TYPE_CHECKING:
    from uuid import UUID

    from atlassian_auth_adapter.transport import Transport

__all__ = ["AskForSites", "Place", "PlaceKind", "place_of"]

PlaceKind = Literal["cloud_site", "own_cloud", "server"]
#: Asks for the Cloud sites that a grant reaches.
AskForSites = Callable[[], tuple[Site, ...]]


def place_of(
    product: str,
    *,
    cloud_id: str | UUID = "",
    server_url: str = "",
    site_url: str = "",
    cloud: CloudEnvironment | None = None,
    gateway_paths: Iterable[str] = (),
) -> Place:
    """The place that the arguments of a client mean.

    Args:
        product: Name of a product.
        cloud_id: Of a Cloud site. It wins over `server_url`.
        server_url: Base URL of a Data Center product, context path included.
        site_url: Of a Cloud site. It wins over `server_url`.
        cloud: The hosts of the Cloud; None: those of the product. Alone it means the only site that
            the login reaches.
        gateway_paths: Further paths of the gateway that carry the token, for a site of Cloud.

    Raises:
        ConfigurationError: They are missing or contradictory; the text says what to change.
    """
    record = product_named(product)
    if cloud is not None and not isinstance(cloud, CloudEnvironment):
        raise ConfigurationError(
            f"cloud: a value of type {type(cloud).__name__} is not a CloudEnvironment. Give "
            "COMMERCIAL or US_GOV_MODERATE; for Isolated Cloud one with its hosts, which are not "
            "documented."
        )
    further = checked_gateway_paths(gateway_paths)
    is_server = bool(server_url) and not (cloud_id or site_url)
    if further and (is_server or record.own_cloud):
        raise ConfigurationError(
            "gateway_paths: only a client for a site of Jira or Confluence Cloud has the gateway. "
            "Leave the argument out."
        )
    if is_server:
        return _server(record, normalized_base_url(server_url, "server_url"))
    if record.own_cloud:
        return _own_cloud(record, _normalized(cloud or record.own_cloud))
    if not (cloud_id or site_url or cloud):
        raise ConfigurationError(
            "say which site: pass cloud_id, or site_url such as https://acme.atlassian.net; or "
            "cloud=COMMERCIAL for the only site that the login reaches. For Data Center pass "
            "server_url."
        )
    return cast("Place", _CloudSite(record, cloud_id, site_url, cloud or COMMERCIAL, further))


class Place(NamedTuple):
    """The authorization server and the resource server of a client. Threads share it.

    Only that of a Cloud site ever changes. Clients of one server, or of one Cloud without sites,
    have the same place, and those of all sites the same values in it.

    Attributes:
        kind: "cloud_site": a site of Atlassian Cloud. "own_cloud": a product with a Cloud of its
            own, without sites. "server": Data Center.
        product: Whose.
        server: The authorization server.
        resource_server: Accepts the tokens.
        scopes: What an authorization asks for unless told otherwise.
        token_urls: URLs to which tokens are sent, with " and " between them.
        identity_path: Path below `base_url` that answers who we are.
        made_of: What the place was made of, by the names of `place_of`, but for the site.
        server_url: Of a server of Data Center, context path included; "" elsewhere.
        sites_url: Lists the Cloud sites that a grant reaches; "" where there are no sites.
    """

    kind: PlaceKind
    product: Product
    server: AuthorizationServer
    resource_server: ResourceServer
    scopes: tuple[str, ...]
    token_urls: str
    identity_path: str
    made_of: Mapping[str, Any]
    server_url: str = ""
    sites_url: str = ""

    def token_key(self, client_id: str, account: str) -> TokenKey:
        """Names the login of a person at this place."""
        urls = self.token_urls
        return TokenKey(self.server.issuer, client_id, account, resource_server=urls)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the place was made of, by the names of `place_of`."""
        return dict(self.made_of)

    @property
    def site(self) -> Site:
        """The Cloud site, without an id until it has been found; an empty one elsewhere."""
        return Site("")

    @property
    def is_known(self) -> bool:
        """Whether nothing has to be found before a request."""
        return True

    @property
    def lacks_site_url(self) -> bool:
        """Whether the cloud id of the site is known, and its URL may still be learnt."""
        return False

    def ask_for_site(self, transport: Transport, accessible: AskForSites) -> Site:
        """The Cloud site; `accessible` asks for those of the grant. Blocks on the network.

        Raises:
            AmbiguousSiteError: The grant reaches several sites and none was named.
            AccessDeniedError: It reaches none, or not the one that was named.
            ConfigurationError: The URL is not that of a site.
            ResourceUnavailableError: No usable answer.
        """
        return self.site

    def settle(self, site: Site | None) -> None:
        """The Cloud site is this one, as far as it can be known; None: the given one, which is
        looked for again.
        """


@lru_cache
def _server(product: Product, url: str) -> Place:
    if is_cloud_host(Location.of(url).host):
        raise ConfigurationError(
            f"server_url: {url} is Atlassian Cloud. Pass site_url, such as "
            "https://acme.atlassian.net, or cloud_id."
        )
    if not product.data_center_identity:
        raise ConfigurationError(
            f"server_url: there is no Data Center of {product.name}. Leave the argument out."
        )
    return Place(
        "server",
        product,
        data_center_server(url),
        OneServer(url, token_paths=product.data_center_paths, hint=product.hint),
        product.data_center_scopes,
        url,
        product.data_center_identity,
        MappingProxyType({"server_url": url}),
        server_url=url,
    )


@lru_cache
def _own_cloud(product: Product, cloud: CloudEnvironment) -> Place:
    cloud = checked_environment(cloud, product)
    return Place(
        "own_cloud",
        product,
        product.cloud_server(cloud),
        OneServer(
            f"{cloud.api_url}{product.own_api_path}",
            anonymous_fallback=False,
            hint=product.hint,
            hint_at=cloud.auth_url,
        ),
        product.cloud_scopes,
        cloud.api_url,
        product.cloud_identity,
        MappingProxyType({"cloud": cloud}),
    )


@lru_cache
def _any_site(product: Product, cloud: CloudEnvironment, gateway_paths: tuple[str, ...]) -> Place:
    """What the places of all sites of a Cloud have in common."""
    resources_url = cloud.resources_url or cloud.api_url
    return Place(
        "cloud_site",
        product,
        product.cloud_server(cloud),
        CloudGateway(
            cloud.api_url,
            "",
            product.gateway_path,
            learns_site_url=True,
            gateway_paths=gateway_paths,
        ),
        product.cloud_scopes,
        " and ".join(sorted({cloud.api_url, resources_url})),
        product.cloud_identity,
        MappingProxyType({"cloud": cloud, "gateway_paths": gateway_paths}),
        sites_url=f"{resources_url}/oauth/token/accessible-resources",
    )


class _CloudSite:
    """A site of Atlassian Cloud. It has to be found first when its cloud id is not given.

    A `Place` like that of any site, but for the site.
    """

    __slots__ = ("_any_site", "_given", "resource_server")

    def __init__(
        self,
        product: Product,
        cloud_id: str | UUID,
        site_url: str,
        cloud: CloudEnvironment,
        gateway_paths: tuple[str, ...],
    ) -> None:
        site_url = origin_of_site(site_url) if site_url else ""
        cloud = checked_environment(_normalized(cloud), product, Location.of(site_url).host)
        if site_url == cloud.api_url:
            raise ConfigurationError(
                f"site_url: {site_url} is the gateway of all sites. Pass the URL that people open, "
                "such as https://acme.atlassian.net; or cloud_id, which stands in the gateway's "
                "URLs after /ex/jira/ or /ex/confluence/."
            )
        cloud_id = checked_cloud_id(cloud_id) if cloud_id else ""
        self._any_site = _any_site(product, cloud, gateway_paths)
        any_site = cast("CloudGateway", self._any_site.resource_server)
        self._given = self.resource_server = any_site._replace(
            cloud_id=cloud_id, site_url=site_url, learns_site_url=not site_url
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """As `Place.arguments`."""
        given = self._given
        return {"cloud_id": given.cloud_id, "site_url": given.site_url, **self._any_site.made_of}

    @property
    def site(self) -> Site:
        """The site, as far as it is known."""
        gateway = self.resource_server
        return Site(gateway.cloud_id, gateway.site_url)

    @property
    def is_known(self) -> bool:
        """As `Place.is_known`."""
        return self.resource_server.cloud_id != ""

    @property
    def lacks_site_url(self) -> bool:
        """As `Place.lacks_site_url`."""
        gateway = self.resource_server
        return bool(gateway.cloud_id) and gateway.learns_site_url

    def settle(self, site: Site | None) -> None:
        """As `Place.settle`, in one assignment: threads see all of it or nothing."""
        gateway = self._given
        if site:
            url = gateway.site_url or sites.origin_at(site.url)
            gateway = gateway._replace(cloud_id=site.id, site_url=url, learns_site_url=False)
        self.resource_server = gateway

    def ask_for_site(self, transport: Transport, accessible: AskForSites) -> Site:
        """As `Place.ask_for_site`: by its URL, or as the only one that the grant reaches."""
        url = self._given.site_url
        if not url:
            return sites.only_site(accessible(), self._any_site.product)
        try:
            return Site(sites.cloud_id_of(transport, url), url)
        except (ConfigurationError, ResourceUnavailableError) as error:
            failure = error
        # The site does not tell, or cannot be reached from here: the grant may name it.
        reached: tuple[Site, ...] = ()
        with suppress(AccessDeniedError, ResourceUnavailableError):
            reached = accessible()
        if site := sites.site_at(url, reached):
            return site
        if reached:
            failure.args = (f"{failure} The sites of this login: {sites.listed(reached)}.",)
        raise failure


# What is the same for all sites. Beside a `__getattr__` Python looks up all attributes slowly, also
# the resource server, at which each request looks.
for _name in (*Place._fields, "token_key"):
    if _name not in vars(_CloudSite):
        setattr(_CloudSite, _name, property(attrgetter(f"_any_site.{_name}")))


def _normalized(cloud: CloudEnvironment) -> CloudEnvironment:
    """The environment with its URLs as they are compared."""
    return cloud._replace(
        auth_url=normalized_base_url(cloud.auth_url, "cloud.auth_url"),
        api_url=normalized_base_url(cloud.api_url, "cloud.api_url"),
        resources_url=cloud.resources_url
        and normalized_base_url(cloud.resources_url, "cloud.resources_url"),
    )
