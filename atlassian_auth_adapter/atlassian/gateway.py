"""Which URL may carry the token, and the gateway's URL for a URL of a Cloud site.

An access token is sent to the origin and path of its grant and nowhere else. The rules are applied
to the URL as the *connecting* library has parsed it, because libraries parse hostile URLs
differently, and again to every redirect. The rules are idempotent: a mapped URL maps to itself.

Source: developer.atlassian.com oauth-2-3lo-apps (gateway paths), copy of 2026-09-26; `sdks.md`
section 0, where each rule was measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard

from atlassian_auth_adapter.atlassian.gateway_paths import GatewayApis
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.errors import ConfigurationError
from atlassian_auth_adapter.hosts import is_loopback

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "CloudGateway",
    "OneServer",
    "ResourceServer",
    "Route",
    "SeveralServers",
    "checked_cloud_id",
    "is_cloud_host",
    "is_cloud_id",
]


#: The paths of the gateway for a Cloud token that belong to no product.
#: Source: developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
_ACCOUNT_PATHS = frozenset({"/me", "/oauth/token/accessible-resources"})
#: What resource paths of a site begin with, and the product of the gateway that has them.
#: Other paths of a site (pages, downloads, `/_edge`) have no counterpart there and accept no OAuth
#: token. Programs write // where they join URLs: the site reads it as /.
_JIRA, _CONFLUENCE = "/ex/jira", "/ex/confluence"
_SITE_RESOURCES = {"/rest": _JIRA, "/wiki/rest": _CONFLUENCE, "/wiki/api": _CONFLUENCE}
#: Pages of attachments, to which answers link, and the gateway path that each is rewritten to ({}:
#: the cloud id). Their paths hold the ids of the resources.
#: Source: Jira's OpenAPI document, /rest/api/3/attachment/..., read 2026-11-24.
_SITE_PAGES = (
    (r"/secure/attachment/(\d+)(?:/[^/]*)?", r"/ex/jira/{}/rest/api/3/attachment/content/\1"),
    (r"/secure/thumbnail/(\d+)(?:/[^/]*)?", r"/ex/jira/{}/rest/api/3/attachment/thumbnail/\1"),
)
#: Paths of a product on the gateway, and the cloud id in them.
_OF_PRODUCT = r"(?s)/ex/[a-z-]+/([^/]*)"
#: Paths of Confluence's API without the /wiki that they begin with on Cloud.
_WITHOUT_WIKI = r"/+(api/v\d+/)"
#: Sites and gateways. Source: developer.atlassian.com oauth-2-3lo-apps; Nango's providers.yaml;
#: for Isolated Cloud Atlassian's library atlassian-context and its packages, read 2026-11-27.
_CLOUD_HOSTS = (
    *(".atlassian.net", ".jira.com", ".api.atlassian.com"),
    *(".atlassian-us-gov-mod.net", ".api.atlassian-us-gov-mod.com"),
    *(".atlassian-isolated.net", ".atl-ic.net"),
)


class Route(NamedTuple):
    """Where a request goes and whether it carries the token.

    Attributes:
        location: Where it goes.
        bearer: Whether it carries the token.
        hint: What to do if it does not, or "".
        undecided: Whether it may carry the token once the site is known: get a token set, let the
            source learn the site, and ask for the route again. With a hint it may be sent without
            the token if the site cannot be learnt; without one, not at all.
    """

    location: Location
    bearer: bool
    hint: str = ""
    undecided: bool = False


class ResourceServer(Protocol):
    """Where the tokens of a grant are accepted."""

    @property
    def base_url(self) -> str:
        """What to give an SDK as its server's URL."""

    @property
    def anonymous_fallback(self) -> bool:
        """Whether the server answers an invalid token like no token, instead of rejecting it."""

    @property
    def plain_routes(self) -> Mapping[str, str]:
        """What URLs begin with that carry the token, unless something in the rest is unusual.

        A key is an origin, and perhaps the first parts of a path; the rest begins with a slash. The
        value is what such a URL begins with where it is sent: the same, or that of the gateway.
        `route` decides in the same way, and about all other URLs.
        """

    def route(self, location: Location) -> Route:
        """Where a request for this location goes, and whether it carries the token."""


