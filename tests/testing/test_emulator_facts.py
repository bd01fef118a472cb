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

from .captured import CAPTURED, docstring
from .conftest import VERIFIER

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import Emulator

    from .conftest import Client, StandingClock

DOCUMENT = Path(__file__).parents[2] / "docs/emulator.md"
COMMAND = "python -m pytest tests/testing/test_emulator_facts.py --write-emulator"
HEAD = """\
# What the emulator imitates

Facts about Atlassian, each with the test which shows that the emulator answers so. First those that
were learnt on 2026-11-26, with the number of their row in our notes; then older ones, with that of
their section (§). A knob is an attribute of `emulator.cloud`, `emulator.data_center`,
`emulator.bitbucket` or `emulator.trello`; one that does not exist raises an AttributeError.
*Unconfirmed* says what is a guess, since no capture of it was found.

| # | Fact | Source | Knob | Unconfirmed | Test |
|---|---|---|---|---|---|
"""
FOOT = f"\nWritten by `{COMMAND}`.\n"

T = TypeVar("T", bound=Callable[..., None])


@dataclass(frozen=True)
class Fact:
    """A row of the document."""

    row: str
    text: str
    source: str
    knobs: str  # separated by blanks
    unconfirmed: str
    test: str

    def __str__(self) -> str:
        knobs = ", ".join(f"`{knob}`" for knob in self.knobs.split())
        test = f"`tests/testing/test_emulator_{self.test.replace('::', '.py::')}`"
        cells = (self.row, self.text, self.source, knobs, self.unconfirmed, test)
        return "| " + " | ".join(cells) + " |"


FACTS: list[Fact] = []


def fact(row: int, source: str, knobs: str = "", unconfirmed: str = "") -> Callable[[T], T]:
    """The test shows a fact: its docstring says which."""

    def noted(test: T) -> T:
        text = " ".join((inspect.getdoc(test) or "").split())
        FACTS.append(Fact(str(row), text, source, knobs, unconfirmed, f"facts::{test.__name__}"))
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


@fact(
    1,
    "Community 66643; sooperset/mcp-atlassian#1137, 2026-03-05",
    "code_lifetime bad_code_error",
    "the error code of 2020; how long exactly a code lives, here ten minutes",
)
def test_a_bad_code_is_an_invalid_request(cloud: Client, clock: StandingClock) -> None:
    """Cloud answers a bad, reused or expired code (after ten minutes at most) with 400
    `invalid_request`, "authorization_code is invalid"; in 2020 with 403 "Invalid authorization
    code".
    """
    used, old = cloud.code(), cloud.code()
    assert cloud.exchange(used).status_code == 200
    assert cloud.flavour.code_lifetime <= 600
    clock.now += cloud.flavour.code_lifetime
    for error, status, text in (
        ("invalid_request", 400, "authorization_code is invalid"),
        ("invalid_grant", 403, "Invalid authorization code"),
    ):
        cloud.flavour.bad_code_error = error
        for code in (used, old, "nonsense"):
            answer = cloud.exchange(code)
            expected = {"error": error, "error_description": text}
            assert (answer.status_code, answer.json()) == (status, expected)


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
def test_trello_has_public_clients_with_pkce(emulator: Emulator, cloud: Client) -> None:
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
def test_trello_has_no_client_credentials(emulator: Emulator, cloud: Client) -> None:
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


@fact(12, "support.atlassian.com, KB on access tokens of Bitbucket Data Center after an upgrade")
def test_bitbucket_data_center_takes_tokens_at_two_paths(server: Client) -> None:
    """Bitbucket Data Center (8.9.22, 8.19.12, 9.3.2 and later) takes tokens at /rest and /scm only,
    and sends others to its login page; as a password they get 401.
    """
    pat = server.flavour.personal_access_token
    for token in (server.access_token("REPO_READ"), pat, "dead"):
        for path in ("/projects/ACME/repos/repo-1/raw/x", "/plugins/servlet/applinks/whoami"):
            answer = server.get(path, token)
            assert (answer.status_code, answer.headers["X-AUSERNAME"]) == (302, "anonymous")
            assert "/login.jsp" in answer.headers["Location"]
            assert server.get(path, auth=("ada", token)).status_code == 401
    for token, status in ((pat, 200), ("", 401)):
        assert server.get("/rest/api/latest/projects/SEC/repos", token).status_code == status
        git = "/scm/sec/repo-1.git/info/refs?service=git-upload-pack"
        assert server.get(git, token).status_code == status


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


_LIMITS = "developer.atlassian.com rate limiting, 2026-10-20, 2026-02-02"


