"""pytest: a program meets an expiry, a person who declines and an outage, in a moment each.

    pytest test_with_pytest.py

It needs no credentials: the fixture `atlassian_emulator` comes with the package.
"""

import pytest
import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing.emulator import Status


def my_name(client):  # stands for your program
    auth, url = atlassian.AtlassianAuth(client), f"{client.base_url}/rest/api/3/myself"
    return requests.get(url, auth=auth, timeout=30).json()["displayName"]


@pytest.fixture
def client(atlassian_emulator, monkeypatch):
    for name, value in atlassian_emulator.cloud.environ().items():
        monkeypatch.setenv(name, value)
    return atlassian.atlassian_oauth_client_from_env(scopes=atlassian.scope_set("jira", "read"))


@pytest.mark.parametrize("outage", [False, True])
def test_an_expiry_is_not_noticed(atlassian_emulator, client, outage):
    client.oauth_complete(atlassian_emulator.cloud.authorize(client.oauth_start()))
    atlassian_emulator.cloud.expire_access_tokens()
    if outage:
        atlassian_emulator.faults.next("token", Status(503))
    assert my_name(client) == "Ada Example"


def test_a_person_declines(atlassian_emulator, client):
    with pytest.raises(atlassian.AuthorizationDeniedError):
        client.oauth_complete(atlassian_emulator.cloud.deny(client.oauth_start()))
    with pytest.raises(atlassian.LoginRequiredError):
        my_name(client)
