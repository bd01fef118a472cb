"""Answers that no client expects: token types that cannot be sent, pages of proxies, redirects."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuth,
    AtlassianServiceAccountClient,
    AuthorizationError,
    CloudEnvironment,
    Event,
    ResourceUnavailableError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
)
from atlassian_auth_adapter.testing.emulator import HTML, Body, Edit

SCOPE_MISSING = b'{"code":401,"message":"Unauthorized; scope does not match"}'
FLAVOURS = pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])


def _answer_tokens_of(emulator: Any, token_type: str) -> None:
    """The next refresh is processed, and answered with a token of that type."""

    def retyped(real: Any) -> Any:
        body = json.loads(real.body) | {"token_type": token_type}
        return replace(real, body=json.dumps(body).encode())

    emulator.faults.next("token", Edit(retyped))


# --- tokens of another type -----------------------------------------------------------------------


@FLAVOURS
@pytest.mark.parametrize("token_type", ["mac", "DPoP", "N_A", "Basic"])
def test_a_refresh_that_brings_another_type_loses_no_login(
    flavour: str, token_type: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """Every way to the token refuses it; the rotated refresh token is kept, and works later."""
    client = make_client(flavour)
    clock.advance(7200)
    emulator.reset_log()
    _answer_tokens_of(emulator, token_type)
    ways: list[Any] = [
        client.token_set,
        client.get_access_token,
        client.test_connection,
        lambda: requests.get(f"{client.resource_server.base_url}/x", auth=AtlassianAuth(client)),
    ]
    for way in ways:
        with pytest.raises(TokenRequestRefusedError, match=token_type.lower()):
            way()
    assert len(emulator.requests) == len(emulator.token_requests) == 1
    clock.advance(120)
    assert client.test_connection().id
    assert len(emulator.token_requests) == 2


@FLAVOURS
def test_a_sign_in_with_another_type_replaces_no_login(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The login that there was still works."""
    client = make_client(flavour)
    redirect = getattr(emulator, flavour).authorize(client.oauth_start())
    _answer_tokens_of(emulator, "mac")
    with pytest.raises(TokenRequestRefusedError, match="mac"):
        client.oauth_complete(redirect)
    assert client.test_connection().id


def test_a_taken_over_login_with_another_type_is_kept(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """The given refresh token is spent, so its successor is stored before the error is told."""
    installed = make_client().token_set().refresh_token
    client = make_client(login=False)
    _answer_tokens_of(emulator, "mac")
    with pytest.raises(TokenRequestRefusedError, match="mac"):
        client.oauth2_retrieve_access_token(refresh_token=installed)
    clock.advance(120)
    assert client.test_connection().id


def test_a_service_account_with_another_type_asks_once(emulator: Any, clock: Any) -> None:
    """Client credentials have nothing to lose: the error is told at once."""
    cloud = emulator.cloud
    client = AtlassianServiceAccountClient(
        cloud.service_account.client_id,
        cloud.service_account.client_secret,
        cloud_id=cloud.sites[0].id,
        cloud=CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
        clock=clock,
    )
    _answer_tokens_of(emulator, "DPoP")
    with pytest.raises(TokenRequestRefusedError, match="dpop"):
        client.get_access_token()
    assert len(emulator.token_requests) == 1


# --- pages in place of answers --------------------------------------------------------------------

PAGES = {
    "a proxy's page": HTML(403),
    "an unlabelled refusal": Body(b"Unauthorized", 401, content_type="text/plain"),
    "a firewall's JSON": Body(b'{"message": "Forbidden"}', 403),
    "nothing there": HTML(404),
    "a login page": Body(b"", 302, headers={"Location": "https://sso.company.com/login?t=x"}),
}


@FLAVOURS
@pytest.mark.parametrize("page", PAGES)
def test_what_something_else_answers_to_a_refresh_is_told_at_once(
    flavour: str, page: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """One request, known for some seconds; the same refresh token works when it has gone."""
    client = make_client(flavour)
    clock.advance(7200)
    emulator.reset_log()
    emulator.faults.next("token", PAGES[page])
    began = clock.time()
    for _ in range(3):
        with pytest.raises(TokenEndpointUnavailableError, match=r"\(HTTP [34]\d\d, ") as caught:
            client.get_access_token()
        assert caught.value.outcome == "not_sent"
    assert (len(emulator.token_requests), clock.time()) == (1, began)
    clock.advance(10)
    assert client.test_connection().id
    assert len(emulator.token_requests) == 2


# --- servers that are somewhere else --------------------------------------------------------------


def test_a_server_without_its_context_path_is_told(emulator: Any, make_client: Any) -> None:
    """Registration, sign-in and identity name the context path, which the URL may lack."""
    root = emulator.data_center.url.rpartition("/")[0]
    client = make_client("data_center", login=False, server_url=root)
    with pytest.raises(ResourceUnavailableError, match="context path"):
        client.check_registration()
    with pytest.raises(TokenEndpointUnavailableError, match="context path"):
        client.oauth2_retrieve_access_token(refresh_token="refresh")
    client = make_client("data_center")
    emulator.faults.next("/rest/api/2/myself", HTML(404))
    with pytest.raises(AccessDeniedError, match="context path"):
        client.test_connection()


def test_a_server_that_redirects_is_told_with_its_target(emulator: Any, make_client: Any) -> None:
    """As of http to https, or to the path below which it has moved; without the query."""
    client = make_client("data_center")
    for kind, path, ask in (
        ("authorize", "/rest/oauth2/latest/authorize", client.check_registration),
        ("/rest/api/2/myself", "/rest/api/2/myself", client.test_connection),
    ):
        target = f"https://jira.company.com/new{path}"
        emulator.faults.next(kind, Body(b"", 301, headers={"Location": f"{target}?state=s3cr3t"}))
        with pytest.raises(ResourceUnavailableError, match=target) as caught:
            ask()
        assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HTML(407), "HTTP 407, text/html.*proxy"),
        (HTML(405), "HTTP 405"),
        (HTML(429), "HTTP 429.*later"),
        (Body(b"", 302), "HTTP 302"),
        (Body(b"", 302, headers={"Location": "https://[::1/x?error=a"}), "HTTP 302"),
    ],
)
def test_a_page_that_says_nothing_of_the_registration(
    emulator: Any, make_client: Any, answer: Any, told: str
) -> None:
    """A proxy, a limit or a redirect to nowhere is not taken for a refusal of the client."""
    for kind in ("cloud", "data_center"):
        client = make_client(kind, login=False)
        emulator.faults.next("authorize", answer)
        with pytest.raises(ResourceUnavailableError, match=told):
            client.check_registration()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_without_a_code_may_be_that_of_a_proxy(
    emulator: Any, make_client: Any, status: int
) -> None:
    """The registration is named first, and what else it may be."""
    client = make_client("data_center", login=False)
    emulator.faults.next("authorize", HTML(status))
    with pytest.raises(AuthorizationError, match=r"client_id.*proxy or a firewall"):
        client.check_registration()


