"""The tokens of a login go to the hosts that it was made for, however a client is configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    ContextTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    Profile,
    TokenStore,
)
from atlassian_auth_adapter.clock import SYSTEM_CLOCK
from atlassian_auth_adapter.profiles.client import client_of, stored_token_set
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock, separate_process_state


@pytest.fixture
def elsewhere(port: int) -> str:
    """Another host; a request that is sent there fails with another error than the tests expect."""
    return f"http://127.0.0.1:{port}"


def _hosts(emulator: AtlassianEmulator, flavour: str) -> CloudEnvironment:
    side = getattr(emulator, flavour)
    audience = side.audience if flavour == "cloud" else ""
    return CloudEnvironment(side.auth_url, side.api_url, audience)


def _store(kind: str, directory: Path) -> TokenStore:
    if kind == "file":
        return FileTokenStore(directory)
    if kind == "memory":
        return MemoryTokenStore()
    text = ["{}"]
    return ContextTokenStore(
        lambda: json.loads(text[0]), lambda new: text.__setitem__(0, json.dumps(new))
    )


@pytest.mark.parametrize(
    ("flavour", "field", "store", "same_process"),
    [
        ("cloud", "api_url", "memory", True),
        ("cloud", "api_url", "memory", False),
        ("cloud", "resources_url", "file", True),
        ("bitbucket", "api_url", "context", True),
        ("bitbucket", "api_url", "file", False),
    ],
)
def test_a_login_is_not_used_for_another_resource_server(
    flavour: str,
    field: str,
    store: str,
    same_process: bool,
    emulator: AtlassianEmulator,
    make_client: Any,
    elsewhere: str,
    tmp_path: Path,
) -> None:
    """Same authorization server, same app, same account: refused before a request, and nothing is
    changed. Both hosts are named.
    """
    kept = _store(store, tmp_path / "tokens")
    good = make_client(flavour, store=kept)
    cloud = _hosts(emulator, flavour)._replace(**{field: elsewhere})
    other = make_client(flavour, store=kept, cloud=cloud, login=False)
    if not same_process:
        separate_process_state(other)
    before = len(emulator.requests)
    for use in (
        other.get_access_token,
        other.refresh,
        other.status,
        other.oauth_start,
        lambda: other.oauth2_retrieve_access_token(refresh_token="secret-installed"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            use()
        assert elsewhere in str(refused.value)
        assert good.resource_server.base_url.startswith(_hosts(emulator, flavour).api_url)
        assert _hosts(emulator, flavour).api_url in str(refused.value)
        assert not [secret for secret in emulator.secrets if secret in str(refused.value)]
    assert other.current() is None
    assert len(emulator.requests) == before
    assert good.refresh().state == "fresh"


def test_after_forget_the_other_client_can_sign_in(
    emulator: AtlassianEmulator, make_client: Any, elsewhere: str
) -> None:
    """The hosts were changed on purpose: the former client is refused from then on."""
    store = MemoryTokenStore()
    cloud = _hosts(emulator, "cloud")._replace(resources_url=elsewhere)
    former, new = make_client(store=store), make_client(store=store, cloud=cloud, login=False)
    new.forget()
    new.oauth_complete(emulator.cloud.authorize(new.oauth_start()))
    assert new.get_access_token()
    with pytest.raises(ConfigurationError, match="would send them to"):
        former.refresh()


def test_a_service_account_fetches_no_token_for_another_place_from_memory(
    emulator: AtlassianEmulator, clock: FakeClock, elsewhere: str
) -> None:
    """Neither while the first client's token is stored, nor after the record was emptied, which
    both have read: what they share in memory is for one resource server.
    """
    side, store = emulator.cloud, MemoryTokenStore()

    def account(cloud: CloudEnvironment) -> AtlassianServiceAccountClient:
        return AtlassianServiceAccountClient(
            side.service_account.client_id,
            side.service_account.client_secret,
            cloud_id=side.sites[0].id,
            cloud=cloud,
            store=store,
            clock=clock,
        )

    hosts = _hosts(emulator, "cloud")
    good, other = account(hosts), account(hosts._replace(api_url=elsewhere))
    good.get_access_token()
    with pytest.raises(ConfigurationError, match=elsewhere):
        other.get_access_token()
    good.forget()
    assert other.status().state == "none"
    mine, theirs = good.get_access_token(), None
    with pytest.raises(ConfigurationError, match=elsewhere):
        theirs = other.get_access_token()
    assert mine != theirs
    assert other.current() is None


def test_tokens_that_another_program_wrote_stay_with_their_resource_server(
    emulator: AtlassianEmulator, make_client: Any, elsewhere: str
) -> None:
    """A context that an older integration writes as well: new tokens, same hosts."""
    context: dict[str, Any] = {}

    def write(new: dict[str, Any]) -> None:
        context.clear()
        context.update(new)

    store = ContextTokenStore(lambda: json.loads(json.dumps(context)), write)
    make_client(store=store)
    context["token"], context["valid_until"] = "secret-of-another-program", 4e9
    cloud = _hosts(emulator, "cloud")._replace(api_url=elsewhere)
    other = make_client(store=store, cloud=cloud, login=False)
    with pytest.raises(ConfigurationError, match=elsewhere):
        other.get_access_token()
    assert make_client(store=store, login=False).get_access_token() == context["token"]


def test_a_session_sends_nothing_to_the_other_host(
    emulator: AtlassianEmulator, make_client: Any, elsewhere: str, session: requests.Session
) -> None:
    """The error is raised from the request, before a connection is opened."""
    store = MemoryTokenStore()
    make_client(store=store)
    cloud = _hosts(emulator, "cloud")._replace(api_url=elsewhere)
    session.auth = AtlassianAuth(make_client(store=store, cloud=cloud, login=False))
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        session.get(f"{emulator.cloud.sites[0].url}/rest/api/3/myself")


def test_a_profile_with_other_hosts_does_not_print_the_token(
    emulator: AtlassianEmulator,
    make_client: Any,
    elsewhere: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the command reads the stored token without a client."""
    side, hosts = emulator.cloud, _hosts(emulator, "cloud")
    monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
    client = make_client(store=FileTokenStore(tmp_path / "tokens"), clock=SYSTEM_CLOCK)
    good = Profile(
        "work", side.app.client_id, site_url=side.sites[0].url, account="default", cloud=hosts
    )
    assert stored_token_set(good) == client.current()
    bad = good._replace(cloud=hosts._replace(api_url=elsewhere))
    for use in (
        lambda: stored_token_set(bad),
        client_of(bad, client_secret=side.app.client_secret).get_access_token,
    ):
        with pytest.raises(ConfigurationError, match=elsewhere):
            use()
