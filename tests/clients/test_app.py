"""App: what clients of one OAuth app share, and what keeps them apart."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianServiceAccountClient,
    ExpiryPolicy,
    MemoryTokenStore,
    TokenSet,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import FakeClock

STORE, CLOCK = MemoryTokenStore(), FakeClock()
CLOUD_ID = "11111111-2222-3333-4444-555555555555"


class Eager(ExpiryPolicy):
    """A policy whose fields are those of the usual one."""

    def windows(self, token_set: TokenSet, jitter_share: float = 0.0) -> tuple[float, float]:
        """All its life."""
        return token_set.lifetime, 10.0


def client(account: str = "default", **changes: Any) -> Any:
    """A client of the app, with other arguments."""
    arguments = {
        "client_id": "id",
        "client_secret": "secret",
        "callback_url": "https://acme.example.com/callback",
        "cloud_id": CLOUD_ID,
        "store": STORE,
        "account": account,
    }
    return create_atlassian_oauth_client(**(arguments | changes))


def test_clients_of_one_app_share_it_and_it_goes_with_the_last_of_them() -> None:
    """Whatever their accounts and sites."""
    clients = list(map(client, ("one", "other")))
    clients.append(client("another", product="confluence", cloud_id="", site_url="https://a.net"))
    apps = weakref.WeakSet(each._app for each in clients)
    assert len(apps) == 1
    del clients[:-1]
    assert len(apps) == 1
    assert client()._app in apps
    clients.clear()
    assert not apps


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "other"},
        {"client_secret": "rotated"},
        {"client_secret": lambda: "secret"},
        {"callback_url": "https://acme.example.com/other"},
        {"cloud_id": "", "server_url": "https://jira.example.com"},
        {"verify": False},
        {"proxy": "http://proxy:3128"},
        {"timeout": (5, 31)},
        {"max_wait": 31},
        {"scopes": ["read:jira-work"]},
        {"store": MemoryTokenStore()},
        {"clock": CLOCK},
        {"on_event": print},
        {"expiry": ExpiryPolicy(jitter=1)},
        {"expiry": Eager()},
    ],
    ids=" ".join,
)
def test_another_argument_is_another_app(changes: dict[str, Any]) -> None:
    """A client never gets a secret, a host, a store or a policy that it was not given."""
    one, other = client(), client(**changes)
    assert one._app is not other._app
    assert type(other._source._rules.expiry) is type(changes.get("expiry", ExpiryPolicy()))
    assert client()._app is one._app


def test_service_accounts_with_other_scopes_are_other_apps() -> None:
    """The default scopes of products differ, and what is asked for with them."""
    arguments: Any = {"server_url": "https://dc.example.com", "store": STORE}
    apps = {
        AtlassianServiceAccountClient("id", "secret", scopes=scopes, **arguments)._app.own_scope
        for scopes in (None, ["READ"], ["WRITE", "READ"])
    }
    assert apps == {"WRITE", "READ", "READ WRITE"}