# --- many scopes ----------------------------------------------------------------------------------


def test_many_granted_scopes_do_not_hide_what_is_missing(
    emulator: Any, make_client: Any, events: Any
) -> None:
    """Errors and events are short, with what is needed in full; `.granted` has all of them."""
    granted = [f"read:some-granular-thing-{number}:jira" for number in range(28)]
    emulator.cloud.app.scopes = tuple(granted)
    client = make_client(scopes=[*granted, "offline_access"], on_event=events)
    with pytest.raises(AccessDeniedError, match="read:jira-user") as caught:
        client.test_connection()
    assert len(str(caught.value)) < 400
    assert "more)" in str(caught.value)
    assert set(granted) <= set(caught.value.granted.split())
    url = f"{client.base_url}/rest/api/3/issue/AB-1"
    assert requests.get(url, auth=AtlassianAuth(client)).status_code == 401
    (event,) = [event for event in events if event.name == "scope_missing"]
    assert "read:issue.changelog:jira" in event.fields["needed"]
    assert event.fields["granted"].endswith("more")
    assert len(str(event)) < 600


def test_part_of_a_set_of_scopes_is_told_as_missing(
    emulator: Any, make_client: Any, events: Any
) -> None:
    """The gateway asks for all scopes of a set: what the nearest one lacks is in error and event.

    Source: "scope does not match" for part of a set, simstudioai/sim#5005, 2026-06-12.
    """
    granted = ("read:avatar:jira", "read:group:jira", "read:user:jira")
    emulator.cloud.app.scopes = granted
    client = make_client(scopes=[*granted, "offline_access"], on_event=events)
    emulator.faults.next("resource", Body(SCOPE_MISSING, 401), times=None)
    with pytest.raises(AccessDeniedError, match=r"\(missing: read:jira-user; granted: "):
        client.test_connection()
    requests.get(client.identity_url, auth=AtlassianAuth(client))
    records = f"{client.base_url}/rest/api/3/auditing/record"
    requests.get(records, auth=AtlassianAuth(client))
    missing = [event.fields["missing"] for event in events if event.name == "scope_missing"]
    assert missing == ["read:jira-user", "manage:jira-configuration"]


# --- what the authorization page does not tell ----------------------------------------------------


@FLAVOURS
@pytest.mark.parametrize("client_id", ["", "unknown-client"])
def test_no_answer_claims_that_the_registration_is_right(
    flavour: str, client_id: str, emulator: Any, make_client: Any
) -> None:
    """Row 7: a redirect to the sign-in and a page say the same of a right and an unknown client.

    Source: Cloud answers 302 to id.atlassian.com/login whatever the client id, probe of 2026-08-01.
    """
    changes = {"client_id": client_id} if client_id else {}
    client = make_client(flavour, login=False, **changes)
    there = {"Location": "https://id.atlassian.com/login?continue=x"}
    for answer, found in (
        (Body(b"", 302, headers=there), "it sends to id.atlassian.com to sign in. "),
        (HTML(200), "it answers. "),
    ):
        emulator.faults.next("authorize", answer)
        told = client.check_registration()
        assert told.startswith(found)
        assert "known only after a person has signed in" in told


# --- too many requests ----------------------------------------------------------------------------


def test_every_reason_of_a_rate_limit_is_reported_as_it_is(
    emulator: Any, make_client: Any, events: Any
) -> None:
    """The seven of Cloud, which `Event` lists, and any other; a wait of half an hour as well.

    Source: developer.atlassian.com, pages on rate limits, 2026-02-02 and 2026-10-20.
    """
    client = make_client(on_event=events)
    listed = re.findall(r'"((?:jira|confluence)-[a-z-]+)"', Event.__doc__ or "")
    assert len(listed) == 7
    for reason in (*listed, "bitbucket-one-of-tomorrow"):
        headers = {"RateLimit-Reason": reason, "Retry-After": "1847"}
        body = b'{"errorMessages":["Rate limit exceeded"]}'
        emulator.faults.next("resource", Body(body, 429, headers=headers))
        answer = requests.get(client.identity_url, auth=AtlassianAuth(client))
        assert (answer.status_code, answer.content) == (429, body)
        event = events[-1]
        assert event.name == "rate_limited"
        assert (event.fields["reason"], event.fields["retry_after"]) == (reason, "1847")
    assert emulator.count("refresh_token") == 0