class OneServer(NamedTuple):
    """A resource server with one base URL: Data Center, a Cloud site, an API such as Bitbucket's.

    Attributes:
        base_url: With the context path, without a trailing slash.
        anonymous_fallback: See `ResourceServer`. Data Center does so.
        elsewhere: The hint for requests to Atlassian Cloud outside the base URL.
        other_paths: Matches paths of the same origin that are not below the base URL, and accept
            the token as well.
        token_paths: What the paths below the base URL begin with that accept the token; empty: all.
        hint: What to do about a request to the others, and at `hint_at`.
        hint_at: Another origin for which that hint is, or "".
    """

    base_url: str
    anonymous_fallback: bool = True
    elsewhere: str = ""
    other_paths: str = r"(?!)"
    token_paths: tuple[str, ...] = ()
    hint: str = ""
    hint_at: str = ""

    @property
    def _base(self) -> Location:
        return _location_of(self.base_url)

    @property
    def plain_routes(self) -> Mapping[str, str]:
        """The base URL, or those of its paths that accept the token."""
        base = f"{self._base.origin_url}{self._base.path}"
        return {url: url for url in (f"{base}{path}" for path in self.token_paths or ("",))}

    def route(self, location: Location) -> Route:
        """The same location, with the token if it is below the base URL, or another own path."""
        is_own = self._is_own_path(location.path)
        bearer = location.origin == self._base.origin and is_own and location.is_plain
        return Route(location, bearer, "" if bearer else self._hint(location))

    def _is_own_path(self, path: str) -> bool:
        base = self._base.path
        if not f"{path}/".startswith(f"{base}/"):
            return bool(re.fullmatch(self.other_paths, path, re.DOTALL))
        below = f"/{path.removeprefix(base).lstrip('/')}/"
        return not self.token_paths or below.startswith(
            tuple(f"{each}/" for each in self.token_paths)
        )

    def _hint(self, location: Location) -> str:
        base = self._base
        if self.hint_at and location.origin == Location.of(self.hint_at).origin:
            return self.hint
        if location.host == base.host and location.scheme != base.scheme:
            return f"Write {base.scheme}:// in place of {location.scheme}://."
        if is_cloud_host(location.host) and self.elsewhere:
            return self.elsewhere
        if location.host != base.host:
            return ""
        if location.origin != base.origin:
            return f"Write {base.origin_url} in place of {location.origin_url}."
        if self._is_own_path(location.path):
            return ""
        if f"{location.path}/".startswith(f"{base.path}/"):
            return self.hint
        return (
            f"This login is for {self.base_url}: one of its resources is {self.base_url}"
            f"{_family(location.path)}. Another application of that host needs a login of its own."
        )


class SeveralServers(NamedTuple):
    """Resource servers that accept the same token, each below its own base URL.

    Attributes:
        main: The one that SDKs are given, and whose hints count.
        others: The rest.
    """

    main: OneServer
    others: tuple[OneServer, ...]

    @property
    def base_url(self) -> str:
        """That of the main one."""
        return self.main.base_url

    @property
    def anonymous_fallback(self) -> bool:
        """That of the main one."""
        return self.main.anonymous_fallback

    @property
    def plain_routes(self) -> Mapping[str, str]:
        """Those of all."""
        servers = (self.main, *self.others)
        return {begins: sent for each in servers for begins, sent in each.plain_routes.items()}

    def route(self, location: Location) -> Route:
        """The same location, with the token if one of the servers accepts it there."""
        route = self.main.route(location)
        if route.bearer:
            return route
        return next(
            (found for each in self.others if (found := each.route(location)).bearer), route
        )


