"""What the package does with what Atlassian really answers: a test for each row of the notes of
2026-11-26 that concerns code. tests/testing/test_emulator_facts.py has the answers themselves.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import httpx
import pytest
import requests

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    AuthorizationError,
    CloudEnvironment,
    ForeignOriginError,
    LoginRequiredError,
    StaticTokenSource,
    TokenEndpointError,
    TokenEndpointUnavailableError,
)
from atlassian_auth_adapter.atlassian.products import PRODUCTS
from atlassian_auth_adapter.clients.places import place_of
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Body, CloseAfter, Edit, Status
from atlassian_auth_adapter.testing.emulator.http import Response

#: Flavour of the emulator, and product: every authorization server, and each product behind it.
EVERYWHERE = [
    ("cloud", "jira"),
    ("cloud", "confluence"),
    ("trello", "trello"),
    ("bitbucket", "bitbucket"),
    ("data_center", "jira"),
    ("data_center", "confluence"),
    ("data_center", "bitbucket"),
]
everywhere = pytest.mark.parametrize(
    ("flavour", "product"), EVERYWHERE, ids=lambda value: value.replace("_", "-")
)
libraries = pytest.mark.parametrize("library", ["requests", "httpx"])


def ask(library: str, client: Any, path: str, method: str = "GET", **options: Any) -> Any:
    """The answer to one request with our auth object; `path` may be a URL."""
    url = path if path.startswith("http") else client.base_url + path
    if library == "requests":
        with requests.Session() as session:
            session.auth = AtlassianAuth(client, **options)
            return session.request(method, url, timeout=10, allow_redirects=False)
    with httpx.Client(auth=AtlassianHTTPXAuth(client, **options), timeout=10) as http:
        return http.request(method, url)


def bearers(emulator: AtlassianEmulator) -> list[tuple[str, str]]:
    """Role of the host and path of each request that carried a bearer."""
    return [
        (each.role, each.target.partition("?")[0])
        for each in emulator.requests
        if each.headers.get("authorization", "").startswith("Bearer ")
    ]


# --- the sign-in ----------------------------------------------------------------------------------

#: Both forms of Cloud, and what would be the like of its answers to a refresh token.
BAD_CODES = [
    (400, {"error": "invalid_request", "error_description": "authorization_code is invalid"}),
    (403, {"error": "invalid_grant", "error_description": "Invalid authorization code"}),
    (403, {"error": "Invalid authorization code"}),
    (403, {"error": "unauthorized_client", "error_description": "authorization_code is invalid"}),
]


@everywhere
def test_row_1_a_bad_code_means_to_sign_in_again(
    flavour: str, product: str, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Row 1: a used or old code is told as such, whatever form the server's answer has; the login
    that there was stays.
    """
    client = make_client(flavour, product=product)
    side = getattr(emulator, flavour)
    is_cloud = flavour in ("cloud", "trello")
    for form in ("invalid_request", "invalid_grant") if is_cloud else ("",):
        if form:
            side.bad_code_error = form
        redirect = side.authorize(client.oauth_start())
        clock.advance(min(side.code_lifetime, 590))
        side.code_lifetime = 1
        with pytest.raises(AuthorizationError, match="used before, is too old") as caught:
            client.oauth_complete(redirect)
        assert "oauth_start()" in caught.value.advice
    assert client.test_connection().id


