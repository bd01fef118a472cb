"""A record per product: its scopes, its paths, its authorization server.

What differs between products is a field here, not an `if` elsewhere: a new product is one record
more in `PRODUCTS`. Sources are pages of
developer.atlassian.com and confluence.atlassian.com as collected in `atlassian.md` on 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from atlassian_auth_adapter.errors import ConfigurationError
from atlassian_auth_adapter.oauth.server import AuthorizationServer, ErrorPages

__all__ = [
    "BITBUCKET_CLOUD",
    "COMMERCIAL",
    "PRODUCTS",
    "TRELLO_CLOUD",
    "US_GOV_MODERATE",
    "CloudEnvironment",
    "Product",
    "bitbucket_cloud_server",
    "checked_environment",
    "cloud_named",
    "cloud_of_site",
    "cloud_server",
    "data_center_server",
    "product_named",
    "trello_server",
]

#: Seconds.
DAY = 86400.0


class CloudEnvironment(NamedTuple):
    """The hosts of one Atlassian Cloud.

    Attributes:
        auth_url: Origin of the authorization server.
        api_url: Origin of the gateway.
        audience: What authorization requests name as their audience.
        resources_url: Origin that lists the sites of a grant; "": the gateway.
        site_domain: How its sites' host names end, custom domains apart; "" when not known.
    """

    auth_url: str
    api_url: str
    audience: str
    resources_url: str = ""
    site_domain: str = ""


#: Source: developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
COMMERCIAL = CloudEnvironment(
    "https://auth.atlassian.com",
    "https://api.atlassian.com",
    "api.atlassian.com",
    site_domain=".atlassian.net",
)
#: Source: developer.atlassian.com/platform/framework/agc/guides/manage-3lo-apps, 2025-05-29. That
#: the sites are listed at the authorization server's host, and how they are named: Nango's
#: providers.yaml and its jira/post-connection.ts, read 2026-11-22.
US_GOV_MODERATE = CloudEnvironment(
    "https://auth.atlassian-us-gov-mod.com",
    "https://api.atlassian-us-gov-mod.com",
    "api.atlassian-us-gov-mod.com",
    resources_url="https://auth.atlassian-us-gov-mod.com",
    site_domain=".atlassian-us-gov-mod.net",
)
_ENVIRONMENTS = {"COMMERCIAL": COMMERCIAL, "US_GOV_MODERATE": US_GOV_MODERATE}
#: How the host names of sites of Isolated Cloud end.
#: Source: Atlassian's library atlassian-context and its packages, read 2026-11-27.
_ISOLATED = (".atlassian-isolated.net", ".atl-ic.net")
_ISOLATED_HOSTS = (
    "The hosts of its authorization server and gateway are not documented: ask those who run it, "
    "and pass cloud=CloudEnvironment(auth_url, api_url, audience)."
)


def cloud_named(name: str) -> CloudEnvironment:
    """The environment of that name, such as "commercial" or "us-gov-moderate", in any case.

    Raises:
        ConfigurationError: There is no environment of that name.
    """
    key = name.upper().replace("-", "_")
    if found := _ENVIRONMENTS.get(key):
        return found
    if "ISOLATED" in key:
        raise ConfigurationError(f"Isolated Cloud has no name here. {_ISOLATED_HOSTS}")
    known = ", ".join(known.lower().replace("_", "-") for known in _ENVIRONMENTS)
    raise ConfigurationError(f"unknown Cloud. Choose one of {known}.")


def checked_environment(
    cloud: CloudEnvironment, product: Product, site_host: str = ""
) -> CloudEnvironment:
    """The environment, if the product can be there.

    Raises:
        ConfigurationError: The product has hosts of its own, or the site is in another one.
    """
    if cloud in _ENVIRONMENTS.values():  # others, such as an emulator, may have any product
        if product.own_cloud:
            raise ConfigurationError(
                f"cloud: {product.name} has a Cloud of its own. Leave the argument out."
            )
        for name, other in _ENVIRONMENTS.items():
            if other != cloud and site_host.endswith(other.site_domain):
                raise ConfigurationError(
                    f"site_url: {site_host} is a site of another Cloud. Pass cloud={name}."
                )
        if site_host.endswith(_ISOLATED):
            raise ConfigurationError(
                f"site_url: {site_host} is a site of Isolated Cloud. {_ISOLATED_HOSTS}"
            )
    return cloud


def cloud_of_site(site_host: str) -> CloudEnvironment | None:
    """The environment whose sites have such names; None for custom domains and the like."""
    for cloud in _ENVIRONMENTS.values():
        if site_host.endswith(cloud.site_domain):
            return cloud
    return None


#: Error pages after the sign-in. Source: a page says that the app "has requested scopes that have
#: not been added to the app", OpenHands#12397 and atlassian-mcp-server#177. A wrong callback URL is
#: `unauthorized_client`, with "Callback URL mismatch", community 41372, or "redirect_uri is not
#: registered for client", humanlayer#1068 of 2026-08-04. "failed to retrieve client", for an
#: unknown client and for an app that is not shared: community 69937 (staff) and 100834.
#: The names in the console: developer.atlassian.com/cloud/oauth/getting-started, read 2026-11-26.
_CLOUD_PAGES: ErrorPages = (
    ("It speaks of scopes: the app lacks one of these. Add it, under Permissions:", "scopes"),
    (
        "It says unauthorized_client: the app has another callback URL, under Authorization, than:",
        "callback_url",
    ),
    (
        (
            'It says "failed to retrieve client": the client id is wrong, or the app is not shared '
            "and belongs to another account. See Settings, and Distribution > Sharing:"
        ),
        "client_id",
    ),
)


def cloud_server(cloud: CloudEnvironment) -> AuthorizationServer:
    """The 3LO authorization server of Jira and Confluence Cloud.

    Source: developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26; PKCE is accepted and
    ignored (2026-09); the revocation endpoint is advertised by the metadata of another issuer on
    the same host (2026-10-10) and is not documented for 3LO; an account has one grant per app, so
    that revoking a login may end a later one of the same person. That a login ends
    365 days after the consent was documented from 2022 to 2024; the row is gone, no announcement
    was found, so it is reported as possible and never acted upon.
    """
    return AuthorizationServer(
        issuer=cloud.auth_url,
        authorization_endpoint=f"{cloud.auth_url}/authorize",
        token_endpoint=f"{cloud.auth_url}/oauth/token",
        revocation_endpoint=f"{cloud.auth_url}/oauth/revoke",
        authorization_parameters=(("audience", cloud.audience), ("prompt", "consent")),
        refresh_token_scope="offline_access",
        rotation_grace=600.0,  # "reuse interval" of 10 minutes
        resend_window=120.0,  # our choice: long enough for a short outage, far from the end
        refresh_token_lifetime=90 * DAY,
        authorization_lifetime=365 * DAY,
        bad_code=(
            ("invalid_grant", ""),
            # 400 "authorization_code is invalid"; in 2020 403 "Invalid authorization code".
            # Community 66643; sooperset/mcp-atlassian#1137, 2026-03-05.
            ("invalid_request", ""),
            # Unconfirmed: by analogy with the answers to a refresh token.
            ("unauthorized_client", "authorization_code is invalid"),
            ("authorization_code is invalid", ""),
            ("invalid authorization code", ""),
        ),
        dead_refresh_token=(
            ("invalid_grant", ""),
            ("unauthorized_client", "refresh_token is invalid"),  # live traffic, 2024 to 2026
            # Live traffic, 2026-06-12: the text may stand in `error`, with 403.
            ("token was globally revoked", ""),
            ("refresh_token is invalid", ""),
            ("unknown or invalid refresh token.", ""),
        ),
        registered_at="developer.atlassian.com/console/myapps",
        error_pages=_CLOUD_PAGES,
    )


#: Source: a consent page that is never shown, OpenHands#14250, 2026-05-01.
_DATA_CENTER_PAGES: ErrorPages = (
    (
        (
            "It says invalid_scope: the link does not permit one of these, or there is no such "
            "scope (those of Cloud do not exist here):"
        ),
        "scopes",
    ),
    ("It speaks of redirect_uri: the link has another callback URL than:", "callback_url"),
    ("It speaks of the client: the link has another client id than:", "client_id"),
)


def data_center_server(base_url: str) -> AuthorizationServer:
    """The provider that Jira, Confluence and Bitbucket Data Center share.

    Descriptions are localised, so only the error code counts. The redirect URI is sent with a
    refresh because one documented example does and servers differ. No grace: a lost answer is a
    lost login. The tokens of one authorization code are revoked together, and no others.

    Source: confluence.atlassian.com adminjiraserver101/jira-oauth-2-0-provider-api, read
        2026-11-22.
    """
    return AuthorizationServer(
        issuer=base_url,
        authorization_endpoint=f"{base_url}/rest/oauth2/latest/authorize",
        token_endpoint=f"{base_url}/rest/oauth2/latest/token",
        revocation_endpoint=f"{base_url}/rest/oauth2/latest/revoke",
        scopes_include_others=True,  # WRITE includes READ, and so on
        revokes_one_login=True,
        redirect_uri_on_refresh=True,
        refresh_token_lifetime=90 * DAY,  # a property of the server; each refresh starts it again
        scope_on_client_credentials=True,
        registered_at="the application link, in the administration of the server",
        error_pages=_DATA_CENTER_PAGES,
    )


#: Which texts its pages have is known of the callback URL only; a scope is told to the callback.
_BITBUCKET_PAGES: ErrorPages = (
    ("It speaks of redirect_uri: the consumer has another callback URL than:", "callback_url"),
    ("It speaks of the client: the consumer has another key than:", "client_id"),
    ("It speaks of scopes: the consumer lacks one of these permissions:", "scopes"),
)

#: The hosts of Bitbucket Cloud, which are not those of Jira and Confluence.
BITBUCKET_CLOUD = CloudEnvironment("https://bitbucket.org", "https://api.bitbucket.org", "")


def bitbucket_cloud_server(cloud: CloudEnvironment) -> AuthorizationServer:
    """Bitbucket Cloud's own authorization server.

    Its grace of about ten minutes was told by one engineer of Atlassian and is not documented, so
    less of it is used than on Cloud.

    Source: developer.atlassian.com/cloud/bitbucket/oauth-2, 2026-02-24; rotation since 2026-05-04,
        community 99003; grace and lifetime from git-credential-manager#2428, #2429 and #2433,
        2026-08 and 2026-09; the error pairs from production logs, see `atlassian.md` section 5.
    """
    return AuthorizationServer(
        issuer=cloud.auth_url,
        authorization_endpoint=f"{cloud.auth_url}/site/oauth2/authorize",
        token_endpoint=f"{cloud.auth_url}/site/oauth2/access_token",
        client_authentication="client_secret_basic",
        scopes_include_others=True,  # repository:write includes repository, and so on
        rotation_grace=600.0,  # "about 10 minutes"
        resend_window=60.0,  # our choice: room for a second request after one that was not answered
        refresh_token_lifetime=90 * DAY,  # "3 months"; each refresh starts it again
        dead_refresh_token=(
            ("invalid_grant", ""),
            ("unauthorized_client", "refresh_token is invalid"),
            ("invalid_request", "invalid refresh_token"),
        ),
        registered_at="the OAuth consumer, in the settings of the Bitbucket workspace",
        error_pages=_BITBUCKET_PAGES,
    )


#: Trello's API has a host of its own; the authorization server is that of Cloud.
#: Source: developer.atlassian.com/cloud/trello/guides/rest-api/oauth-2-getting-started, 2026-09-14.
TRELLO_CLOUD = CloudEnvironment(COMMERCIAL.auth_url, "https://api.trello.com", COMMERCIAL.audience)


#: Those of Cloud, whose authorization server it is; its apps are registered elsewhere. Source:
#: developer.atlassian.com/cloud/trello/scopes-for-oauth-2-3LO-and-forge-apps, 2026-09-14.
_TRELLO_PAGES: ErrorPages = (
    ("It speaks of scopes: the app lacks one of these. Add it, in the tab OAuth 2.0:", "scopes"),
    (
        "It says unauthorized_client: the app has another callback URL, in that tab, than:",
        "callback_url",
    ),
    (
        'It says "failed to retrieve client": the app has another client id, in that tab, than:',
        "client_id",
    ),
)


def trello_server(cloud: CloudEnvironment) -> AuthorizationServer:
    """Cloud's authorization server, as the apps of Trello meet it.

    PKCE is required, which every authorization of this package uses, refresh tokens rotate, and an
    app may be a public client. There is no client credentials grant.

    Unconfirmed, and taken from the apps of Jira and Confluence: the audience, which some programs
    send and others leave out; grace and lifetime of refresh tokens; revocation; the error answers.

    Source: as `TRELLO_CLOUD`; developer.atlassian.com/cloud/trello, oauth-2-confidential-client-
        usage, 2026-10-01; rwjdk/trello-dotnet wiki "OAuth 2.0", 2026-09-16.
    """
    return cloud_server(cloud)._replace(
        public_clients=True,
        client_grants=False,
        registered_at="trello.com/power-ups/admin",
        error_pages=_TRELLO_PAGES,
    )


class Product(NamedTuple):
    """What the package knows about one product.

    Attributes:
        name: As in `product=`.
        cloud_scopes: Default scopes of an authorization on Cloud.
        cloud_identity: Path below `base_url` that answers who we are, on Cloud.
        cloud_server: The authorization server on Cloud.
        gateway_path: Path of the product on the Cloud gateway, before the cloud id; "" when it is
            not there.
        scope_words: Every Cloud scope of the product contains one of these words.
        own_cloud: Its hosts, when it has a Cloud of its own, without sites; None: it is on the
            sites of Atlassian Cloud.
        own_api_path: Path of the API on the API host of its own Cloud.
        data_center_scopes: Default scopes of an authorization on Data Center.
        data_center_identity: Path below `base_url` that answers who we are, on Data Center; "" when
            there is no Data Center of the product.
        data_center_paths: What the paths below `base_url` begin with that take a token, on Data
            Center; empty: all.
        hint: What to do about a request to the other paths of its Data Center, or to the
            authorization server's host of its own Cloud, which must not carry the token.
    """

    name: str
    cloud_scopes: tuple[str, ...]
    cloud_identity: str
    cloud_server: Callable[[CloudEnvironment], AuthorizationServer] = cloud_server
    gateway_path: str = ""
    scope_words: tuple[str, ...] = ()
    own_cloud: CloudEnvironment | None = None
    own_api_path: str = ""
    data_center_scopes: tuple[str, ...] = ()
    data_center_identity: str = ""
    data_center_paths: tuple[str, ...] = ()
    hint: str = ""

    @property
    def public_clients(self) -> bool:
        """Whether an app of the product may be a public client, on a Cloud of its own."""
        return bool(self.own_cloud and self.cloud_server(self.own_cloud).public_clients)

    def is_reached_by(self, scopes: Iterable[str]) -> bool:
        """Whether some of the scopes are for this product."""
        return any(word in scope for scope in scopes for word in self.scope_words)


PRODUCTS = {
    product.name: product
    for product in (
        Product(
            name="jira",
            cloud_scopes=("read:audit-log:jira", "read:jira-user", "offline_access"),
            cloud_identity="/rest/api/3/myself",
            gateway_path="/ex/jira",
            scope_words=("jira", "servicedesk"),
            data_center_scopes=("WRITE",),
            data_center_identity="/rest/api/2/myself",
        ),
        Product(
            name="confluence",
            cloud_scopes=("read:audit-log:confluence", "read:confluence-user", "offline_access"),
            cloud_identity="/wiki/rest/api/user/current",
            gateway_path="/ex/confluence",
            scope_words=("confluence",),
            data_center_scopes=("WRITE",),
            data_center_identity="/rest/api/user/current",
        ),
        Product(
            name="bitbucket",
            cloud_scopes=("account", "repository"),
            cloud_identity="/user",
            cloud_server=bitbucket_cloud_server,
            own_cloud=BITBUCKET_CLOUD,
            # Source: https://api.bitbucket.org/2.0, developer.atlassian.com/cloud/bitbucket/oauth-2
            own_api_path="/2.0",
            data_center_scopes=("REPO_READ",),
            # Its body names no account, but every answer names the caller in X-AUSERNAME.
            # Source: social-core's bitbucket_datacenter.py, read 2026-11-22.
            data_center_identity="/rest/api/latest/application-properties",
            # Others lead to the login page; a token as a password there can lock the account.
            # Source: support.atlassian.com/bitbucket-data-center/kb/access-tokens-no-longer-work-
            # as-expected-after-upgrading-bitbucket-data-center, 8.9.22, 8.19.12, 9.3.2 and later.
            data_center_paths=("/rest", "/scm"),
            # Source: community 99003, 2026-05-04.
            hint=(
                "Bitbucket takes tokens at its REST API (files: .../repos/SLUG/raw/PATH on Data "
                "Center, .../src/COMMIT/PATH on Cloud), and for git: on Data Center at /scm, on "
                "Cloud as the password of the user x-token-auth."
            ),
        ),
        Product(
            name="trello",
            # Source: trello_rest_api's OpenAPI document, securitySchemes, read 2026-09-17. Which
            # scopes /1/members/me needs is unconfirmed; programs ask for read:member:trello.
            cloud_scopes=("read:member:trello", "read:board:trello", "offline_access"),
            cloud_identity="/1/members/me",
            cloud_server=trello_server,
            own_cloud=TRELLO_CLOUD,
            scope_words=("trello",),
        ),
    )
}


def product_named(name: str) -> Product:
    """The record of a product, whose name may be in any case.

    Raises:
        ConfigurationError: There is no product of that name.
    """
    if isinstance(name, str) and (product := PRODUCTS.get(name.lower())):
        return product
    known = ", ".join(repr(known) for known in PRODUCTS)
    raise ConfigurationError(f"product: unknown product. Choose one of {known}.")