@fact(18, _LIMITS, "rate_limit_reason")
def test_writing_has_a_limit_of_its_own(cloud: Client) -> None:
    """`jira-per-issue-on-write` is the reason for writing requests to Jira, and for no others."""
    cloud.flavour.rate_limit, cloud.flavour.rate_limit_reason = 5, "per-issue-on-write"
    token, pages = cloud.access_token(), "/wiki/api/v2/pages"
    confluence = cloud.product_url.replace("/ex/jira/", "/ex/confluence/")
    answer = cloud.request("POST", "/rest/api/3/issue", token, json={})
    assert answer.status_code == 429
    assert answer.headers["RateLimit-Reason"] == "jira-per-issue-on-write"
    assert cloud.get(MYSELF, token).status_code == 200
    assert cloud.request("POST", confluence + pages, token, json={}).status_code == 400


@fact(18, _LIMITS, "rate_limit rate_limit_reason")
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
def test_a_policy_leaves_content_out(emulator: Emulator, cloud: Client) -> None:
    """`Atlassian-DataSecurityPolicy: app_access_blocked` says that an administrator's policy has
    left content out of an answer: a fault with that header plays it.
    """
    policy = {"Atlassian-DataSecurityPolicy": "app_access_blocked"}
    emulator.faults.next("resource", Body(b'{"issues": []}', 200, headers=policy))
    answer = cloud.get("/rest/api/3/search/jql", cloud.access_token("read:jira-work"))
    assert answer.headers["Atlassian-DataSecurityPolicy"] == "app_access_blocked"


_OPS = "developer.atlassian.com/cloud/jira/service-desk-ops, oauth-2-3lo-apps"
_FORMS = "developer.atlassian.com/cloud/forms; simstudioai/sim#4099, 2026-04-10"
WORKSPACES = "/rest/servicedeskapi/assets/workspace"


def schemas_of(cloud: Client) -> str:
    """The path of the schemas of Assets, from the workspace on."""
    found = cloud.get(cloud.product_url + WORKSPACES, cloud.access_token()).json()
    return f"/workspace/{found['values'][0]['workspaceId']}/v1/objectschema/list"


@fact(8, _OPS)
def test_ops_takes_oauth_tokens_at_two_places(cloud: Client) -> None:
    """Ops takes an OAuth token at /jsm/ops/api/{cloudId}, and below /ex/jira/{cloudId}; with
    another cloud id it is 404.
    """
    api, site = cloud.flavour.api_url, cloud.flavour.sites[0].id
    token = cloud.access_token("read:ops-alert:jira-service-management")
    for url in (f"{api}/jsm/ops/api/{site}", f"{api}/ex/jira/{site}/jsm/ops/api"):
        assert cloud.get(f"{url}/v1/alerts", token).json()["count"] == 1
        refused = cloud.get(f"{url}/v1/alerts", cloud.access_token("read:jira-work"))
        assert refused.json()["message"] == "Unauthorized; scope does not match"
    assert cloud.get(f"{api}/jsm/ops/api/{site[:-1]}x/v1/alerts", token).status_code == 404


@fact(8, _FORMS, unconfirmed="the answer to a bearer; the scopes of Forms")
def test_forms_takes_oauth_tokens_below_ex(cloud: Client) -> None:
    """Forms takes an OAuth token at /ex/jira/{cloudId}/forms; /jira/forms/cloud/{cloudId} refuses
    it.
    """
    api, site, path = cloud.flavour.api_url, cloud.flavour.sites[0].id, "issue/DEMO-1/form"
    token = cloud.access_token()
    assert cloud.get(f"{api}/ex/jira/{site}/forms/{path}", token).json()[0]["name"] == "Request"
    assert cloud.get(f"{api}/jira/forms/cloud/{site}/{path}", token).status_code == 401


@fact(8, "simstudioai/sim#5072, 2026-06-15; jira.js guide", unconfirmed="the answer to a bearer")
def test_assets_takes_oauth_tokens_below_ex(cloud: Client) -> None:
    """Assets takes an OAuth token at /ex/jira/{cloudId}/jsm/assets; /jsm/assets refuses it."""
    api, site, path = cloud.flavour.api_url, cloud.flavour.sites[0].id, schemas_of(cloud)
    token = cloud.access_token("read:cmdb-schema:jira")
    assert cloud.get(f"{api}/ex/jira/{site}/jsm/assets{path}", token).json()["total"] == 1
    assert cloud.get(f"{api}/jsm/assets{path}", token).status_code == 401


@fact(8, "sooperset/mcp-atlassian#1165", unconfirmed="which scopes are needed")
def test_graphql_takes_oauth_tokens(cloud: Client) -> None:
    """/graphql of the gateway takes OAuth tokens, and no API tokens without scopes."""
    url, query = f"{cloud.flavour.api_url}/graphql", {"query": "{ me { user { accountId } } }"}
    answer = cloud.request("POST", url, cloud.access_token(), json=query)
    assert answer.json()["data"]["me"]["user"]["accountId"]
    basic = (cloud.flavour.email, cloud.flavour.api_token)
    assert cloud.request("POST", url, auth=basic, json=query).status_code == 401


