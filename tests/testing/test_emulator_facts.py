"""What was learnt of Atlassian in November 2026: one test for each fact, and docs/emulator.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from atlassian_auth_adapter.testing.emulator import Body, NotRedirectedError

from .conftest import VERIFIER

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import AtlassianEmulator

    from .conftest import Client, StandingClock

DOCUMENT = Path(__file__).parents[2] / "docs/emulator.md"
COMMAND = "python -m pytest tests/testing/test_emulator_facts.py --write-emulator"
HEAD = """\
# What the emulator imitates

Facts about Atlassian that were learnt on 2026-11-26, each with the test which shows that the
emulator answers so. A knob is an attribute of `emulator.cloud`, `emulator.data_center`,
`emulator.bitbucket` or `emulator.trello`. *Unconfirmed* says what is a guess, since no capture
of it was found. The number is that of the row in the notes from which it comes.

| # | Fact | Source | Knob | Unconfirmed | Test |
|---|---|---|---|---|---|
"""
FOOT = f"\nWritten by `{COMMAND}`.\n"

T = TypeVar("T", bound=Callable[..., None])


@dataclass(frozen=True)
class Fact:
    """A row of the document."""

    row: int
    text: str
    source: str
    knob: str
    unconfirmed: str
    test: str

    def __str__(self) -> str:
        knob = f"`{self.knob}`" if self.knob else ""
        test = f"`tests/testing/{Path(__file__).name}::{self.test}`"
        cells = (str(self.row), self.text, self.source, knob, self.unconfirmed, test)
        return "| " + " | ".join(cells) + " |"


FACTS: list[Fact] = []


def fact(row: int, source: str, knob: str = "", unconfirmed: str = "") -> Callable[[T], T]:
    """The test shows a fact: its docstring says which."""

    def noted(test: T) -> T:
        text = " ".join((inspect.getdoc(test) or "").split())
        FACTS.append(Fact(row, text, source, knob, unconfirmed, test.__name__))
        return test

    return noted


def page(client: Client, **changes: str) -> str:
    """The page on which the authorization request ends."""
    with pytest.raises(NotRedirectedError) as caught:
        client.flavour.authorize(client.url(**changes))
    return caught.value.page


# --- authorization --------------------------------------------------------------------------------

_AFTER_SIGN_IN = "Community 41372, 69937, 100834; a probe of 2026-08-01"


@fact(7, _AFTER_SIGN_IN)
def test_a_request_is_looked_at_after_the_sign_in(cloud: Client) -> None:
    """Cloud sends an anonymous authorization request to its sign-in page, whatever its client id,
    callback URL and scopes.
    """
    for changes in ({}, {"client_id": "unknown"}, {"redirect_uri": "http://else"}, {"scope": "x"}):
        answer = cloud.get(cloud.url(**changes))
        target = urlsplit(answer.headers["Location"])
        assert (answer.status_code, target.path) == (302, "/login")
        assert "/authorize?" in parse_qs(target.query)["continue"][0]


@fact(7, _AFTER_SIGN_IN, unconfirmed="the status of the page")
def test_a_wrong_callback_ends_on_the_error_page(cloud: Client) -> None:
    """A wrong callback URL ends on the error page of id.atlassian.com: `unauthorized_client`,
    "Callback URL mismatch".
    """
    shown = page(cloud, redirect_uri="http://localhost:8081/callback")
    assert "unauthorized_client" in shown
    assert "Callback URL mismatch" in shown


@fact(7, _AFTER_SIGN_IN, "app_is_shared", "the status of the page")
def test_an_unknown_client_ends_on_the_error_page(cloud: Client) -> None:
    """An unknown client, and an app that is not shared and is used by another person, end on the
    error page: `invalid_request`, "failed to retrieve client".
    """
    assert "failed to retrieve client" in page(cloud, client_id="unknown")
    cloud.flavour.app_is_shared = False
    assert "failed to retrieve client" in page(cloud)


_SCOPES = "OpenHands#12397, atlassian-mcp-server#177, n8n#22479, #35732, sim#4388, Community 56311"


@fact(6, _SCOPES, "app.scopes", "the status of the page")
def test_a_scope_that_the_app_lacks_never_leads_back(cloud: Client) -> None:
    """A scope that was not added to the app ends on a page that says so, not at the callback."""
    cloud.flavour.app.scopes = ("read:jira-work",)
    shown = page(cloud, scope="read:jira-work read:jira-user")
    assert "has requested scopes that have not been added to the app" in shown


@fact(6, _SCOPES)
def test_scopes_that_do_not_exist_are_dropped(cloud: Client) -> None:
    """Names of scopes that do not exist are dropped silently: the login has fewer scopes."""
    code = cloud.code(scope="read:jira-user read:no-such-thing")
    assert cloud.exchange(code).json()["scope"] == "read:jira-user"


@fact(6, _SCOPES, unconfirmed="text and status of the page")
def test_no_supported_scope_is_another_page(cloud: Client) -> None:
    """Without any scope that exists the request ends on another page."""
    shown = page(cloud, scope="read:no-such-thing offline_access")
    assert "None of the requested scopes is supported" in shown


@fact(6, _SCOPES, unconfirmed="the exact number")
def test_too_many_scopes_are_414(cloud: Client) -> None:
    """More than 50 scopes are answered with 414, before the sign-in."""
    many = " ".join(f"read:thing-{number}:jira" for number in range(51))
    assert cloud.get(cloud.url(scope=many)).status_code == 414
    assert cloud.get(cloud.url(scope=many.rpartition(" ")[0])).status_code == 302


@fact(11, "OpenHands#14250, 2026-05-01")
def test_data_center_refuses_scopes_of_cloud(server: Client) -> None:
    """Data Center answers scopes of Cloud with `invalid_scope`, and shows no consent page."""
    answer = server.get(server.url(scope="read:jira-work offline_access"))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


# --- token endpoint -------------------------------------------------------------------------------


@fact(1, "Community 66643; sooperset/mcp-atlassian#1137, 2026-03-05", "code_lifetime")
def test_a_bad_code_is_an_invalid_request(cloud: Client, clock: StandingClock) -> None:
    """Cloud answers a bad, expired or reused code with 400 `invalid_request`,
    "authorization_code is invalid".
    """
    expected = {"error": "invalid_request", "error_description": "authorization_code is invalid"}
    used, old = cloud.code(), cloud.code()
    assert cloud.exchange(used).status_code == 200
    clock.now += cloud.flavour.code_lifetime
    for code in (used, old, "nonsense"):
        answer = cloud.exchange(code)
        assert (answer.status_code, answer.json()) == (400, expected)


@fact(21, "reports from live traffic, 2026-06-12", "dead_refresh_token_error")
def test_a_dead_grant_has_several_answers(cloud: Client) -> None:
    """A dead grant is also 403 `invalid_grant` "Token was globally revoked"; the text may stand in
    `error`.
    """
    text = "Token was globally revoked"
    for how, expected in (
        ("globally_revoked", {"error": "invalid_grant", "error_description": text}),
        ("text", {"error": text}),
    ):
        cloud.flavour.dead_refresh_token_error = how
        answer = cloud.refresh("dead")
        assert (answer.status_code, answer.json()) == (403, expected)


@fact(11, "OpenHands#14250, 2026-05-01", unconfirmed="the shape of the body")
def test_data_center_fails_on_json(server: Client) -> None:
    """A JSON body at Data Center's token endpoint gives 500 with a text on @FormParam."""
    fields = {**server.credentials, "grant_type": "refresh_token", "refresh_token": "x"}
    answer = server.http.post(server.token_url, json=fields, timeout=10)
    assert answer.status_code == 500
    assert "@FormParam" in answer.json()["message"]