class CloudGateway(NamedTuple):
    """The Cloud gateway for one grant.

    Attributes:
        api_url: Origin of the gateway.
        cloud_id: The site's cloud id; "" while it is not known: then routes are undecided. After
            the first token set, the token source has a gateway with a cloud id.
        gateway_path: Path of the product before the cloud id, such as `/ex/jira`.
        site_url: Origin of the site, or "". Its resource paths are rewritten to the gateway.
        learns_site_url: Whether the site's URL may become known: until then, routes of resources
            of a site are undecided.
        gateway_paths: Further paths of the gateway that carry the token, and all below them, as
            `checked_gateway_paths` returns them.
    """

    api_url: str
    cloud_id: str
    gateway_path: str = "/ex/jira"
    site_url: str = ""
    learns_site_url: bool = False
    gateway_paths: tuple[str, ...] = ()

    # A process may have a hundred thousand gateways, each for a site: what can be worked out again
    # is not kept in each of them.

    @property
    def _api(self) -> Location:
        return _location_of(self.api_url)

    @property
    def _site(self) -> Location:
        return _location_of(self.site_url)

    @property
    def _apis(self) -> GatewayApis:
        return _apis_of(self.api_url, self.cloud_id, self.gateway_paths)

    @property
    def base_url(self) -> str:
        """The gateway's URL of the product on this site."""
        return f"{self.api_url}{self.gateway_path}/{self.cloud_id}"

    @property
    def anonymous_fallback(self) -> bool:
        """No. (Some resources answer 200 as if not logged in, with a header that says so.)"""
        return False

    @property
    def plain_routes(self) -> Mapping[str, str]:
        """The products and APIs of the gateway, and the resources of the site."""
        api, site = self._api.origin_url, self._site.origin_url
        if not self.cloud_id or api == site:
            return {}
        usual = f"{api}{self.gateway_path}/{self.cloud_id}"
        products = {path: f"{api}{each}/{self.cloud_id}" for path, each in _SITE_RESOURCES.items()}
        routes = {usual: usual}
        if self.site_url:
            routes |= {site + path: product + path for path, product in products.items()}
        routes |= {product: product for product in products.values()}
        return routes | {api + path: api + form for path, form in self._apis.forms.items()}

    def route(self, location: Location) -> Route:
        """The location on the gateway, with the token; the same location without it otherwise."""
        origin = location.origin
        on_site = origin == self._site.origin
        is_known = on_site or origin == self._api.origin
        if not self.cloud_id and location.is_plain and (is_known or self._may_be_site(location)):
            return Route(location, bearer=False, undecided=True)
        if not is_known or not location.is_plain:
            hint = self._foreign_hint(location)
            return Route(location, False, hint, undecided=self._may_be_learnt(location))
        path = self._gateway_path(location.path, on_site=on_site)
        if path is None:
            return Route(location, False, self._path_hint(location, on_site=on_site))
        if on_site or path != location.path:
            location = self._api._replace(path=path)
        return Route(location, bearer=True)

    def _may_be_site(self, location: Location) -> bool:
        """Whether the location may be on the site of the grant, whose URL is not known yet."""
        if self.site_url:
            return False
        if is_loopback(self._api.host):  # an emulator's
            return is_loopback(location.host)
        return location.scheme == "https" and is_cloud_host(location.host)

    def _may_be_learnt(self, location: Location) -> bool:
        """Whether the location is a resource of a site that may turn out to be this one."""
        return (
            self.learns_site_url
            and location.is_plain
            and self._may_be_site(location)
            and self._gateway_path(location.path, on_site=True) is not None
        )

    def _foreign_hint(self, location: Location) -> str:
        """The hint for another origin: one of Cloud, or http instead of https."""
        is_cloud = is_cloud_host(location.host)
        is_own = location.host in (self._api.host, self._site.host)
        if location.scheme == "http" != self._api.scheme and (is_cloud or is_own):
            return "Write https:// in place of http://."
        if not self.site_url and (is_cloud or self._may_be_site(location)):
            return (
                f"Sites of Atlassian Cloud accept no OAuth token: use {self.base_url}, or pass "
                f"site_url={location.origin_url!r} to the client, and its requests are rewritten."
            )
        is_elsewhere = location.origin not in (self._api.origin, self._site.origin)
        if not is_elsewhere or not self._gateway_path(location.path, on_site=True):
            return ""
        if not self.site_url:
            return (
                f"If {location.origin_url} is another name of the site of this login, pass "
                f"site_url={location.origin_url!r} to the client, and its requests are rewritten."
            )
        return (
            f"This login is for the site {self.site_url}. If {location.origin_url} is another name "
            f"of it, write {self.site_url}{_family(location.path)}; for another site use a client "
            "of its own."
        )

    def _path_hint(self, location: Location, *, on_site: bool) -> str:
        """The hint for a path without a counterpart on the gateway, or of another site."""
        path = location.path
        if found := re.match(_WITHOUT_WIKI, path):
            return (
                "The resources of Confluence are below /wiki: write "
                f"{location.origin_url}/wiki/{found[1]}..."
            )
        if path.startswith("/ex/") or not on_site:
            return self._apis.hint(path, self.base_url)
        return self._apis.site_hint(path, self.base_url) or (
            "The path has no counterpart on the gateway, and a site accepts no OAuth token: "
            "use a REST resource (/rest/..., /wiki/rest/..., /wiki/api/...); attachments are at "
            "/rest/api/3/attachment/content/ID and "
            "/wiki/rest/api/content/ID/child/attachment/ID/download."
        )

    def _gateway_path(self, path: str, *, on_site: bool) -> str | None:
        """The path on the gateway, or None if it must not carry the token."""
        if (own := re.match(_OF_PRODUCT, path)) and own[1] == self.cloud_id:
            return path
        if path in _ACCOUNT_PATHS:
            return None if on_site else path
        if not on_site and (of_api := self._apis.path_with_token(path)):
            return of_api
        collapsed = re.sub("/{2,}", "/", path)
        for beginning, gateway_path in _SITE_RESOURCES.items():
            if collapsed.startswith(f"{beginning}/"):
                return f"{gateway_path}/{self.cloud_id}{collapsed}"
        for pattern, replacement in _SITE_PAGES:
            if match := re.fullmatch(pattern, collapsed, re.DOTALL):
                return match.expand(replacement.format(self.cloud_id))
        return None


