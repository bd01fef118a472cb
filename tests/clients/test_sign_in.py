"""What a sign-in checks, what it says, and what becomes of the login that it replaces."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AuthorizationDeniedError,
    MemoryTokenStore,
    StateMismatchError,
    TokenEndpointUnavailableError,
    TokenNotSavedError,
    TokenStoreError,
    scope_set,
)
from atlassian_auth_adapter.clients import oauth
from atlassian_auth_adapter.testing import stored_login
from atlassian_auth_adapter.testing.emulator import HTML, Body, CloseAfter, Hold, Status


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
@pytest.mark.parametrize(
    "change",
    [
        lambda url, client: f"{url}&iss=https%3A%2F%2Fevil.example",
        lambda url, client: f"?{url.partition('?')[2]}&iss={client.issuer}x",
        lambda url, client: url.replace("localhost", "evil.example"),
        lambda url, client: url.replace("/callback", "/other"),
    ],
    ids=["issuer in a URL", "issuer in a query", "host", "path"],
)
def test_a_redirect_of_another_server_is_not_trusted(
    flavour: str, change: Any, emulator: Any, make_client: Any
) -> None:
    """Code and verifier stay here, and the true redirect still counts."""
    client = make_client(flavour, login=False)
    redirect = getattr(emulator, flavour).authorize(client.oauth_start())
    for call in (client.oauth_complete, client.oauth2_retrieve_access_token):
        with pytest.raises(StateMismatchError, match="Nothing was sent"):
            call(change(redirect, client))
    assert not emulator.token_requests
    client.oauth_complete(f"{redirect}&iss={client.issuer}")


def test_a_denial_of_another_server_is_not_trusted(emulator: Any, make_client: Any) -> None:
    """An error has an issuer as well."""
    client = make_client(login=False)
    redirect = emulator.cloud.deny(client.oauth_start())
    with pytest.raises(StateMismatchError):
        client.oauth_complete(f"{redirect}&iss=https%3A%2F%2Fevil.example")


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
@pytest.mark.parametrize("error", ["access_denied", "server_error"])
def test_an_error_with_a_strange_state_is_not_believed(
    flavour: str, error: str, emulator: Any, make_client: Any
) -> None:
    """Another web site cannot make a program say that the person declined."""
    client = make_client(flavour, login=False)
    url = client.oauth_start()
    for forged in (f"?error={error}&state=guessed", f"{client.callback_url}?state=x&error={error}"):
        with pytest.raises(StateMismatchError):
            client.oauth_complete(forged)
    with pytest.raises(AuthorizationDeniedError):
        client.oauth_complete(getattr(emulator, flavour).deny(url))
    client.oauth_complete(getattr(emulator, flavour).authorize(url))


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_every_exchange_has_the_verifier_of_its_challenge(
    flavour: str, emulator: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S256 goes to every server, and so does the verifier: one that checks it needs it."""
    client, side, sent = make_client(flavour, login=False), getattr(emulator, flavour), []
    read = type(side)._parameters
    monkeypatch.setattr(
        type(side),
        "_parameters",
        lambda self, request: sent.append(request.form()) or read(self, request),
    )
    url = client.oauth_start()
    client.oauth_complete(side.authorize(url))
    (verifier,) = {form["code_verifier"] for form in sent if "code_verifier" in form}
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert parse_qs(urlsplit(url).query)["code_challenge"] == [challenge]


# --- a login that is replaced ---------------------------------------------------------------------


def _sign_in(client: Any, side: Any) -> str:
    client.oauth_complete(side.authorize(client.oauth_start()))
    return str(client.token_set().refresh_token)


def test_a_login_that_is_replaced_is_revoked(
    emulator: Any, make_client: Any, events: Any, clock: Any
) -> None:
    """On Data Center, after the new one is saved; the new one lives."""
    client, side = make_client("data_center", login=False, on_event=events), emulator.data_center
    saved = []
    revoke = side.grants.revoke
    side.grants.revoke = lambda token: (saved.append(stored_login(client)), revoke(token))
    tokens = [_sign_in(client, side) for _ in range(3)]
    families = [side.grants.refresh_token(token).family for token in tokens]
    assert [bool(family.revoked) for family in families] == [True, True, False]
    assert [login.token_set.refresh_token for login in saved] == tokens[1:]
    clock.advance(3600)
    client.refresh()
    assert client.test_connection().id
    assert "not_revoked" not in events.names