_BITBUCKET = "git-credential-manager#2428, #2429, #2433, 2026-08 and 2026-09"


@fact(2, _BITBUCKET, "rotation_grace", "one source only")
def test_bitbucket_has_ten_minutes_of_grace(consumer: Client, clock: StandingClock) -> None:
    """A refresh token of Bitbucket Cloud that was used stays good about ten minutes."""
    token = consumer.refresh_token()
    assert consumer.refresh(token).status_code == 200
    clock.now += 599
    assert consumer.refresh(token).status_code == 200
    clock.now += 1
    assert consumer.refresh(token).status_code == 403


@fact(2, _BITBUCKET, "token_bytes")
def test_tokens_of_bitbucket_are_long(consumer: Client) -> None:
    """Tokens of Bitbucket Cloud are longer than 2,500 characters."""
    issued = consumer.flavour.issue()
    assert min(len(issued["access_token"]), len(issued["refresh_token"])) > 2500


_TRELLO = "developer.atlassian.com/cloud/trello, oauth-2-getting-started, 2026-09-14"


@fact(15, _TRELLO, "app.client_secret", "the error answers; the audience; grace and lifetimes")
def test_trello_has_public_clients_with_pkce(emulator: AtlassianEmulator, cloud: Client) -> None:
    """Trello's apps are public or confidential, PKCE is required and refresh tokens rotate."""
    side = emulator.trello
    side.app.client_secret = ""
    fields = {"client_id": side.app.client_id, "redirect_uri": side.app.callback_url}
    cloud.root = side.auth_url
    asked = {**fields, "scope": "read:member:trello offline_access"}
    with pytest.raises(NotRedirectedError):
        side.authorize(cloud.url(**asked))
    challenge = "B3qjHT0rZf2nHQ_GkHQWJ8dTzVyIfvUdAk0tXT9v0SE"
    redirect = side.authorize(
        cloud.url(**asked, code_challenge=challenge, code_challenge_method="S256")
    )
    code = parse_qs(urlsplit(redirect).query)["code"][0]

    def token(**more: str) -> Any:
        url = f"{side.auth_url}/oauth/token"
        return cloud.http.post(url, data={**fields, **more}, timeout=10)

    refused = token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)
    assert refused.status_code == 403
    issued = side.issue()
    answer = token(grant_type="refresh_token", refresh_token=issued["refresh_token"])
    assert answer.json()["refresh_token"] != issued["refresh_token"]
    wrong = token(grant_type="refresh_token", refresh_token="x", client_secret="x")
    assert wrong.status_code == 401


