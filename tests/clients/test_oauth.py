"""The clients, against the emulator: log in, take over, look up, give back."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import subprocess
import sys
import wsgiref.headers
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuth,
    AuthorizationCompletedError,
    AuthorizationDeniedError,
    AuthorizationError,
    ConfigurationError,
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    ResourceUnavailableError,
    StateMismatchError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
    create_atlassian_oauth_client,
    records,
)
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.records.authorizations import Authorizations
from atlassian_auth_adapter.testing import stored_login
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    Body,
    CloseAfter,
    Redirect,
    Status,
    TruncatedJSON,
)

FLAVOURS = ["cloud", "data_center"]
both = pytest.mark.parametrize("flavour", FLAVOURS)


def _side(emulator: Any, flavour: str) -> Any:
    return getattr(emulator, flavour)


# --- logging in -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("form", ["redirect URL", "bare code"])
def test_a_login_is_made(flavour: str, form: str, emulator: Any, make_client: Any) -> None:
    """The whole redirect URL or the code alone: afterwards there is a token that works."""
    client = make_client(flavour, login=False)
    redirect = _side(emulator, flavour).authorize(client.oauth_start())
    given = redirect if form == "redirect URL" else parse_qs(urlsplit(redirect).query)["code"][0]
    assert client.oauth_complete(given) is None
    assert client.test_connection().id
    assert emulator.count("authorization_code", "issued") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket", "trello"])
def test_a_wsgi_server_can_redirect_to_the_url(flavour: str, make_client: Any) -> None:
    """It takes header values of the type str only; Django's runserver is such a server."""
    url = make_client(flavour, login=False).oauth_start()
    assert wsgiref.headers.Headers([("Location", url)])["Location"] == url


@both
def test_several_logins_may_be_under_way(flavour: str, emulator: Any, make_client: Any) -> None:
    """Two browser tabs, completed in either order, each with its own state and verifier."""
    client, side = make_client(flavour, login=False), _side(emulator, flavour)
    redirects = [side.authorize(client.oauth_start()) for _ in range(3)]
    for redirect in reversed(redirects):
        client.oauth_complete(redirect)
    assert emulator.count("authorization_code", "issued") == 3


@both
def test_another_client_object_completes_what_one_has_started(
    flavour: str, emulator: Any, make_client: Any, tmp_path: Path
) -> None:
    """State and verifier are in the store: a web application may run in many processes."""
    stores = [FileTokenStore(tmp_path / "tokens") for _ in range(2)]
    url = make_client(flavour, login=False, store=stores[0]).oauth_start()
    other = make_client(flavour, login=False, store=stores[1])
    other.oauth_complete(_side(emulator, flavour).authorize(url))
    assert other.status().state == "fresh"


