"""The factory: makes the OAuth client for what a program knows of its instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack
from uuid import UUID

from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.clients.places import place_of
from atlassian_auth_adapter.clients.products import CLIENT_CLASSES
from atlassian_auth_adapter.clients.settings import Secret, Settings, shows_settings
from atlassian_auth_adapter.errors import without_frames
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.transport import Proxy

__all__ = ["create_atlassian_oauth_client", "create_jira_oauth_client"]


@shows_settings
@without_frames
def create_atlassian_oauth_client(
    client_id: str,
    client_secret: Secret,
    callback_url: str | None = "",
    cloud_id: str | UUID = "",
    server_url: str = "",
    verify: bool | str = True,
    proxy: Proxy = None,
    product: str = "jira",
    *,
    site_url: str = "",
    cloud: CloudEnvironment | None = None,
    gateway_paths: Iterable[str] = (),
    **settings: Unpack[Settings],
) -> AtlassianOAuthClient:
    """The OAuth client for a product: Cloud when `cloud_id` or `site_url` is given, else on-prem.

    With `cloud` alone it is for the only site that the login reaches; when there are several, the
    first use raises AmbiguousSiteError, which lists them.

    Args:
        client_id: Of the OAuth 2.0 app (Cloud) or application link (Data Center).
        client_secret: Its secret, or a function that fetches it; "" for a public client, which
            Trello has.
        callback_url: The registered redirect URI; needed to log in, not to refresh.
        cloud_id: Of the site; wins over `server_url`.
        server_url: Base URL of a Data Center product, context path included.
        verify: True, False, or the path of a CA bundle, for the requests of this package.
        proxy: None: as requests does by itself; True: the environment's; False: none; a URL or a
            mapping of scheme to URL: this one; or a function that returns one of these.
        product: "jira", "confluence", "bitbucket" or "trello", in any case: decides default scopes
            and paths.
        site_url: https://acme.atlassian.net, in place of `cloud_id` or beside it.
        cloud: COMMERCIAL, US_GOV_MODERATE or the hosts of an emulator; None: the commercial one,
            when there is a site.
        gateway_paths: Paths of the gateway beside those of the site that carry the token, and all
            below them, such as ["/graphql"]; `{cloudId}` in one stands for the site's cloud id.
        scopes: Scopes to ask for; None: the product's defaults.
        store: Where the login is kept; None: a new MemoryTokenStore, which ends with the process.
        account: Names the login within the store.
        cert: Client certificate: path of a PEM file, or (certificate, key).
        timeout: Seconds (connect, read) for the requests of this package; their sum bounds a whole
            request, from the name resolution to the last byte of the answer.
        max_wait: Seconds that a request waits for a refresh at most; the refresh itself goes on.
        expiry: When a token counts as stale and as expired.
        on_event: Called with every Event.
        clock: Where instants come from.

    Raises:
        ConfigurationError: Something is missing or contradictory; the text says what to change.
    """
    client_secret, proxy = hidden(client_secret), hidden(proxy)
    place = place_of(
        product,
        cloud_id=cloud_id,
        server_url=server_url,
        site_url=site_url,
        cloud=cloud,
        gateway_paths=gateway_paths,
    )
    cls = next(
        c for c in CLIENT_CLASSES[place.kind] if c.default_product in (place.product.name, "")
    )
    return cls(
        client_id,
        client_secret,
        callback_url,
        verify=verify,
        proxy=proxy,
        product=place.product.name,
        **place.arguments,
        **settings,
    )


#: The same function under its older name.
create_jira_oauth_client = create_atlassian_oauth_client