@fact(15, _TRELLO, unconfirmed="the error answer")
def test_trello_has_no_client_credentials(emulator: AtlassianEmulator, cloud: Client) -> None:
    """Trello has no service accounts: a person signs in."""
    account = emulator.trello.service_account
    fields = {"client_id": account.client_id, "client_secret": account.client_secret}
    fields["grant_type"] = "client_credentials"
    answer = cloud.http.post(f"{emulator.trello.auth_url}/oauth/token", data=fields, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (403, "unauthorized_client")


# --- resources ------------------------------------------------------------------------------------

_SITE = "brekkylab/backlot#135, 2026-09-04"
MYSELF = "/rest/api/3/myself"


@fact(10, _SITE)
def test_a_site_refuses_bearers(cloud: Client) -> None:
    """A site's Jira answers an opaque bearer with 403 "Failed to parse Connect Session Auth Token",
    and one that looks like a JWT with 401 and a page.
    """
    url = cloud.flavour.sites[0].url
    for path in (MYSELF, "/rest/api/3/serverInfo"):
        opaque = cloud.get(url + path, cloud.access_token())
        assert opaque.status_code == 403
        assert opaque.json() == {"error": "Failed to parse Connect Session Auth Token"}
        jwt = cloud.get(url + path, "a.b.c")
        assert (jwt.status_code, jwt.headers["Content-Type"][:9]) == (401, "text/html")
        assert jwt.text == "Client must be authenticated to access this resource."


@fact(10, _SITE, unconfirmed="the text")
def test_a_site_refuses_bearers_for_confluence(cloud: Client) -> None:
    """A site's Confluence answers a bearer with 403, `statusCode` and `errorMessages`."""
    url = f"{cloud.flavour.sites[0].url}/wiki/rest/api/user/current"
    answer = cloud.get(url, cloud.access_token())
    assert (answer.status_code, set(answer.json())) == (403, {"statusCode", "errorMessages"})


@fact(10, _SITE)
def test_a_site_reads_misspelt_bearers_as_no_credential(cloud: Client) -> None:
    """`bearer`, `token`, two blanks and a tab are read as no credential."""
    url, token = cloud.flavour.sites[0].url, cloud.access_token()
    for value in (f"bearer {token}", f"token {token}", f"Bearer  {token}", f"Bearer\t{token}"):
        headers = {"Authorization": value}
        assert cloud.get(f"{url}/rest/api/3/serverInfo", headers=headers).status_code == 200
        assert cloud.get(url + MYSELF, headers=headers).status_code == 401


@fact(10, _SITE, "api_token")
def test_a_site_answers_wrong_basic_credentials_as_anonymous(cloud: Client) -> None:
    """A wrong Basic pair gets 200 on open routes, with `x-seraph-loginreason:
    AUTHENTICATED_FAILED`.
    """
    url = f"{cloud.flavour.sites[0].url}/rest/api/3/serverInfo"
    answer = cloud.get(url, auth=(cloud.flavour.email, "wrong"))
    assert answer.status_code == 200
    assert answer.headers["x-seraph-loginreason"] == "AUTHENTICATED_FAILED"
    right = cloud.get(url, auth=(cloud.flavour.email, cloud.flavour.api_token))
    assert (right.status_code, "x-seraph-loginreason" in right.headers) == (200, False)


@fact(11, "OpenHands#14250, 2026-05-01", "anonymous_access")
def test_data_center_reads_a_rejected_bearer_as_anonymous(server: Client) -> None:
    """Data Center reads a rejected bearer as no credential."""
    answer = server.get("/rest/api/2/serverInfo", "dead")
    assert (answer.status_code, answer.headers["X-AUSERNAME"]) == (200, "anonymous")


@fact(13, "jira.js guide", "jira_11", "the answers of both refusals")
def test_jira_11_takes_no_passwords(server: Client) -> None:
    """Jira 11 has Basic off by default and refuses /rest/auth/1/session."""
    basic = ("ada", server.flavour.password)
    session = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    for is_new, expected in ((False, 200), (True, 403)):
        server.flavour.jira_11 = is_new
        assert server.get("/rest/api/2/myself", auth=basic).status_code == expected
        answer = server.get("/rest/auth/1/session", headers=session)
        assert answer.status_code == expected
    assert server.whoami(server.access_token()).status_code == 200


@fact(18, "developer.atlassian.com rate limiting, 2026-10-20, 2026-02-02", "rate_limit_reason")
def test_throttling_has_reasons_by_product(cloud: Client) -> None:
    """429 names its reason in `RateLimit-Reason`, with the product before it; its body has
    `errorMessages`. Retry-After may be half an hour.
    """
    cloud.flavour.rate_limit = 1847
    token, jira = cloud.access_token(), cloud.product_url
    for reason in ("quota-global-based", "quota-tenant-based", "burst-based"):
        cloud.flavour.rate_limit_reason = reason
        for product, path in (("jira", MYSELF), ("confluence", "/wiki/rest/api/user/current")):
            answer = cloud.get(jira.replace("/ex/jira/", f"/ex/{product}/") + path, token)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1847")
            assert answer.headers["RateLimit-Reason"] == f"{product}-{reason}"
            assert answer.json() == {"errorMessages": ["Rate limit exceeded"]}


@fact(19, "n8n#37776 was tried against a mock only", "expired_as", "403 and 404")
def test_an_expired_token_is_401(cloud: Client, clock: StandingClock) -> None:
    """The gateway answers an expired token with 401, unless it is told otherwise."""
    token = cloud.access_token()
    clock.now += 3600
    assert cloud.whoami(token).status_code == 401


@fact(3, "developer.atlassian.com, OpenAPI of Jira; simstudioai/sim#5005, 2026-06-12")
def test_granular_scopes_are_all_of_sets(cloud: Client) -> None:
    """Part of a set of granular scopes gives 401 "Unauthorized; scope does not match"."""
    path = "/rest/api/3/auditing/record"
    for part in ("read:audit-log:jira", "read:audit-log:jira read:jira-user offline_access"):
        answer = cloud.get(path, cloud.access_token(part))
        assert answer.status_code == 401
        assert answer.json() == {"code": 401, "message": "Unauthorized; scope does not match"}
    for whole in ("manage:jira-configuration", "read:audit-log:jira read:user:jira"):
        assert cloud.get(path, cloud.access_token(whole)).status_code == 200


@fact(4, "demisto/content, AtlassianApiModule, newer than the document of the older integration")
def test_the_older_integration_asks_for_more_today(cloud: Client, server: Client) -> None:
    """The scopes that the older integration asks for today open Jira's audit log: on Cloud
    `manage:jira-configuration` is among them, on Data Center it is `ADMIN`.
    """
    today = "read:audit-log:jira manage:jira-configuration read:jira-work read:jira-user"
    token = cloud.access_token(f"{today} offline_access")
    assert cloud.get("/rest/api/3/auditing/record", token).status_code == 200
    path = "/rest/api/2/auditing/record"
    assert server.get(path, server.access_token("ADMIN")).status_code == 200
    assert server.get(path, server.access_token("WRITE")).status_code == 403


@fact(5, "developer.atlassian.com, OpenAPI of Jira and Confluence")
def test_each_resource_needs_its_scope(cloud: Client) -> None:
    """ServerInfo needs no scope; myself `read:jira-user`; field, search/jql and issues
    `read:jira-work`; Confluence's user/current `read:confluence-user`, its audit log
    `read:audit-log:confluence`.
    """
    jira, wiki = cloud.product_url, cloud.product_url.replace("/ex/jira/", "/ex/confluence/")
    needs = {
        f"{jira}/rest/api/3/serverInfo": "",
        f"{jira}/rest/api/3/myself": "read:jira-user",
        f"{jira}/rest/api/3/field": "read:jira-work",
        f"{jira}/rest/api/3/search/jql": "read:jira-work",
        f"{jira}/rest/api/3/issue/ACME-1": "read:jira-work",
        f"{wiki}/wiki/rest/api/user/current": "read:confluence-user",
        f"{wiki}/wiki/rest/api/audit": "read:audit-log:confluence",
    }
    for scope in sorted({*needs.values()} - {""}):
        token = cloud.access_token(f"{scope} offline_access")
        for url, needed in needs.items():
            assert (cloud.get(url, token).status_code == 200) == (needed in ("", scope)), url


@fact(17, "developer.atlassian.com, data-security-policy-developer-guide")
def test_a_policy_leaves_content_out(emulator: AtlassianEmulator, cloud: Client) -> None:
    """`Atlassian-DataSecurityPolicy: app_access_blocked` says that an administrator's policy has
    left content out of an answer: a fault with that header plays it.
    """
    policy = {"Atlassian-DataSecurityPolicy": "app_access_blocked"}
    emulator.faults.next("resource", Body(b'{"issues": []}', 200, headers=policy))
    answer = cloud.get("/rest/api/3/search/jql", cloud.access_token("read:jira-work"))
    assert answer.headers["Atlassian-DataSecurityPolicy"] == "app_access_blocked"


# --- without a capture ----------------------------------------------------------------------------


@fact(23, "none", "revocation_as", "that /oauth/revoke answers 200 for 3LO")
def test_revocation_on_cloud_is_a_guess(cloud: Client) -> None:
    """Cloud's revocation endpoint answers 200 and ends the login."""
    issued = cloud.flavour.issue()
    data = {**cloud.credentials, "token": issued["refresh_token"]}
    cloud.flavour.revocation_as = 400
    assert cloud.http.post(cloud.revoke_url, data=data, timeout=10).status_code == 400
    assert cloud.whoami(issued["access_token"]).status_code == 200
    cloud.flavour.revocation_as = 200
    assert cloud.http.post(cloud.revoke_url, data=data, timeout=10).status_code == 200
    assert cloud.whoami(issued["access_token"]).status_code == 401


@fact(23, "none", "me_refused_as", "the status")
def test_me_without_its_scope_is_a_guess(cloud: Client) -> None:
    """/me answers 403 without the scope read:me."""
    url, token = f"{cloud.flavour.api_url}/me", cloud.access_token("read:jira-work")
    assert cloud.get(url, token).status_code == 403
    cloud.flavour.me_refused_as = 401
    assert cloud.get(url, token).status_code == 401


@fact(23, "none", "refusals", "status, code and text")
def test_a_wrong_redirect_uri_at_the_token_endpoint_is_a_guess(cloud: Client) -> None:
    """Cloud's token endpoint refuses a code with another redirect URI: 403 `invalid_grant`."""
    answer = cloud.exchange(cloud.code(), redirect_uri="http://localhost/else")
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")


@fact(23, "none", "anonymous_readable", "the header at the gateway")
def test_the_seraph_header_at_the_gateway_is_a_guess(cloud: Client, clock: StandingClock) -> None:
    """The gateway may answer an expired bearer as an anonymous one, with `x-seraph-loginreason`."""
    cloud.flavour.anonymous_readable = True
    token = cloud.access_token()
    clock.now += 3600
    answer = cloud.get("/rest/api/3/serverInfo", token)
    assert answer.headers["x-seraph-loginreason"] == "AUTHENTICATED_FAILED"


# --- the document ---------------------------------------------------------------------------------


def test_the_document_is_up_to_date(request: pytest.FixtureRequest) -> None:
    """docs/emulator.md has a row for each fact, and nothing that was written by hand."""
    facts = sorted(FACTS, key=lambda each: each.row)
    text = HEAD + "".join(f"{each}\n" for each in facts) + FOOT
    if request.config.getoption("write_emulator", False):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, f"it is stale: {COMMAND}"
    for each in facts:
        flavours = ("cloud", "data_center", "bitbucket", "trello")
        names = [getattr(request.getfixturevalue("emulator"), name) for name in flavours]
        knob = each.knob.partition(".")[0]
        assert not knob or any(hasattr(flavour, knob) for flavour in names), each
