"""Clients from environment variables."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import (
    US_GOV_MODERATE,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    ConfluenceOnPremOAuthClient,
    JiraCloudOAuthClient,
    atlassian_oauth_client_from_env,
    atlassian_service_account_client_from_env,
)
from atlassian_auth_adapter.clients.environment import (
    VARIABLES,
    arguments_from_env,
    client_secret_from_env,
)
from atlassian_auth_adapter.testing import AtlassianEmulator


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets variables; no other ATLASSIAN_ variable is there."""
    for name in (*VARIABLES, "ATLASSIAN_CLIENT_SECRET", "ATLASSIAN_CLIENT_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"ATLASSIAN_{name}", value)

    return set_all


def test_a_login_with_nothing_but_the_environment(
    emulator: AtlassianEmulator, env: Any, tmp_path: Path
) -> None:
    """From the variables to an authorised request; the next process finds the login."""
    cloud = emulator.cloud
    env(
        CLIENT_ID=cloud.app.client_id,
        CLIENT_SECRET=cloud.app.client_secret,
        CALLBACK_URL=cloud.app.callback_url,
        SITE_URL=cloud.sites[0].url,
        SCOPES="read:jira-user offline_access",
        TOKEN_DIRECTORY=str(tmp_path / "tokens"),
    )
    hosts = CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    client = atlassian_oauth_client_from_env(cloud=hosts)
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    assert client.test_connection().name == "Ada Example"
    assert atlassian_oauth_client_from_env(cloud=hosts).status().scopes == (
        "read:jira-user",
        "offline_access",
    )
    assert cloud.app.client_secret.encode() not in pickle.dumps(client)


def test_every_variable_reaches_its_argument(env: Any, tmp_path: Path) -> None:
    """Also those for corporate networks and other Clouds."""
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    env(
        CLIENT_ID="id",
        CLIENT_SECRET="s",
        CLOUD_ID="some-id",
        CLOUD="us-gov-moderate",
        ACCOUNT="bot",
        CA_BUNDLE=str(bundle),
        PROXY="http://proxy:8080",
    )
    client = atlassian_oauth_client_from_env()
    assert isinstance(client, JiraCloudOAuthClient)
    assert (client.cloud_id, client.account) == ("some-id", "bot")
    assert (client.verify, client.proxy) == (str(bundle), "http://proxy:8080")
    assert client.issuer == US_GOV_MODERATE.auth_url


def test_data_center_and_another_product(env: Any) -> None:
    """The instance is detected as the factory does."""
    env(CLIENT_ID="i", CLIENT_SECRET="s", SERVER_URL="https://c.example/wiki", PRODUCT="confluence")
    assert isinstance(atlassian_oauth_client_from_env(), ConfluenceOnPremOAuthClient)


def test_an_argument_wins_over_its_variable(env: Any) -> None:
    """What the program says is what it means."""
    env(CLIENT_ID="id", CLIENT_SECRET="s", CLOUD_ID="one")
    assert atlassian_oauth_client_from_env(cloud_id="two").cloud_id == "two"


@pytest.mark.parametrize("variable", ["CLOUD_ID", "SITE_URL", "SERVER_URL"])
@pytest.mark.parametrize(
    "given",
    [
        {"cloud_id": "ours"},
        {"site_url": "https://ours.atlassian.net"},
        {"server_url": "https://jira.ours.example"},
    ],
)
def test_the_place_of_the_program_is_not_mixed_with_another(
    env: Any, variable: str, given: dict[str, str]
) -> None:
    """Requests for one site must never go to the cloud id of another."""
    env(CLIENT_ID="id", CLIENT_SECRET="s", **{variable: "https://other.atlassian.net"})
    client = atlassian_oauth_client_from_env(**given)
    places = {name: getattr(client, name) for name in ("cloud_id", "site_url", "server_url")}
    assert {name: place for name, place in places.items() if place} == given


def test_white_space_around_a_text_does_not_count(env: Any) -> None:
    """Secrets of containers are often made with `echo`, which adds a line break."""
    env(CLIENT_ID="id\n", CLIENT_SECRET="s\n", CLOUD_ID=" some-id ", ACCOUNT="\n")
    client = atlassian_oauth_client_from_env()
    assert (client.client_id, client.cloud_id, client.account) == ("id", "some-id", "default")
    assert client_secret_from_env() == "s"


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket", "trello"])
def test_the_emulator_tells_its_place(
    emulator: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    """A program that knows the environment only runs against each of its servers."""
    local = getattr(emulator, flavour)
    for name, value in local.environ().items():
        monkeypatch.setenv(name, value)
    client = atlassian_oauth_client_from_env()
    client.oauth_complete(local.authorize(client.oauth_start()))
    assert client.test_connection().name == "Ada Example"


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_the_emulator_tells_of_its_service_account(
    emulator: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    """Its other app can be told in place of the first."""
    local = getattr(emulator, flavour)
    for name, value in local.environ(local.service_account).items():
        monkeypatch.setenv(name, value)
    assert atlassian_service_account_client_from_env().test_connection().name == "Reports"


def test_a_cloud_by_its_hosts(env: Any) -> None:
    """Isolated Cloud has no name: its hosts are told, with an audience or without."""
    env(CLIENT_ID="i", CLIENT_SECRET="s", SITE_URL="https://acme.company.com")
    for text, hosts in {
        "https://auth.company.com https://api.company.com company": (
            CloudEnvironment("https://auth.company.com", "https://api.company.com", "company")
        ),
        " https://auth.company.com  https://api.company.com ": (
            CloudEnvironment("https://auth.company.com", "https://api.company.com", "")
        ),
    }.items():
        env(CLOUD=text)
        assert arguments_from_env({})["cloud"] == hosts
    env(CLOUD="http://auth.company.com https://api.company.com")
    with pytest.raises(ConfigurationError, match=r"auth_url.*https"):
        atlassian_oauth_client_from_env()


def test_a_secret_in_a_file(env: Any, tmp_path: Path, emulator: AtlassianEmulator) -> None:
    """Mounted secrets, with the line break that editors leave; read again when it has changed."""
    server = emulator.data_center
    file = tmp_path / "secret"
    file.write_text("wrong\n")
    env(
        CLIENT_ID=server.service_account.client_id,
        CLIENT_SECRET_FILE=str(file),
        SERVER_URL=server.url,
        CALLBACK_URL="http://localhost/callback",
    )
    client = atlassian_service_account_client_from_env()
    assert isinstance(client, AtlassianServiceAccountClient)
    file.write_text(f"{server.service_account.client_secret}\n")
    assert client.test_connection().id


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({}, "set ATLASSIAN_CLIENT_ID"),
        ({"CLIENT_ID": ""}, "set ATLASSIAN_CLIENT_ID"),
        ({"CLIENT_ID": "i"}, "set ATLASSIAN_CLIENT_SECRET or ATLASSIAN_CLIENT_SECRET_FILE"),
        ({"CLIENT_ID": "i", "CLIENT_SECRET_FILE": "/no/such"}, "SECRET_FILE.*cannot be read: No"),
        ({"CLIENT_ID": "i", "CLIENT_SECRET_FILE": "/dev/null"}, "SECRET_FILE.*it is empty"),
        ({"CLIENT_ID": "i", "CLIENT_SECRET": "s"}, "say which site"),
        ({"CLIENT_ID": "i", "CLIENT_SECRET": "s", "CLOUD": "mars"}, "ATLASSIAN_CLOUD: unknown"),
        ({"CA_BUNDLE": "/no"}, "ATLASSIAN_CA_BUNDLE: there is no file"),
        (
            {"CLOUD_ID": "https://acme.atlassian.net"},
            "ATLASSIAN_CLOUD_ID: what was given is not",
        ),
        ({"SITE_URL": "acme.atlassian.net"}, "ATLASSIAN_SITE_URL: what was given is not a URL"),
        (
            {"SERVER_URL": "http://jira.company.com"},
            "ATLASSIAN_SERVER_URL: http://jira.company",
        ),
        ({"PRODUCT": "jria"}, "ATLASSIAN_PRODUCT: unknown product"),
        ({"PROXY": "http://proxy:port"}, "ATLASSIAN_PROXY: give a URL"),
        ({"MAX_WAIT": "30 s"}, "ATLASSIAN_MAX_WAIT: max_wait"),
        ({"MAX_WAIT": "-1"}, "ATLASSIAN_MAX_WAIT: max_wait"),
    ],
)
def test_what_is_missing_is_named(env: Any, variables: dict[str, str], advice: str) -> None:
    """The error says which variable to set; an empty one counts as not set."""
    env(**variables)
    with pytest.raises(ConfigurationError, match=advice):
        atlassian_oauth_client_from_env()


def test_a_secret_that_goes_later_is_told_then(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fetched for each token request."""
    env(CLIENT_ID="i", CLIENT_SECRET="s", SERVER_URL="https://j.example")
    client = atlassian_service_account_client_from_env()
    monkeypatch.delenv("ATLASSIAN_CLIENT_SECRET")
    with pytest.raises(ConfigurationError, match="set ATLASSIAN_CLIENT_SECRET"):
        client.get_access_token()