@pytest.mark.parametrize("flavour", ["cloud", "bitbucket"])
def test_a_login_is_not_revoked_where_that_could_end_the_new_one(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """Cloud has one grant per app and account; Bitbucket Cloud has no revocation endpoint."""
    client, side = make_client(flavour, login=False), getattr(emulator, flavour)
    tokens = [_sign_in(client, side) for _ in range(2)]
    assert not any(side.grants.refresh_token(token).family.revoked for token in tokens)
    assert not [request for request in emulator.requests if "revoke" in request.path]


@pytest.mark.parametrize("fault", [Status(503), CloseAfter(), HTML()], ids=str)
def test_a_login_that_cannot_be_revoked_is_reported(
    fault: Any, emulator: Any, make_client: Any, events: Any
) -> None:
    """The sign-in has succeeded all the same."""
    client = make_client("data_center", on_event=events)
    emulator.faults.next("revoke", fault)
    _sign_in(client, emulator.data_center)
    assert ("not_revoked" in events.names) == (not isinstance(fault, HTML))
    assert client.test_connection().id


class ReadOnlyAtTimes(MemoryTokenStore):
    """A store that saves no login at times, but authorizations."""

    is_read_only = False

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        if self.is_read_only and "." not in name:
            raise TokenStoreError("broken by the test")
        super().save(name, text, expected=expected)


def test_a_login_that_may_still_be_stored_is_not_revoked(
    emulator: Any, make_client: Any, events: Any, landed: Any
) -> None:
    """The new one could not be saved at once: it is later, and the event tells of the other one."""
    store = ReadOnlyAtTimes()
    client = make_client("data_center", store=store, on_event=events)
    before = client.token_set().refresh_token
    store.is_read_only = True
    with pytest.raises(TokenNotSavedError):
        _sign_in(client, emulator.data_center)
    assert events.names.count("not_revoked") == 1
    assert not emulator.data_center.grants.refresh_token(before).family.revoked
    store.is_read_only = False
    landed()
    assert client.refresh().state == "fresh"


def test_a_revocation_that_hangs_does_not_delay_the_sign_in_for_long(
    emulator: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch, landed: Any
) -> None:
    """It goes on beside the program."""
    monkeypatch.setattr(oauth, "REVOCATION", 0.01)
    client, hold = make_client("data_center"), Hold()
    emulator.faults.next("revoke", hold)
    _sign_in(client, emulator.data_center)
    hold.wait_arrived()
    hold.release()
    landed()
    assert client.test_connection().id


def test_a_failed_sign_in_revokes_nothing(emulator: Any, make_client: Any) -> None:
    """The login from before stays as it is."""
    client = make_client("data_center")
    redirect = emulator.data_center.authorize(client.oauth_start())
    emulator.faults.next("token", Status(500))
    with pytest.raises(TokenEndpointUnavailableError):
        client.oauth_complete(redirect)
    client.refresh()
    assert client.test_connection().id


# --- scopes without a refresh token ---------------------------------------------------------------


@pytest.mark.parametrize("scopes", [["read:jira-user"], "read:jira-work read:jira-user"])
def test_a_login_that_will_end_with_its_token_is_announced(
    scopes: Any, emulator: Any, make_client: Any, events: Any, clock: Any
) -> None:
    """Without offline_access there is no refresh token: the start says so, and so do the dates."""
    client = make_client(login=False, scopes=scopes, on_event=events)
    assert client.missing_scope == "offline_access"
    _sign_in(client, emulator.cloud)
    (event,) = (event for event in events if event.name == "no_refresh_token")
    assert event.fields["needed"] == "offline_access"
    status = client.status()
    assert status.idle_until == status.reauthorize_by == status.expires_at == clock.time() + 3600


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_server_that_issues_no_refresh_token_is_reported(
    flavour: str, emulator: Any, make_client: Any, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scopes are right, and still the login ends with its token, as the dates say."""
    side = getattr(emulator, flavour)
    grant = side.grants.grant
    monkeypatch.setattr(
        side.grants, "grant", lambda consent, now, **_: grant(consent, now, refreshable=False)
    )
    client = make_client(flavour, on_event=events)
    (event,) = (event for event in events if event.name == "no_refresh_token")
    assert "issued none" in event.fields["hint"]
    status = client.status()
    assert status.idle_until == status.reauthorize_by == status.expires_at


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_login_that_can_be_refreshed_is_not_announced(
    flavour: str, make_client: Any, events: Any
) -> None:
    """The default scopes bring a refresh token everywhere; Data Center and Bitbucket need none."""
    client = make_client(flavour, on_event=events)
    assert client.missing_scope == ""
    assert "no_refresh_token" not in events.names
    assert client.status().reauthorize_by != client.status().expires_at


# --- named sets of scopes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "name", "path"),
    [
        ("jira", "read", "/rest/api/3/field"),
        ("jira", "write", "/rest/api/3/field"),
        ("jira", "audit", "/rest/api/3/auditing/record"),
        ("confluence", "read", "/wiki/rest/api/user/current"),
        ("confluence", "write", "/wiki/rest/api/user/current"),
        ("confluence", "audit", "/wiki/rest/api/audit"),
    ],
)
def test_a_named_set_of_scopes_is_asked_for(
    product: str, name: Any, path: str, emulator: Any, make_client: Any
) -> None:
    """An app that has the scopes of a set: its login reaches what the set is for (rows 3 to 5)."""
    assert set(scope_set(product, name)) <= {*emulator.cloud.words}  # each of them exists
    emulator.cloud.app.scopes = scope_set(product, name)
    client = make_client(product=product, scopes=scope_set(product, name))
    assert client.test_connection().id
    answer = requests.get(client.base_url + path, auth=AtlassianAuth(client))
    assert answer.status_code == 200, answer.text
    assert client.refresh().scopes


# --- scopes that were asked for and not granted ---------------------------------------------------


@pytest.mark.parametrize("dropped", ["read:jira-work", "read:audit-log:jira read:jira-work"])
def test_scopes_that_were_left_out_are_reported(
    dropped: str, emulator: Any, make_client: Any, events: Any
) -> None:
    """Row 6: asked and granted scopes are compared after a sign-in; the login is there.

    Source: names that do not exist are dropped silently, simstudioai/sim#4388, community 56311.
    """
    asked = ["read:jira-user", *dropped.split(), "offline_access"]
    client = make_client(login=False, scopes=asked, on_event=events)
    assert client.scopes_not_granted() == ()
    url = client.oauth_start().replace(f"{quote(dropped, safe='')}%20", "")
    client.oauth_complete(emulator.cloud.authorize(url))
    (event,) = (event for event in events if event.name == "scopes_not_granted")
    assert event.fields["missing"] == " ".join(client.scopes_not_granted()) == dropped
    assert event.fields["granted"] == "offline_access read:jira-user"
    assert client.test_connection().id


@pytest.mark.parametrize(
    ("flavour", "scopes", "answered"),
    [
        ("cloud", "read:jira-user offline_access", "read:jira-user"),
        ("cloud", "read:jira-user offline_access", None),
        ("cloud", "read:jira-user offline_access", "offline_access read:me read:jira-user"),
        ("data_center", "READ WRITE", "WRITE"),
        ("bitbucket", "account repository repository:write", "repository:write account"),
    ],
)
def test_what_is_granted_need_not_be_named(
    flavour: str, scopes: str, answered: str | None, emulator: Any, make_client: Any, events: Any
) -> None:
    """A refresh token shows that offline_access was granted; a scope may include others."""
    client = make_client(flavour, login=False, scopes=scopes, on_event=events)
    redirect = getattr(emulator, flavour).authorize(client.oauth_start())
    scope = {} if answered is None else {"scope": answered}
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, **scope}
    emulator.faults.next("token", Body(json.dumps(body).encode(), 200))
    client.oauth_complete(redirect)
    assert client.scopes_not_granted() == ()
    assert "scopes_not_granted" not in events.names


def test_a_login_without_the_refresh_token_that_was_asked_for_is_reported(
    emulator: Any, make_client: Any, events: Any
) -> None:
    """The app may not have refresh tokens: offline_access is what was left out."""
    client = make_client(login=False, scopes="read:jira-user offline_access", on_event=events)
    redirect = emulator.cloud.authorize(client.oauth_start())
    body = b'{"access_token": "a", "expires_in": 3600, "scope": "read:jira-user"}'
    emulator.faults.next("token", Body(body, 200))
    client.oauth_complete(redirect)
    assert client.scopes_not_granted() == ("offline_access",)
    assert "scopes_not_granted" in events.names


@pytest.mark.parametrize(("count", "warned"), [(50, False), (51, True), (236, True)])
def test_more_than_50_scopes_are_reported(
    count: int, warned: bool, make_client: Any, events: Any
) -> None:
    """Row 6: they are asked for all the same.

    Source: 414 or "header too large", n8n-io/n8n#22479.
    """
    scopes = [*(f"read:thing-{number}:jira" for number in range(count - 1)), "offline_access"]
    url = make_client(login=False, scopes=scopes, on_event=events).oauth_start()
    assert parse_qs(urlsplit(url).query)["scope"][0].split() == scopes
    assert [event.fields["count"] for event in events if event.name == "many_scopes"] == (
        [count] if warned else []
    )
