"""The records of products and servers: the facts as they were collected."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter import COMMERCIAL, US_GOV_MODERATE, ConfigurationError
from atlassian_auth_adapter.atlassian.products import (
    BITBUCKET_CLOUD,
    PRODUCTS,
    TRELLO_CLOUD,
    bitbucket_cloud_server,
    cloud_server,
    data_center_server,
    product_named,
    trello_server,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer


def test_cloud_is_the_3lo_server() -> None:
    """Endpoints, audience and consent; ten minutes of grace, of which we use two; no PKCE."""
    server = cloud_server(COMMERCIAL)
    assert server.authorization_endpoint == "https://auth.atlassian.com/authorize"
    assert server.token_endpoint == "https://auth.atlassian.com/oauth/token"
    assert dict(server.authorization_parameters) == {
        "audience": "api.atlassian.com",
        "prompt": "consent",
    }
    assert server.client_authentication == "client_secret_post"
    assert (server.rotation_grace, server.resend_window) == (600, 120)
    assert server.refresh_token_scope == "offline_access"
    assert not server.revokes_one_login  # one grant per app and account
    assert not server.redirect_uri_on_refresh
    assert not server.scope_on_client_credentials


def test_data_center_has_no_grace() -> None:
    """The provider lives under the base URL; a lost answer is a lost login."""
    server = data_center_server("https://jira.company.com/jira")
    assert server.token_endpoint == "https://jira.company.com/jira/rest/oauth2/latest/token"
    assert server.issuer == "https://jira.company.com/jira"
    assert (server.rotation_grace, server.resend_window) == (0, 0)
    assert server.revokes_one_login
    assert server.redirect_uri_on_refresh


def test_bitbucket_cloud_is_another_server() -> None:
    """Basic client authentication, ten minutes of grace of which we use one, no revocation."""
    server = bitbucket_cloud_server(BITBUCKET_CLOUD)
    assert server.token_endpoint == "https://bitbucket.org/site/oauth2/access_token"
    assert server.client_authentication == "client_secret_basic"
    assert (server.rotation_grace, server.resend_window) == (600, 60)
    assert server.refresh_token_lifetime == 90 * 86400
    assert not server.revocation_endpoint


def test_trello_is_behind_the_server_of_cloud() -> None:
    """The same endpoints, an API of its own, and apps that may be public clients."""
    server = trello_server(TRELLO_CLOUD)
    assert server.token_endpoint == "https://auth.atlassian.com/oauth/token"
    assert server.public_clients
    assert product_named("trello").public_clients
    assert not [each.name for each in PRODUCTS.values() if each.public_clients][1:]
    assert TRELLO_CLOUD.api_url == "https://api.trello.com"


def test_client_credentials_are_for_clients_with_a_secret() -> None:
    """Whatever an app for people may be."""
    assert not trello_server(TRELLO_CLOUD).for_client_credentials().public_clients


def test_the_government_cloud_has_its_own_hosts() -> None:
    """No request of a government login goes to a commercial host."""
    server = cloud_server(US_GOV_MODERATE)
    urls = [server.authorization_endpoint, server.token_endpoint, server.revocation_endpoint]
    assert all("atlassian-us-gov-mod.com" in url for url in urls)
    assert dict(server.authorization_parameters)["audience"] == "api.atlassian-us-gov-mod.com"


@pytest.mark.parametrize(
    "server",
    [
        cloud_server(COMMERCIAL),
        cloud_server(US_GOV_MODERATE),
        bitbucket_cloud_server(BITBUCKET_CLOUD),
        data_center_server("https://jira.company.com/jira"),
    ],
    ids=lambda server: server.issuer,
)
def test_all_endpoints_are_those_of_the_issuer(server: AuthorizationServer) -> None:
    """Each is made from it: the page of one server cannot be paired with the token endpoint of
    another one.
    """
    for url in (server.authorization_endpoint, server.token_endpoint, server.revocation_endpoint):
        assert url.startswith(f"{server.issuer}/") or not url
    assert len({urlsplit(server.issuer).netloc, urlsplit(server.token_endpoint).netloc}) == 1


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_is_complete(name: str) -> None:
    """A record has scopes and a place to ask who we are; openid never is among the scopes."""
    product = product_named(name)
    assert product.name == name
    assert product.cloud_scopes
    assert product.cloud_identity.startswith("/")
    # Trello has no Data Center
    assert bool(product.data_center_scopes) == product.data_center_identity.startswith("/")
    assert not {"openid", "profile", "email"} & set(product.cloud_scopes)


def test_an_unknown_product_lists_the_known_ones() -> None:
    """A typo is answered with the choices."""
    with pytest.raises(ConfigurationError, match=r"one of 'jira', 'confluence', 'bitbucket'"):
        product_named("Jria")
