"""Trello: Cloud's authorization server, an API host of its own, public and confidential clients."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    FileTokenStore,
    TokenRequestRefusedError,
    atlassian_oauth_client_from_env,
    atlassian_service_account_client_from_env,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock

CALLBACK = "http://localhost:8080/callback"
CONFIDENTIAL, PUBLIC = "confidential", "public"
both = pytest.mark.parametrize("kind", [CONFIDENTIAL, PUBLIC])


@pytest.fixture
def trello(make_client: Any, emulator: AtlassianEmulator) -> Any:
    """Makes a client of a confidential or a public app."""

    def make(kind: str, **changes: Any) -> Any:
        if kind == PUBLIC:
            emulator.trello.app.client_secret = ""
        return make_client("trello", **changes)

    return make


@both
def test_a_person_signs_in(kind: str, trello: Any, emulator: AtlassianEmulator) -> None:
    """With PKCE, with or without a client secret; the login names its owner."""
    client = trello(kind)
    assert client.token_set().scope == "read:member:trello read:board:trello offline_access"
    identity = client.test_connection()
    assert (identity.name, identity.email) == ("Ada Example", "ada@example.com")
    assert identity.id
    assert not [each for each in emulator.requests if "accessible-resources" in each.target]


@both
def test_refresh_tokens_rotate(
    kind: str, trello: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Each refresh brings the next refresh token, with no secret for a public client."""
    client = trello(kind)
    seen = {client.token_set().refresh_token}
    for _ in range(2):
        clock.advance(3600)
        seen.add(client.token_set().refresh_token)
    assert len(seen) == 3
    assert emulator.count("refresh_token", "issued", "trello") == 2
    assert client.test_connection().id


@both
def test_a_login_can_be_ended(kind: str, trello: Any, emulator: AtlassianEmulator) -> None:
    """The revocation is accepted, with no secret for a public client."""
    client = trello(kind)
    client.revoke()
    assert [each.revoked for each in emulator.families] == ["revoked by the client"]


@both
def test_a_code_is_worth_nothing_without_its_verifier(
    kind: str, trello: Any, emulator: AtlassianEmulator, session: requests.Session
) -> None:
    """PKCE is enforced: with another verifier, or none, the server refuses the code."""
    client = trello(kind, login=False)
    redirect = emulator.trello.authorize(client.oauth_start())
    fields = {
        "grant_type": "authorization_code",
        "client_id": emulator.trello.app.client_id,
        "client_secret": emulator.trello.app.client_secret,
        "redirect_uri": CALLBACK,
        "code": parse_qs(urlsplit(redirect).query)["code"][0],
    }
    url = f"{emulator.trello.auth_url}/oauth/token"
    for verifier in ({"code_verifier": "v" * 64}, {}):
        assert session.post(url, data={**fields, **verifier}, timeout=10).status_code == 403
    client.oauth_complete(redirect)
    assert client.test_connection().id


def test_an_authorization_without_pkce_is_refused(
    trello: Any, emulator: AtlassianEmulator, session: requests.Session
) -> None:
    """By the authorization server, on a page that does not lead back."""
    url = trello(CONFIDENTIAL, login=False).oauth_start()
    plain = url.replace("code_challenge_method=S256", "code_challenge_method=plain")
    assert session.get(url.partition("&code_challenge=")[0], timeout=10).status_code == 400
    assert session.get(plain, timeout=10).status_code == 400
    assert session.get(url, timeout=10).status_code == 200


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_requests_are_authorized(
    library: str, trello: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """A body arrives whole, also when the token is refreshed because it was rejected."""
    client = trello(PUBLIC)
    clock.advance(60)
    emulator.trello.expire_access_tokens()
    url = f"{client.base_url}/rest/echo"
    if library == "requests":
        answer: Any = requests.post(url, data=b"x" * 9, auth=AtlassianAuth(client), timeout=10)
    else:
        answer = httpx.post(url, content=b"x" * 9, auth=AtlassianHTTPXAuth(client), timeout=10)
    assert answer.json()["body_length"] == 9
    assert emulator.count("refresh_token", "issued", "trello") == 1


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_no_token_leaves_the_api_host(
    library: str, trello: Any, emulator: AtlassianEmulator
) -> None:
    """Neither to a foreign host by a redirect, nor to the gateway of Jira and Confluence."""
    client = trello(CONFIDENTIAL)
    away = f"{client.base_url}/rest/redirect?to={emulator.foreign_url}/x"
    gateway = f"{emulator.cloud.api_url}/me"
    if library == "requests":
        with requests.Session() as session:
            session.auth = AtlassianAuth(client)
            for url in (away, gateway):
                session.get(url, timeout=10)
    else:
        auth = AtlassianHTTPXAuth(client)
        with httpx.Client(auth=auth, follow_redirects=True, timeout=10) as http:
            for url in (away, gateway):
                http.get(url)
    roles = [each.role for each in emulator.requests if "bearer" in each.headers.get(
        "authorization", "").lower()]  # fmt: skip
    assert {"foreign", "api"} <= {each.role for each in emulator.requests}
    assert set(roles) == {"trello-api"}


# --- what an empty client secret means ------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"product": "jira", "site_url": "https://acme.atlassian.net"},
        {"product": "confluence", "cloud_id": "c"},
        {"product": "bitbucket"},
        {"product": "jira", "server_url": "https://jira.company.com"},
    ],
    ids=lambda place: "-".join(place.values()),
)
def test_other_products_have_no_public_clients(place: dict[str, str]) -> None:
    """An empty secret is a missing one, in the constructor; a function's, before it is sent."""
    with pytest.raises(ConfigurationError, match="client_secret is missing"):
        create_atlassian_oauth_client("id", "", CALLBACK, **place)