@pytest.mark.parametrize(("status", "answer"), BAD_CODES)
def test_row_1_each_answer_of_cloud_has_the_same_verdict(
    status: int, answer: dict[str, str], make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 1: by its code or its text, not by its status."""
    client = make_client(login=False)
    redirect = emulator.cloud.authorize(client.oauth_start())
    body = json.dumps(answer).encode()
    emulator.faults.next("token", Body(body, status))
    with pytest.raises(AuthorizationError, match="the authorization code was refused"):
        client.oauth_complete(redirect)


def test_row_11_scopes_of_cloud_are_refused_before_a_person_signs_in(make_client: Any) -> None:
    """Row 11: Data Center refuses them at once, which `check_registration` tells."""
    client = make_client("data_center", login=False, scopes=["read:jira-work"])
    with pytest.raises(AuthorizationError, match="callback_url or scopes"):
        client.check_registration()


@everywhere
def test_row_11_the_token_endpoint_gets_forms(
    flavour: str, product: str, make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 11: Data Center fails on JSON, so no token request of ours is JSON."""
    make_client(flavour, product=product).refresh()
    asked = [each for each in emulator.requests if each.target.endswith("token")]
    assert [each.status for each in asked] == [200, 200]
    types = {each.headers["content-type"].partition(";")[0] for each in asked}
    assert types == {"application/x-www-form-urlencoded"}


# --- the refresh ----------------------------------------------------------------------------------


def test_row_2_a_lost_answer_of_bitbucket_is_asked_for_again(
    make_client: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Row 2: within ten minutes, and never after them; its long tokens are kept whole."""
    client = make_client("bitbucket")
    clock.advance(7200)
    emulator.faults.next("token", CloseAfter())
    assert len(client.get_access_token()) > 2500
    clock.advance(7200)
    emulator.faults.next("token", CloseAfter(), times=None)
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    emulator.faults.clear()
    sent = emulator.count("refresh_token")
    clock.advance(600)
    with pytest.raises(LoginRequiredError):
        client.get_access_token()
    assert emulator.count("refresh_token") <= sent + 1
    assert not emulator.count("refresh_token", "replayed_in_grace", "cloud")


@pytest.mark.parametrize("how", ["globally_revoked", "text", "invalid_grant"])
@pytest.mark.parametrize(("flavour", "product"), EVERYWHERE[:3])
def test_row_21_a_grant_that_was_revoked_needs_a_person(
    how: str, flavour: str, product: str, make_client: Any, emulator: AtlassianEmulator,
    clock: FakeClock,
) -> None:  # fmt: skip
    """Row 21: the text may stand in `error`; nothing is deleted."""
    client = make_client(flavour, product=product)
    side = getattr(emulator, flavour)
    side.dead_refresh_token_error = how
    side.revoke_grants()
    clock.advance(3600)
    with pytest.raises(LoginRequiredError) as caught:
        client.get_access_token()
    assert caught.value.reason == "refused"
    assert client.status().generation == 1


def test_row_18_a_long_pause_of_the_token_endpoint_is_the_callers(
    make_client: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Row 18: nobody sleeps for half an hour; the error says how long, and so do later ones,
    without a request, until the time is over. It is up to a quarter longer than the server has
    told, so that not all come back at one moment.
    """
    client = make_client(max_wait=5)
    clock.advance(3600)
    began = clock.time()
    emulator.faults.next("token", Status(429, retry_after=1847))
    waits = []
    for _ in range(2):
        with pytest.raises(TokenEndpointUnavailableError) as caught:
            client.get_access_token()
        waits.append(caught.value.retry_after or 0)
    assert 1847 <= waits[0] <= 1847 * 1.25
    assert waits[1] == pytest.approx(waits[0], abs=10)
    assert clock.time() - began < 20
    assert emulator.count("refresh_token") == 1
    clock.advance(waits[1])
    assert client.get_access_token()


# --- resources ------------------------------------------------------------------------------------

REASONS = [
    f"{product}-{reason}"
    for product in ("jira", "confluence")
    for reason in ("quota-global-based", "quota-tenant-based", "burst-based")
]


@libraries
@pytest.mark.parametrize("reason", [*REASONS, "jira-per-issue-on-write"])
def test_row_18_too_many_requests_are_the_programs_business(
    reason: str, library: str, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock,
    events: Any,
) -> None:  # fmt: skip
    """Row 18: the answer is handed over with its Retry-After, which is not slept; its reason is
    reported. It costs no refresh, and is not sent again.
    """
    product, _, what = reason.partition("-")
    emulator.cloud.rate_limit, emulator.cloud.rate_limit_reason = 1847, what
    client = make_client(product=product, on_event=events)
    before, at = len(emulator.token_requests), clock.time()
    path = PRODUCTS[product].cloud_identity
    answer = ask(library, client, path, "POST" if "write" in what else "GET")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1847")
    told = [each.fields for each in events if each.name == "rate_limited"]
    assert [(each["reason"], each["retry_after"]) for each in told] == [(reason, "1847")]
    assert (len(emulator.token_requests), clock.time()) == (before, at)
    assert len([each for each in emulator.requests if each.target.endswith(path)]) == 1


@libraries
def test_row_10_a_site_gets_no_bearer(
    library: str, make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 10: a site answers every bearer with 403 or 401, so that requests to it go to the
    gateway; the site of another login gets none.
    """
    site = emulator.cloud.sites[0].url
    for given in (site, ""):
        client = make_client(site_url=given)
        assert ask(library, client, f"{site}/rest/api/3/myself").status_code == 200
    assert {role for role, _ in bearers(emulator)} == {"api"}


@libraries
def test_row_10_a_wrong_api_token_is_not_taken_for_a_right_one(
    library: str, emulator: AtlassianEmulator
) -> None:
    """Row 10: 200 as anonymous is told, and nothing is tried again."""
    site, email = emulator.cloud.sites[0].url, emulator.cloud.email
    heard: list[Any] = []
    source = StaticTokenSource.api_token(email, "wrong", site)
    source.on_event = heard.append
    answer = ask(library, source, f"{site}/rest/api/3/serverInfo")
    assert answer.status_code == 200
    assert "anonymous" in [event.name for event in heard]
    assert len(emulator.requests) == 1


@libraries
def test_row_11_a_rejected_bearer_of_data_center_is_replaced(
    library: str, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Row 11: an anonymous 200 is a rejection."""
    client = make_client("data_center")
    clock.advance(60)
    emulator.data_center.revoke_access_tokens()
    answer = ask(library, client, "/rest/api/2/serverInfo")
    assert answer.headers["X-AUSERNAME"] == "ada"
    assert emulator.count("refresh_token", "issued") == 1


@libraries
def test_row_12_bitbucket_data_center_gets_tokens_at_two_paths(
    library: str, make_client: Any, emulator: AtlassianEmulator, events: Any
) -> None:
    """Row 12: elsewhere it would send the token to its login page, so that it gets none; the hint
    names the path to use. No refresh is spent on it.
    """
    client = make_client("data_center", product="bitbucket", on_event=events)
    emulator.reset_log()
    page = "/projects/ACME/repos/repo-1/raw/x.txt"
    for path in (page, "/plugins/servlet/applinks/whoami", "/restore", "/scmx/y", ""):
        ask(library, client, path)
    assert not bearers(emulator)
    (told,) = {event.fields["hint"] for event in events if event.name == "foreign_origin"}
    assert "repos/SLUG/raw/PATH" in told
    with pytest.raises(ForeignOriginError, match="REST API"):
        ask(library, client, page, foreign="raise")
    for path in ("/rest/api/latest/projects", "//rest/api/latest/projects/SEC", "/scm/acme/x.git"):
        ask(library, client, path)
    assert len(bearers(emulator)) == 3
    assert not emulator.token_requests


def test_row_12_the_other_products_of_data_center_have_no_such_limit() -> None:
    """Row 12: Jira's files are pages, which take its tokens."""
    for product in ("jira", "confluence"):
        place = place_of(product, server_url="https://server.company.com/x")
        assert not place.resource_server.token_paths  # type: ignore[attr-defined]


def test_row_13_jira_11_needs_no_password_of_ours(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 13: without Basic and the session resource everything works, the SDK jira included."""
    emulator.data_center.jira_11 = True
    client = make_client("data_center")
    assert client.test_connection().name
    jira = jira_client(client)
    assert jira.myself()["name"] == "ada"
    jira.close()
    side = emulator.data_center
    pat = StaticTokenSource.personal_access_token(side.personal_access_token, side.url)
    assert ask("requests", pat, f"{side.url}/rest/api/2/myself").status_code == 200
    assert not [each for each in emulator.requests if "/rest/auth/" in each.target]
    schemes = {each.headers.get("authorization", "").partition(" ")[0] for each in
               emulator.requests}  # fmt: skip
    assert "Basic" not in schemes


@libraries
@pytest.mark.parametrize("status", [401, 403, 404])
def test_row_19_an_expired_token_is_replaced_whatever_the_answer(
    status: int, library: str, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Row 19: 401 at any time; 403 and 404 past the expiry only, since before it they are answers
    of their own.
    """
    emulator.cloud.expired_as = status
    client, path = make_client(), "/rest/api/3/myself"
    clock.advance(60)
    emulator.cloud.expire_access_tokens()  # before their time
    assert ask(library, client, path).status_code == (200 if status == 401 else status)
    assert emulator.count("refresh_token") == (status == 401)
    client.refresh()

    def late(real: Response) -> Response:
        clock.advance(3600)
        return replace(real, status=status, body=b"{}")

    emulator.faults.next(path, Edit(late))  # the token has expired on its way
    refreshed = emulator.count("refresh_token")
    assert ask(library, client, path).status_code == 200
    assert emulator.count("refresh_token") == refreshed + 1


# --- git ------------------------------------------------------------------------------------------


@libraries
def test_row_22_git_of_bitbucket_cloud_is_named_in_the_hint(
    library: str, make_client: Any, emulator: AtlassianEmulator, events: Any
) -> None:
    """Row 22: https://bitbucket.org gets no bearer; the hint names the user of git."""
    client = make_client("bitbucket", on_event=events)
    emulator.reset_log()
    ask(library, client, f"{emulator.bitbucket.auth_url}/acme/repo-1/raw/main/x.txt")
    assert not bearers(emulator)
    (event,) = [event for event in events if event.name == "foreign_origin"]
    assert "x-token-auth" in event.fields["hint"]


def test_row_22_git_takes_the_token(make_client: Any, emulator: AtlassianEmulator) -> None:
    """Rows 12 and 22: git asks Bitbucket Data Center at /scm with the token of the login."""
    client = make_client("data_center", product="bitbucket")
    for token, code in ((client.get_access_token(), 0), ("dead", 128)):
        header = f"http.extraHeader=Authorization: Bearer {token}"
        url = f"{client.base_url}/scm/sec/repo-1.git"
        ran = subprocess.run(
            ["git", "-c", header, "-c", "http.proxy=", "ls-remote", url],
            env={"GIT_TERMINAL_PROMPT": "0"}, capture_output=True, timeout=60,
        )  # fmt: skip
        assert ran.returncode == code


def test_row_22_a_consumer_asks_for_itself(emulator: AtlassianEmulator, clock: FakeClock) -> None:
    """Row 22: client credentials bring no refresh token, and the account is the consumer's."""
    side = emulator.bitbucket
    client = AtlassianServiceAccountClient(
        side.app.client_id, side.app.client_secret, product="bitbucket", clock=clock,
        cloud=CloudEnvironment(side.auth_url, side.api_url, ""),
    )  # fmt: skip
    assert not client.token_set().refresh_token
    assert client.test_connection().name == side.app.name


# --- without a capture ----------------------------------------------------------------------------


def test_row_23_a_revocation_that_is_refused_forgets_nothing(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 23: whether Cloud revokes is unconfirmed, so that both answers are handled."""
    client = make_client()
    emulator.cloud.revocation_as = 400
    with pytest.raises(TokenEndpointError):
        client.revoke()
    assert client.test_connection().id
    emulator.cloud.revocation_as = 200
    client.revoke()
    with pytest.raises(LoginRequiredError):
        client.get_access_token()


@libraries
@pytest.mark.parametrize("status", [401, 403])
def test_row_23_me_without_its_scope_ends_no_login(
    status: int, library: str, make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Row 23: whatever /me answers, the program gets it, and the login lives."""
    emulator.cloud.me_refused_as = status
    client = make_client()
    assert ask(library, client, f"{emulator.cloud.api_url}/me").status_code == status
    assert client.test_connection().id
    assert emulator.count("refresh_token") <= 1


@libraries
def test_row_23_an_anonymous_answer_of_the_gateway_is_a_rejection(
    library: str, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock, events: Any
) -> None:
    """Row 23: a 200 with `x-seraph-loginreason` is not what the program asked for."""
    client = make_client(on_event=events)
    clock.advance(60)
    emulator.cloud.anonymous_readable = True
    emulator.cloud.expire_access_tokens()
    answer = ask(library, client, "/rest/api/3/serverInfo")
    assert (answer.status_code, "x-seraph-loginreason" in answer.headers) == (200, False)
    assert "anonymous" in events.names


def test_a_denied_product_is_no_matter_of_the_token(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """Section 1.5: 403 with `statusCode` costs no refresh, and is told with the sites."""
    emulator.cloud.products_denied = ("confluence",)
    client = make_client(product="confluence")
    with pytest.raises(AccessDeniedError, match="HTTP 403"):
        client.test_connection()
    assert emulator.count("refresh_token") == 0