@both
def test_a_redirect_of_another_program_is_not_trusted(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """A state that was not issued here: no token request, no login."""
    client = make_client(flavour, login=False)
    redirect = _side(emulator, flavour).authorize(client.oauth_start())
    state = parse_qs(urlsplit(redirect).query)["state"][0]
    with pytest.raises(StateMismatchError, match="oauth_start"):
        client.oauth_complete(redirect.replace(state, state[1:] + state[:1].swapcase() + "x"))
    assert not emulator.token_requests
    client.oauth_complete(redirect)  # the real one still counts


@both
def test_accounts_do_not_complete_each_others_logins(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """A redirect that Bob's browser got is no login for Alice, though they share a store."""
    store = MemoryTokenStore()
    bob, alice = (make_client(flavour, login=False, store=store, account=a) for a in "ba")
    redirect = _side(emulator, flavour).authorize(bob.oauth_start())
    with pytest.raises(StateMismatchError):
        alice.oauth_complete(redirect)
    bob.oauth_complete(redirect)
    assert alice.status().state == "none"


@both
def test_a_login_started_too_long_ago_is_over(
    flavour: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """After ten minutes the redirect belongs to nothing."""
    client = make_client(flavour, login=False)
    redirect = _side(emulator, flavour).authorize(client.oauth_start())
    clock.advance(600)
    with pytest.raises(StateMismatchError, match="10 minutes"):
        client.oauth_complete(redirect)
    assert not emulator.token_requests


@both
def test_denial_sends_no_token_request(flavour: str, emulator: Any, make_client: Any) -> None:
    """The person pressed Deny: an error of its own, and a later attempt works."""
    client, side = make_client(flavour, login=False), _side(emulator, flavour)
    with pytest.raises(AuthorizationDeniedError):
        client.oauth_complete(side.deny(client.oauth_start()))
    assert not emulator.token_requests
    client.oauth_complete(side.authorize(client.oauth_start()))


def test_an_error_of_the_server_is_named(emulator: Any, make_client: Any) -> None:
    """A scope that does not exist comes back as an error redirect, from Bitbucket."""
    client = make_client("bitbucket", login=False, scopes=["no:such-scope"])
    with pytest.raises(AuthorizationError, match=r"invalid_scope.*scopes"):
        client.oauth_complete(emulator.bitbucket.authorize(client.oauth_start()))


@both
def test_a_replayed_redirect_is_refused_here(flavour: str, emulator: Any, make_client: Any) -> None:
    """The second use never reaches the server, which would revoke everything issued from it."""
    client = make_client(flavour, login=False)
    redirect = _side(emulator, flavour).authorize(client.oauth_start())
    client.oauth_complete(redirect)
    with pytest.raises(AuthorizationCompletedError):
        client.oauth_complete(redirect)
    assert emulator.count() == 1
    assert client.test_connection().id


@both
def test_a_code_that_is_too_old_says_start_again(
    flavour: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """The server refuses the code: start again, it is not the registration."""
    client = make_client(flavour, login=False)
    side = _side(emulator, flavour)
    redirect = side.authorize(client.oauth_start())
    side.code_lifetime = 60
    clock.advance(120)
    with pytest.raises(AuthorizationError, match=r"oauth_start\(\) again") as caught:
        client.oauth_complete(redirect)
    expected = {"cloud": "invalid_request", "data_center": "invalid_grant"}
    assert caught.value.error == expected[flavour]
    assert isinstance(caught.value.__cause__, TokenRequestRefusedError)


@both
def test_a_wrong_secret_is_not_a_reason_to_log_in_again(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """It is the registration: TokenRequestRefusedError, at the login and at each refresh."""
    client = make_client(flavour, login=False, client_secret="wr0ng-s3cr3t")
    with pytest.raises(TokenRequestRefusedError, match="client_secret") as caught:
        client.oauth_complete(_side(emulator, flavour).authorize(client.oauth_start()))
    assert caught.value.status == 401
    refresh_token = _side(emulator, flavour).issue()["refresh_token"]
    with pytest.raises(TokenRequestRefusedError):
        client.oauth2_retrieve_access_token(refresh_token=refresh_token)
    assert client.status().state == "none"


@both
@pytest.mark.parametrize(
    "fault", [CloseAfter(), HTML(), HTML(503), Status(500), TruncatedJSON()], ids=str
)
def test_a_login_without_a_usable_answer_says_so(
    flavour: str, fault: Any, emulator: Any, make_client: Any
) -> None:
    """A code is good for one try: no login, no second request, start again."""
    client, side = make_client(flavour, login=False), _side(emulator, flavour)
    redirect = side.authorize(client.oauth_start())
    emulator.faults.next("token", fault)
    with pytest.raises(TokenEndpointUnavailableError):
        client.oauth_complete(redirect)
    assert emulator.count() == 1
    assert client.status().state == "none"
    client.oauth_complete(side.authorize(client.oauth_start()))


def test_old_starts_are_cleared_away(make_client: Any, clock: Any) -> None:
    """Secrets of logins that were not completed do not stay in the store for ever."""
    store = MemoryTokenStore()
    client = make_client(login=False, store=store)
    client.oauth_start()
    clock.advance(601)
    client.oauth_start()
    assert _started(store, client) == 1


def _started(store: MemoryTokenStore, client: Any) -> int:
    """How many authorizations wait for their redirects."""
    kept, _ = records.load(store, client.token_key.for_authorizations(), Authorizations)
    return len(kept.requests) if kept else 0


# --- oauth2_retrieve_access_token -----------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"code": "a", "refresh_token": "b"}], ids=str)
def test_exactly_one_of_code_and_refresh_token_is_given(
    given: dict[str, str], make_client: Any, emulator: Any
) -> None:
    """Both or none is a mistake of the program, told before any request."""
    with pytest.raises(ConfigurationError, match="exactly one of code and refresh_token"):
        make_client(login=False).oauth2_retrieve_access_token(**given)
    assert not emulator.token_requests


@both
def test_a_code_brings_an_access_token(flavour: str, emulator: Any, make_client: Any) -> None:
    """The seed's call with a code logs in and returns the token."""
    client = make_client(flavour, login=False)
    redirect = _side(emulator, flavour).authorize(client.oauth_start())
    access_token = client.oauth2_retrieve_access_token(code=redirect)
    assert access_token == client.get_access_token()


@both
def test_the_stored_refresh_token_renews_the_login(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The seed's call with the login's own refresh token is a refresh like any other."""
    client = make_client(flavour)
    before = client.token_set()
    renewed = client.oauth2_retrieve_access_token(refresh_token=before.refresh_token)
    assert renewed == client.get_access_token() != before.access_token
    assert client.status().generation == 2
    assert emulator.count("refresh_token", "issued") == 1


@both
def test_a_foreign_refresh_token_takes_over_a_login(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """A login that lived elsewhere moves in, and its successor is what is stored."""
    client = make_client(flavour, login=False)
    brought = _side(emulator, flavour).issue()["refresh_token"]
    access_token = client.oauth2_retrieve_access_token(refresh_token=brought)
    stored = stored_login(client)
    assert stored
    assert stored.token_set
    assert stored.token_set.access_token == access_token
    assert stored.token_set.refresh_token not in ("", brought)
    assert client.test_connection().id


@both
def test_a_refused_refresh_token_leaves_the_login_alone(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """What was stored before still is, and still works."""
    client = make_client(flavour)
    before = stored_login(client)
    with pytest.raises(LoginRequiredError, match="Nothing was deleted") as caught:
        client.oauth2_retrieve_access_token(refresh_token="f0reign-s3cr3t")
    assert caught.value.reason == "refused"
    assert "f0reign" not in str(caught.value)
    assert stored_login(client) == before
    assert client.test_connection().id


@both
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"<html>", b'{"access_token": null}', b'{"access_token": "a b"}',
     b'{"access_token": "x", "error": "e"}', b"[" * 100_000, b'{"access_token": "' + b"x" * 300000],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_a_malformed_answer_leaves_the_login_as_it_was(
    flavour: str, body: bytes, emulator: Any, make_client: Any
) -> None:
    """However broken the answers are, the stored token set is the one from before."""
    client = make_client(flavour)
    before = stored_login(client)
    emulator.faults.next("token", Body(body), times=None)
    with pytest.raises(TokenEndpointError):
        client.oauth2_retrieve_access_token(refresh_token=client.token_set().refresh_token)
    stored = stored_login(client)
    assert before
    assert stored
    assert stored.token_set == before.token_set
    emulator.faults.clear()
    assert client.test_connection().id


@both
def test_a_redirected_token_request_goes_nowhere(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """A redirect of the token endpoint is not followed: its target gets nothing at all."""
    client = make_client(flavour)
    emulator.faults.next("token", Redirect(f"{emulator.foreign_url}/token"), times=None)
    with pytest.raises(TokenEndpointUnavailableError):
        client.oauth2_retrieve_access_token(refresh_token=client.token_set().refresh_token)
    assert not [request for request in emulator.requests if request.role == "foreign"]


# --- who am I, which sites ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flavour", "changes"),
    [
        ("cloud", {}),
        ("cloud", {"product": "confluence", "scopes": ["read:confluence-user", "offline_access"]}),
        ("data_center", {}),
        ("data_center", {"product": "confluence"}),
    ],
)
def test_the_connection_can_be_tested(
    flavour: str, changes: dict[str, Any], emulator: Any, make_client: Any
) -> None:
    """It says who the resource server takes us for, and which server that was."""
    client = make_client(flavour, **changes)
    identity = client.test_connection()
    assert identity.id
    assert identity.name
    assert identity.base_url == client.base_url
    last = emulator.requests[-1]
    assert last.role == ("api" if flavour == "cloud" else "server")
    assert last.headers["authorization"].startswith("Bearer ")


@both
def test_an_unannounced_end_is_survived(flavour: str, emulator: Any, make_client: Any) -> None:
    """The server ended the token early: it is renewed and asked again, for both questions."""
    client, side = make_client(flavour), _side(emulator, flavour)
    side.expire_access_tokens()
    assert client.test_connection().id
    assert emulator.count("refresh_token", "issued") == 1


def test_the_list_of_sites_survives_it_too(emulator: Any, make_client: Any) -> None:
    """accessible_resources renews a rejected token like everything else does."""
    client = make_client()
    emulator.cloud.expire_access_tokens()
    assert client.accessible_resources()[0].id == emulator.cloud.sites[0].id
    assert emulator.count("refresh_token", "issued") == 1


def test_the_sites_of_a_grant_are_listed(emulator: Any, make_client: Any) -> None:
    """One entry per product of a site, with URL, name and scopes."""
    (site,) = make_client().accessible_resources()
    expected = emulator.cloud.sites[0]
    assert (site.id, site.url, site.name) == (expected.id, expected.url, expected.name)
    assert "read:jira-user" in site.scopes


def test_a_wrong_site_is_told(emulator: Any, make_client: Any) -> None:
    """The cloud id of another site: not a login problem, and the right ones are named."""
    client = make_client(cloud_id="99999999-aaaa", site_url="")
    with pytest.raises(AccessDeniedError, match=emulator.cloud.sites[0].id):
        client.test_connection()
    emulator.faults.next("accessible-resources", Status(503))
    with pytest.raises(AccessDeniedError, match=r"accessible_resources\(\) lists"):
        client.test_connection()


def test_a_missing_scope_is_told_and_burns_no_rotation(emulator: Any, make_client: Any) -> None:
    """The granted scopes are listed; no refresh, since none could help."""
    client = make_client(scopes=["read:me", "offline_access"])
    with pytest.raises(AccessDeniedError, match="lacks a scope") as caught:
        client.test_connection()
    assert caught.value.granted == "read:me offline_access"
    assert emulator.count("refresh_token") == 0


@both
def test_an_anonymous_answer_is_no_identity(flavour: str, emulator: Any, make_client: Any) -> None:
    """A server that goes on answering anonymously: denied, the same way each time we ask."""
    client = make_client(flavour)
    anonymous = Body(
        b'{"name": "anonymous"}',
        headers={"X-AUSERNAME": "anonymous", "x-seraph-loginreason": "AUTHENTICATED_FAILED"},
    )
    emulator.faults.next("resource", anonymous, times=None)
    for _ in range(2):
        with pytest.raises(AccessDeniedError, match="as if not logged in"):
            client.test_connection()
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize(
    ("flavour", "fault"),
    [
        *product(
            ("cloud", "data_center"),
            (Status(500), Status(429, retry_after=1), Body(b"[]"), Body(b'{"x": 1}')),
        ),
        ("cloud", HTML()),
    ],
    ids=str,
)
def test_an_unusable_answer_is_not_a_denial(
    flavour: str, fault: Any, emulator: Any, make_client: Any
) -> None:
    """A page of a proxy in between or an outage says nothing about the login."""
    client = make_client(flavour)
    emulator.faults.next("resource", fault)
    with pytest.raises(ResourceUnavailableError) as caught:
        client.test_connection()
    assert caught.value.status == getattr(fault, "status", getattr(fault, "code", None))
    assert emulator.count("refresh_token") == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_login_page_of_data_center_is_answered_with_a_better_token(
    emulator: Any, make_client: Any, times: int
) -> None:
    """In place of a resource it means that we are not logged in there: one refresh, one more try;
    if that does not help, it is the account and not the token.
    """
    client = make_client("data_center")
    emulator.faults.next("resource", HTML(), times=times)
    if times == 1:
        assert client.test_connection().name
    else:
        with pytest.raises(AccessDeniedError, match="as if not logged in"):
            client.test_connection()
    assert emulator.count("refresh_token") == 1


def test_a_lost_connection_is_told(emulator: Any, make_client: Any) -> None:
    """No answer of the resource server is an error of its own."""
    client = make_client()
    emulator.faults.next("resource", CloseAfter())
    with pytest.raises(ResourceUnavailableError, match="no answer"):
        client.test_connection()


# --- a site's URL in place of its id --------------------------------------------------------------


def _async(client: Any) -> Any:
    async def ask() -> Any:
        return await client.token_set_async()

    return ask


ASKING = {
    "sync": lambda client: client.token_set(),
    "asyncio": lambda client: asyncio.run(_async(client)()),
    "trio": lambda client: trio.run(_async(client)),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_a_site_url_finds_its_cloud_id(ask: Any, emulator: Any, make_client: Any) -> None:
    """The site is asked once, without a token; from then on its id is known."""
    client = make_client(cloud_id="")
    ask(client)
    ask(client)
    site = emulator.cloud.sites[0]
    assert client.cloud_id == site.id
    assert client.base_url == f"{emulator.cloud.api_url}/ex/jira/{site.id}"
    asked = [request for request in emulator.requests if request.path == "/_edge/tenant_info"]
    assert len(asked) == 1
    assert "authorization" not in asked[0].headers


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_a_url_that_is_no_site_is_told(ask: Any, emulator: Any, make_client: Any) -> None:
    """The server is there, but it is no Cloud site: a wrong setting, however it is asked."""
    client = make_client(cloud_id="", site_url=emulator.foreign_url)
    with pytest.raises(ConfigurationError, match="does not look like an Atlassian Cloud site"):
        ask(client)


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_a_site_in_trouble_is_asked_again_next_time(
    ask: Any, emulator: Any, make_client: Any
) -> None:
    """A passing trouble of site and gateway is not remembered."""
    emulator.faults.next("tenant_info", Status(503), times=2)
    emulator.faults.next("accessible-resources", Status(503), times=2)
    client = make_client(cloud_id="")  # which looks for the site at sign-in, in vain
    with pytest.raises(ResourceUnavailableError, match="gave no cloud id"):
        ask(client)
    assert ask(client).access_token


# --- status, revoke, forget -----------------------------------------------------------------------


@both
def test_the_status_tells_each_state_without_asking(
    flavour: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """None, fresh, stale, expired, login required: no request, and no secret in what is told."""
    client, side = make_client(flavour, login=False), _side(emulator, flavour)
    assert client.status().state == "none"
    client.oauth_complete(side.authorize(client.oauth_start()))
    emulator.reset_log()
    fresh = client.status()
    assert (fresh.state, fresh.generation, fresh.account) == ("fresh", 1, "default")
    assert fresh.expires_at == clock.time() + 3600
    assert fresh.obtained_at == clock.time()
    assert set(fresh.scopes) == set(client.get_oauth_scopes())
    assert not any(secret in repr(fresh) for secret in emulator.secrets)
    clock.advance(3100)
    assert client.status().state == "stale"
    clock.advance(450)
    assert client.status().state == "expired"
    assert not emulator.requests
    side.revoke_grants()
    with pytest.raises(LoginRequiredError):
        client.token_set()
    assert client.status().state == "login_required"


def test_the_status_tells_of_a_server_that_asks_to_wait(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """Throttled until when, and that a refresh was sent whose end is not known."""
    client = make_client()
    clock.advance(3600)
    emulator.faults.next("token", Status(429, retry_after=900))
    with pytest.raises(TokenEndpointUnavailableError):
        client.token_set()
    until = client.status().throttled_until
    assert until
    assert 899 < until - clock.time() <= 1.25 * 900
    clock.advance(1.25 * 900)
    emulator.faults.next("token", CloseAfter(), times=None)
    with pytest.raises(TokenEndpointUnavailableError):
        client.token_set()
    status = client.status()
    assert status.pending_since
    assert status.pending_owner.endswith(f":{os.getpid()}")
    assert status.reason == ""
    emulator.faults.clear()


def test_the_status_tells_why_a_login_has_ended(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """As the error has told it, for a program that looks later."""
    client = make_client()
    clock.advance(3600)
    emulator.cloud.revoke_grants()
    with pytest.raises(LoginRequiredError) as caught:
        client.token_set()
    assert client.status().reason == caught.value.reason == "refused"


def test_a_login_has_a_key(make_client: Any) -> None:
    """Under which a program finds it in the store, as for a rotation of keys."""
    store = MemoryTokenStore()
    client = make_client(store=store, account="ada")
    assert client.token_key.account == "ada"
    stored, _ = records.load(store, client.token_key, Login)
    assert stored
    assert stored.token_set == client.current()


def test_a_login_without_a_refresh_token_needs_a_person_in_the_end(
    make_client: Any, clock: Any
) -> None:
    """Without offline_access there is nothing to renew the token with."""
    client = make_client(scopes=["read:jira-user"])
    clock.advance(3600)
    assert client.status().state == "login_required"
    with pytest.raises(LoginRequiredError, match="offline_access") as caught:
        client.token_set()
    assert caught.value.reason == "no_refresh_token"


@both
def test_a_revoked_login_is_dead_there_and_gone_here(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The server takes the login back, then it is forgotten."""
    client = make_client(flavour)
    client.revoke()
    assert client.status().state == "none"
    assert client.current() is None
    assert emulator.revoked_families
    with pytest.raises(LoginRequiredError) as caught:
        client.token_set()
    assert caught.value.reason == "no_token"
    client.revoke()  # nothing to revoke is no error


@both
def test_a_revocation_that_was_not_confirmed_forgets_nothing(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The server did not answer: the login is still there to be revoked."""
    client = make_client(flavour)
    emulator.faults.next("revoke", Status(503))
    with pytest.raises(TokenEndpointUnavailableError):
        client.revoke()
    assert client.status().state == "fresh"


def test_a_server_that_cannot_revoke_is_told() -> None:
    """Bitbucket Cloud has no revocation endpoint: forget() still works."""
    client = create_atlassian_oauth_client("id", "secret", product="bitbucket")
    with pytest.raises(ConfigurationError, match="forget"):
        client.revoke()
    client.forget()


@pytest.mark.parametrize("text", ["{", '{"version": 1}', '{"schema": 3}'])
def test_forgetting_helps_against_started_authorizations_that_cannot_be_read(
    make_client: Any, emulator: Any, text: str
) -> None:
    """The error of oauth_start() says to forget() the login; afterwards a person can sign in."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    client.oauth_start()
    name = client.token_key.for_authorizations().name
    entry = store.load(name)
    assert entry
    store.save(name, text, expected=entry.version)
    with pytest.raises(TokenStoreError):
        client.oauth_start()
    client.forget()
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    assert client.get_access_token()


def test_forgetting_leaves_a_started_authorization_to_be_completed(
    make_client: Any, emulator: Any
) -> None:
    """A program that forgets the former login while a person signs in does no harm."""
    client = make_client()
    url = client.oauth_start()
    client.forget()
    client.oauth_complete(emulator.cloud.authorize(url))
    assert client.get_access_token()


def test_forgetting_sends_nothing(emulator: Any, make_client: Any) -> None:
    """The login is deleted here; the server is not told."""
    client = make_client()
    emulator.reset_log()
    client.forget()
    client.forget()
    assert client.status().state == "none"
    assert not emulator.requests


# --- pickle and copies ----------------------------------------------------------------------------


def fetch_secret() -> str:
    """The secret, from where a deployment keeps it."""
    return os.environ["TEST_CLIENT_SECRET"]


@both
@pytest.mark.parametrize("secret", ["text", "function", "lambda"])
def test_a_pickle_is_the_same_client_and_holds_no_secret(
    flavour: str, secret: str, emulator: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a process a pickle is a reference; no token and no secret is in its bytes."""
    known = _side(emulator, flavour).app.client_secret
    monkeypatch.setenv("TEST_CLIENT_SECRET", known)
    given = {"text": known, "function": fetch_secret, "lambda": lambda: known}[secret]
    client = make_client(flavour, client_secret=given, on_event=lambda _: None)
    for thing in (client, AtlassianAuth(client)):
        pickled = pickle.dumps(thing)
        assert not [each for each in emulator.secrets if each.encode() in pickled]
    assert pickle.loads(pickle.dumps(client)) is client
    assert pickle.loads(pickle.dumps(AtlassianAuth(client))).source is client


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda c: copy.deepcopy([c])[0]])
def test_copies_are_the_same_client(copied: Any, make_client: Any) -> None:
    """Two owners of one refresh token never come into being."""
    client = make_client(login=False)
    assert copied(client) is client


@pytest.mark.parametrize("kind", ["partial", "bound method"])
def test_a_function_that_holds_the_secret_does_not_take_it_along(
    emulator: Any, make_client: Any, kind: str
) -> None:
    """The pickle of a partial or of a bound method has what it is bound to: it stays behind."""
    secret = emulator.cloud.app.client_secret
    fetch = partial(str, secret) if kind == "partial" else secret.strip
    client = make_client(client_secret=fetch)
    assert secret.encode() not in pickle.dumps(client)
    assert pickle.loads(pickle.dumps(client)) is client


def _in_another_process(pickled: Path, secret: str) -> dict[str, Any]:
    code = (
        "import sys, json, pickle, pathlib\n"
        f"sys.path.insert(0, {str(pickled.parent)!r})\n"
        "client = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "try: result = {'id': client.test_connection().id}\n"
        "except Exception as error: result = {'error': type(error).__name__, 'text': str(error)}\n"
        "try: client.oauth2_retrieve_access_token(refresh_token='foreign')\n"
        "except Exception as e: result |= {'refresh': type(e).__name__, 'how': str(e)}\n"
        "print(json.dumps(result | {'scopes': client.get_oauth_scopes()}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pickled)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"TEST_CLIENT_SECRET": secret},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@both
@pytest.mark.parametrize("given", ["function", "text"])
def test_a_pickle_works_in_another_process(
    flavour: str, given: str, emulator: Any, make_client: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """With a file store and a module-level function it works; else it says what to do."""
    known = _side(emulator, flavour).app.client_secret
    (tmp_path / "vault.py").write_text(
        "import os\ndef fetch():\n    return os.environ['TEST_CLIENT_SECRET']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TEST_CLIENT_SECRET", known)
    import importlib

    vault = importlib.import_module("vault")
    monkeypatch.setitem(sys.modules, "vault", vault)
    client = make_client(
        flavour,
        client_secret=vault.fetch if given == "function" else known,
        store=FileTokenStore(tmp_path / "tokens"),
        scopes=iter(make_client(flavour, login=False).get_oauth_scopes()),
    )
    pickled = tmp_path / "client.pickle"
    pickled.write_bytes(pickle.dumps(client))
    assert not [each for each in emulator.secrets if each.encode() in pickled.read_bytes()]
    result = _in_another_process(pickled, known)
    assert result["id"] == client.test_connection().id
    assert result["scopes"] == client.get_oauth_scopes()
    if given == "function":
        assert result["refresh"] == "LoginRequiredError"
    else:
        assert result["refresh"] == "ConfigurationError"
        assert "module-level function" in result["how"]


def test_a_client_does_not_print_its_secrets(emulator: Any, make_client: Any) -> None:
    """Neither the client nor what hangs on it shows a secret in its repr."""
    client = make_client()
    client.oauth_start()
    parts = vars(client).values()
    shown = f"{client!r} {vars(client)!r} {[vars(p) for p in parts if hasattr(p, '__dict__')]!r}"
    assert not [secret for secret in emulator.secrets if secret in shown]


# --- keys -----------------------------------------------------------------------------------------


def test_each_login_has_a_name_of_its_own() -> None:
    """Issuer, client, account and kind tell keys apart, whatever stands in them."""
    parts = ["a", "b", 'a","b', "a b", "", "\u00e9", "\ud83d\ude00", "../x", "A"]
    keys = [TokenKey(i, c, a) for i in parts for c in parts for a in parts]
    keys += [key.for_authorizations() for key in keys]
    names = {key.name for key in keys}
    assert len(names) == len(keys)
    for name in names:
        digest, _, kind = name.partition(".")
        assert len(digest) == 32
        assert digest.isalnum()
        assert kind in ("", "authorizations")
