"""StaticTokenSource: a personal access token or an API token as a token source."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

from atlassian_auth_adapter.atlassian.gateway import (
    OneServer,
    ResourceServer,
    SeveralServers,
    checked_cloud_id,
    is_cloud_host,
)
from atlassian_auth_adapter.atlassian.locations import Location, normalized_base_url, origin_of_site
from atlassian_auth_adapter.atlassian.products import (
    COMMERCIAL,
    CloudEnvironment,
    checked_environment,
    cloud_of_site,
    product_named,
)
from atlassian_auth_adapter.clients.places import place_of
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    FreshTokenRejectedError,
    without_frames,
)
from atlassian_auth_adapter.hosts import is_loopback
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.tokens import TokenSet, is_token

__all__ = ["StaticTokenSource"]

#: Paths of the User management API, which an organization's key serves as well.
#: Source: developer.atlassian.com/cloud/admin/user-management/rest/intro, 2026-11-26.
_MANAGED_ACCOUNT = r"/users/[^/]+/manage(?:/.*)?"
#: Paths of the gateway that take an API token without scopes; the site's GraphQL does as well.
#: Source: developer.atlassian.com/cloud/assets/assets-rest-api-guide/workflow, 2025-11-07;
#: developer.atlassian.com/cloud/forms/security/basic-auth; simstudioai/sim#4099, 2026-04-10.
_ASSETS, _FORMS = "/jsm/assets", r"/jira/forms/cloud/[^/]+(?:/.*)?"
#: Without what may stand around it, and without the colon that ends the name of a user of Basic.
_EMAIL = re.compile(r"[^\s:\"'<>]+@[^\s:\"'<>]+")


class StaticTokenSource(PickledByReference, TokenSource):
    """A token that does not change, and where it is accepted.

    Each kind of token has a constructor, which raises ConfigurationError if the token or a URL is
    missing or malformed, or belongs to another kind; the text names the right constructor.

    - `personal_access_token` (Data Center): Bearer, accepted by the server.
    - `api_token` (Cloud): Basic, accepted by the site, and by Assets and Forms on the gateway.
    - `scoped_api_token` (Cloud, an API token with scopes): Basic, accepted by the gateway.
    - `organization_key` (Cloud, an organization's API key): Bearer, accepted by the admin API.

    Args:
        access_token: The bearer token.
        base_url: Where it is accepted, with the context path.

    Raises:
        ConfigurationError: The token is missing or malformed, or the URL is not https or is one of
            a Cloud site.
    """

    @without_frames
    def __init__(self, access_token: str, base_url: str) -> None:
        base_url = normalized_base_url(base_url, "base_url")
        host = Location.of(base_url).host
        if is_cloud_host(host) and not host.startswith("api."):
            raise ConfigurationError(
                f"base_url: {base_url} is a site of Atlassian Cloud, which accepts no bearer "
                "token. Use StaticTokenSource.api_token(email, token, site_url), or for an OAuth "
                "token the gateway: https://api.atlassian.com/ex/jira/CLOUD_ID."
            )
        self._token_set: TokenSet | None = _bearer(access_token)
        self._resource_server: ResourceServer = OneServer(base_url)
        self._if_rejected = ""

    @classmethod
    def _of(
        cls, token_set: TokenSet | None, resource_server: ResourceServer, if_rejected: str
    ) -> Self:
        source = cls.__new__(cls)
        vars(source).update(
            _token_set=token_set, _resource_server=resource_server, _if_rejected=if_rejected
        )
        return source

    @classmethod
    @without_frames
    def personal_access_token(cls, token: str, server_url: str) -> Self:
        """A personal access token of Jira, Confluence or Bitbucket Data Center.

        Args:
            token: As the server has shown it.
            server_url: Base URL of the server, with the context path.
        """
        base_url = normalized_base_url(server_url, "server_url")
        if is_cloud_host(Location.of(base_url).host):
            raise ConfigurationError(
                f"server_url: {base_url} is Atlassian Cloud, which has no personal access tokens. "
                "Use StaticTokenSource.api_token(email, token, site_url)."
            )
        advice = (
            "A personal access token is accepted by its own server only; for Cloud use "
            "StaticTokenSource.api_token(email, token, site_url) or an OAuth client."
        )
        return cls._of(_bearer(token), OneServer(base_url, elsewhere=advice), advice)

    @classmethod
    @without_frames
    def api_token(
        cls, email: str, token: str, site_url: str, *, cloud: CloudEnvironment | None = None
    ) -> Self:
        """A Cloud API token without scopes, which is accepted on the site itself.

        On the gateway it is accepted at /jsm/assets and /jira/forms/cloud, and nowhere else.

        Args:
            email: Email address of the account that made it.
            token: As id.atlassian.com has shown it.
            site_url: URL of the site, such as https://acme.atlassian.net. Custom domains accept no
                API token.
            cloud: The hosts of the Cloud; None: as the name of the site says.
        """
        base_url = origin_of_site(site_url)
        host = Location.of(base_url).host
        if is_cloud_host(host) and host.startswith("api."):
            raise ConfigurationError(
                f"site_url: {base_url} is the gateway, which accepts only API tokens with scopes: "
                "use StaticTokenSource.scoped_api_token(email, token, cloud_id), or the site's URL."
            )
        advice = (
            "An API token without scopes is accepted on its own site, and on the gateway at "
            "/jsm/assets and /jira/forms/cloud only; for the rest of the gateway use "
            "StaticTokenSource.scoped_api_token() with a token that has scopes."
        )
        if not (is_cloud_host(host) or is_loopback(host)):
            # Source: jira.atlassian.com/browse/AX-649, read 2026-11-27.
            advice += " A custom domain accepts no API token: give the URL at atlassian.net."
        cloud = checked_environment(cloud, product_named("jira"), host) if cloud else None
        return cls._of(
            _basic(email, token),
            _of_api_token(base_url, cloud or cloud_of_site(host), advice),
            advice,
        )

    @classmethod
    @without_frames
    def scoped_api_token(
        cls,
        email: str,
        token: str,
        cloud_id: str | UUID,
        site_url: str = "",
        *,
        product: str = "jira",
        cloud: CloudEnvironment = COMMERCIAL,
        gateway_paths: Iterable[str] = (),
    ) -> Self:
        """A Cloud API token with scopes, of a person or a service account: for the gateway only.

        Args:
            email: Email address of the account that made it; that of a service account ends in
                `@serviceaccount.atlassian.com`.
            token: As id.atlassian.com or the administration has shown it.
            cloud_id: Cloud id of the site, see https://SITE/_edge/tenant_info.
            site_url: URL of the same site, if requests to it are to be sent to the gateway.
            product: The product that `base_url` is for.
            cloud: The hosts of the Cloud.
            gateway_paths: As in `create_atlassian_oauth_client`.
        """
        place = place_of(
            product,
            cloud_id=checked_cloud_id(cloud_id),
            site_url=site_url,
            cloud=cloud,
            gateway_paths=gateway_paths,
        )
        place.settle(place.site)
        advice = (
            "The gateway accepts only API tokens with scopes; for one without scopes use "
            "StaticTokenSource.api_token(email, token, site_url)."
        )
        return cls._of(_basic(email, token), place.resource_server, advice)

    @classmethod
    @without_frames
    def organization_key(cls, key: str, cloud: CloudEnvironment = COMMERCIAL) -> Self:
        """An API key of a Cloud organization, for its administration.

        That is https://api.atlassian.com/admin/... and, of one account,
        https://api.atlassian.com/users/ID/manage/....

        Args:
            key: As the administration has shown it.
            cloud: The hosts of the Cloud.
        """
        api_url = normalized_base_url(cloud.api_url, "cloud.api_url")
        advice = (
            "The API key of an organization is for its administration only: use an API token or "
            "OAuth for the products."
        )
        return cls._of(
            _bearer(key),
            OneServer(
                f"{api_url}/admin",
                anonymous_fallback=False,
                elsewhere=advice,
                other_paths=_MANAGED_ACCOUNT,
            ),
            advice,
        )

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return self._of, None, self._resource_server, self._if_rejected  # a pickle has no token

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._resource_server.base_url!r})"

    @property
    def resource_server(self) -> ResourceServer:
        """Accepts the token."""
        return self._resource_server

    def current(self) -> TokenSet | None:
        """The token."""
        return self._token_set

    def fresh(self) -> TokenSet | None:
        """The token."""
        return self._token_set

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """The token.

        Raises:
            FreshTokenRejectedError: It was rejected, and there is no other token.
            ConfigurationError: The source was unpickled in another process.
        """
        if self._token_set is None:
            raise ConfigurationError(
                "this StaticTokenSource was unpickled in another process, and a pickle holds no "
                "token. Make a new one in this process."
            )
        if rejected == self._token_set.access_token:
            raise FreshTokenRejectedError(
                "the server rejects the static token: make a new one there, and check that it is "
                f"meant for this server. {self._if_rejected}".rstrip()
            )
        return self._token_set

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """The token."""
        return self.token_set(rejected)


def _of_api_token(site_url: str, cloud: CloudEnvironment | None, elsewhere: str) -> ResourceServer:
    """What accepts an API token without scopes: the site, and two APIs of the gateway."""
    site = OneServer(site_url, anonymous_fallback=False, elsewhere=elsewhere)
    if cloud is None:
        return site
    api_url = normalized_base_url(cloud.api_url, "cloud.api_url")
    return SeveralServers(site, (OneServer(f"{api_url}{_ASSETS}", other_paths=_FORMS),))


def _bearer(token: str) -> TokenSet:
    if not is_token(token) or "'" in token or '"' in token:
        raise ConfigurationError(
            "access_token: give the token as the server has shown it, without line breaks and "
            "without quotes."
        )
    return TokenSet(token)


def _basic(email: str, token: str) -> TokenSet:
    if not (isinstance(email, str) and _EMAIL.fullmatch(email) and email.isprintable()):
        raise ConfigurationError("email: give the email address of the account of the token.")
    credential = b64encode(f"{email}:{_bearer(token).access_token}".encode())
    return TokenSet(credential.decode(), token_type="Basic")