_location_of = lru_cache(Location.of)
_apis_of = lru_cache(GatewayApis)


def _family(path: str) -> str:
    """The paths that begin alike, for hints: from /rest on, or else by their first part."""
    _, rest, _ = f"{path}/".partition("/rest/")
    first = path.strip("/").partition("/")[0]
    if rest:
        return "/wiki/rest/..." if first == "wiki" else "/rest/..."
    return f"/{first}/..." if first else "/..."


def is_cloud_host(host: str) -> bool:
    """Whether it is a site or the gateway of Atlassian Cloud; False for custom domains."""
    return f".{host}".endswith(_CLOUD_HOSTS)


def is_cloud_id(value: object) -> TypeGuard[str]:
    """Whether it is a cloud id by its form, which makes it safe as a part of a path."""
    return isinstance(value, str) and bool(re.fullmatch("[A-Za-z0-9-]{1,64}", value))


def checked_cloud_id(cloud_id: str | UUID) -> str:
    """The cloud id.

    Raises:
        ConfigurationError: It is not a cloud id.
    """
    if not isinstance(cloud_id, str):
        from uuid import UUID  # most programs give text

        cloud_id = str(cloud_id) if isinstance(cloud_id, UUID) else ""
    if not is_cloud_id(cloud_id):
        raise ConfigurationError(
            "cloud_id: what was given is not a cloud id. It is a UUID; find it at "
            "https://SITE/_edge/tenant_info, or pass site_url instead."
        )
    return cloud_id