@fact(9, f"{_FORMS}; Assets pages", "api_token", "the answer elsewhere on the gateway")
def test_api_tokens_are_taken_beside_the_site(cloud: Client) -> None:
    """API tokens without scopes are taken at /jsm/assets and /jira/forms/cloud of the gateway and
    at /gateway/api/graphql of the site, and not below /ex.
    """
    api, site = cloud.flavour.api_url, cloud.flavour.sites[0]
    basic = (cloud.flavour.email, cloud.flavour.api_token)
    forms = f"{api}/jira/forms/cloud/{site.id}/issue/DEMO-1/form"
    for url in (f"{api}/jsm/assets{schemas_of(cloud)}", forms):
        assert cloud.get(url, auth=basic).status_code == 200
        assert cloud.get(url, auth=(cloud.flavour.email, "wrong")).status_code == 401
    graphql = cloud.request("POST", f"{site.url}/gateway/api/graphql", auth=basic)
    assert graphql.json()["data"]["me"]["user"]["accountId"]
    assert cloud.get(cloud.product_url + MYSELF, auth=basic).status_code == 401


@fact(9, "developer.atlassian.com/cloud/admin/user-management/rest/intro", "organization_key")
def test_an_organization_key_serves_its_administration(cloud: Client) -> None:
    """The key of an organization serves /admin and /users/{id}/manage, and no OAuth token does."""
    for path in ("/admin/v1/orgs", "/users/557058:1/manage/profile"):
        url = cloud.flavour.api_url + path
        assert cloud.get(url, cloud.flavour.organization_key).status_code == 200
        assert cloud.get(url, cloud.access_token()).status_code == 401
    refused = cloud.get(cloud.product_url + MYSELF, cloud.flavour.organization_key)
    assert refused.status_code == 401


_GOVERNMENT = "developer.atlassian.com/platform/framework/agc/guides/manage-3lo-apps, 2025-05-29"


@fact(16, _GOVERNMENT, "audience", "that the authorization server lists the sites")
def test_government_cloud_has_its_own_audience(cloud: Client) -> None:
    """Government Cloud has an audience and hosts of its own; its authorization server lists the
    sites of a grant.
    """
    cloud.flavour.audience = "api.atlassian-us-gov-mod.com"
    assert "audience" in page(cloud)
    assert cloud.code(audience="api.atlassian-us-gov-mod.com")
    url = f"{cloud.flavour.auth_url}/oauth/token/accessible-resources"
    assert cloud.get(url, cloud.access_token()).json()[0]["id"] == cloud.flavour.sites[0].id


@fact(20, "jira.atlassian.com/browse/AX-649, AX-664", "custom_domains", "the text")
def test_custom_domains_take_no_tokens(cloud: Client) -> None:
    """Custom domains take no OAuth token and no API token; they tell the cloud id, and the gateway
    serves the site as before.
    """
    cloud.flavour.custom_domains = True
    url, token = cloud.flavour.sites[0].url, cloud.access_token()
    basic = (cloud.flavour.email, cloud.flavour.api_token)
    assert cloud.get(url + MYSELF, token).status_code == 401
    assert cloud.get(url + MYSELF, auth=basic).status_code == 401
    assert cloud.get(f"{url}/_edge/tenant_info").json() == {"cloudId": cloud.flavour.sites[0].id}
    assert cloud.whoami(token).status_code == 200


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


#: Attributes of the flavours that say what there is, not what it does.
NO_KNOBS = frozenset(
    {
        *("api_url", "auth_url", "media_url", "url", "context_path", "sites"),
        *("rows", "routes", "auth_routes", "grants", "now", "browser_ssl_context"),
        *("name", "product", "words", "email", "password", "session_cookie"),
        "personal_access_token",
    }
)


def test_the_document_is_up_to_date(request: pytest.FixtureRequest, emulator: Emulator) -> None:
    """docs/emulator.md has a row for each fact and names every knob, and nothing that was written
    by hand.
    """
    facts = sorted(FACTS, key=lambda each: int(each.row))
    for section, test, *cells in CAPTURED:
        facts.append(Fact(f"§{section}", docstring(test), *cells, test))
    text = HEAD + "".join(f"{each}\n" for each in facts) + FOOT
    if request.config.getoption("write_emulator", False):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, f"it is stale: {COMMAND}"
    knobs = {knob.partition(".")[0] for each in facts for knob in each.knobs.split()}
    names = {name for each in emulator.flavours for name in vars(each) if name[0] != "_"}
    assert knobs - {"refusals"} == names - NO_KNOBS


def test_a_knob_that_does_not_exist_is_an_error(emulator: Emulator) -> None:
    """A misspelt setting raises, with the name that was meant, and so does a field of the app."""
    for flavour in emulator.flavours:
        with pytest.raises(AttributeError, match="did you mean 'rotation_grace'"):
            flavour.rotation_grase = 1
        with pytest.raises(AttributeError):
            flavour.app.scope = ("READ",)
        flavour.refusals = {**flavour.refusals}  # an attribute of the class