def test_a_function_without_a_secret_is_refused_by_other_products(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Nothing is sent, and the code counts afterwards."""
    client = make_client(login=False, client_secret=str)
    redirect = emulator.cloud.authorize(client.oauth_start())
    with pytest.raises(ConfigurationError, match="client_secret is missing"):
        client.oauth_complete(redirect)
    assert not emulator.token_requests


@pytest.mark.parametrize("secret", [None, " ", "line\nbreak", b""])
def test_only_an_empty_text_means_a_public_client(secret: Any) -> None:
    """Anything else that is no secret is a mistake."""
    with pytest.raises(ConfigurationError, match="client_secret"):
        create_atlassian_oauth_client("id", secret, CALLBACK, product="trello")


@pytest.mark.parametrize("secret", ["", "secret"])
def test_there_are_no_service_accounts(
    secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Row 15: no client credentials grant. The text says what to use, wherever it is described."""
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "id")
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", secret)
    store = FileTokenStore(tmp_path)
    profile = Profile("boards", product="trello", client_id="id", flow="client_credentials")
    with pytest.raises(
        ConfigurationError, match=r"trello has no service accounts.* A person signs"
    ):
        AtlassianServiceAccountClient("id", secret, product="trello")
    with pytest.raises(ConfigurationError, match="trello has no service accounts"):
        client_of(profile, store=store)
    monkeypatch.setenv("ATLASSIAN_PRODUCT", "trello")
    with pytest.raises(ConfigurationError, match="trello has no service accounts"):
        atlassian_service_account_client_from_env(client_secret=secret)


def test_a_confidential_app_needs_its_secret(trello: Any, emulator: AtlassianEmulator) -> None:
    """The server refuses a client that says it is public; what to check is told."""
    client = trello(CONFIDENTIAL, login=False, client_secret="")
    with pytest.raises(TokenRequestRefusedError, match="client_secret"):
        client.oauth_complete(emulator.trello.authorize(client.oauth_start()))


def test_a_public_client_goes_to_another_process(
    trello: Any, emulator: AtlassianEmulator, tmp_path: Path
) -> None:
    """There is no secret that its pickle could lack."""
    client = trello(PUBLIC, store=FileTokenStore(tmp_path))
    client.refresh()
    code = (
        "import pickle, sys; client = pickle.load(sys.stdin.buffer); "
        "client.refresh(); print(client.test_connection().name)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(client), capture_output=True, check=False
    )
    assert ran.stdout.decode().strip() == "Ada Example", ran.stderr.decode()


# --- environment and profiles ---------------------------------------------------------------------


@pytest.fixture
def hosts(emulator: AtlassianEmulator) -> CloudEnvironment:
    """Where the emulator's Trello is."""
    side = emulator.trello
    return CloudEnvironment(side.auth_url, side.api_url, side.audience)


@both
def test_the_environment_describes_it(
    kind: str, monkeypatch: pytest.MonkeyPatch, emulator: AtlassianEmulator,
    hosts: CloudEnvironment,
) -> None:  # fmt: skip
    """Without a secret in the environment it is a public client."""
    app = emulator.trello.app
    if kind == PUBLIC:
        app.client_secret = ""
    monkeypatch.setenv("ATLASSIAN_PRODUCT", "trello")
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", app.client_id)
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", app.client_secret)
    client = atlassian_oauth_client_from_env(callback_url=CALLBACK, cloud=hosts)
    client.oauth_complete(emulator.trello.authorize(client.oauth_start()))
    assert client.test_connection().id


@both
def test_a_profile_describes_it(
    kind: str, monkeypatch: pytest.MonkeyPatch, emulator: AtlassianEmulator,
    hosts: CloudEnvironment, tmp_path: Path,
) -> None:  # fmt: skip
    """Where neither its store nor the environment has a secret it is a public client."""
    app = emulator.trello.app
    if kind == PUBLIC:
        app.client_secret = ""
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", app.client_secret)
    profile = Profile(
        "boards", product="trello", client_id=app.client_id, callback_url=CALLBACK, cloud=hosts
    )
    client: Any = client_of(profile, store=FileTokenStore(tmp_path))
    client.oauth_complete(emulator.trello.authorize(client.oauth_start()))
    assert client.test_connection().id


def test_its_hosts_are_known() -> None:
    """The name of the product is enough."""
    client = create_atlassian_oauth_client("id", "", CALLBACK, product="trello")
    assert client.base_url == "https://api.trello.com"
    assert client.issuer == "https://auth.atlassian.com"
    query = parse_qs(urlsplit(client.oauth_start()).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["read:member:trello read:board:trello offline_access"]
    with pytest.raises(ConfigurationError, match="no Data Center of trello"):
        create_atlassian_oauth_client(
            "id", "s", CALLBACK, product="trello", server_url="https://trello.company.com"
        )
