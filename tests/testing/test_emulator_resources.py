"""Resource servers: which credential opens what, and what the answers look like."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import Emulator

    from .conftest import Client, StandingClock

MISMATCH = {"code": 401, "message": "Unauthorized; scope does not match"}


@pytest.fixture
def token(client: Client) -> str:
    """A valid access token with every scope."""
    return client.access_token()


# -- Cloud: credentials ----------------------------------------------------------------------------


def test_gateway_refuses_without_a_valid_token(cloud: Client) -> None:
    """No token and an unknown token: 401 with the gateway's JSON."""
    for token in ("", "nonsense"):
        response = cloud.whoami(token)
        assert (response.status_code, response.json()["message"]) == (401, "Unauthorized")


def test_gateway_reads_the_scheme_in_any_case(cloud: Client) -> None:
    """Cloud compares `Bearer` without case."""
    token = cloud.access_token()
    response = cloud.get("/rest/api/3/myself", headers={"Authorization": f"bearer {token}"})
    assert response.status_code == 200


def test_the_answer_to_an_expired_token_can_be_chosen(cloud: Client, clock: StandingClock) -> None:
    """`expired_as`: the gateway answers 401, 403 or 404."""
    for status in (401, 403, 404):
        cloud.flavour.expired_as = status
        token = cloud.access_token()
        clock.now += 3600
        assert cloud.whoami(token).status_code == status


def test_anonymous_answer_to_an_expired_token(cloud: Client, clock: StandingClock) -> None:
    """`anonymous_readable`: 200 with public data and a header that says so."""
    cloud.flavour.anonymous_readable = True
    token = cloud.access_token()
    clock.now += 3600
    response = cloud.get("/rest/api/3/search/jql?maxResults=1", token)
    assert response.status_code == 200
    assert response.headers["x-seraph-loginreason"] == "AUTHENTICATED_FAILED"
    assert cloud.whoami(token).status_code == 401


def test_scopes_open_paths(cloud: Client) -> None:
    """A missing scope is 401 `scope does not match`, whatever the token's age."""
    for scope, method, path, fits in (
        ("read:jira-user", "GET", "/rest/api/3/myself", True),
        ("read:jira-work", "GET", "/rest/api/3/myself", False),
        ("read:jira-work", "POST", "/rest/api/3/issue", False),
        ("manage:jira-configuration", "GET", "/rest/api/3/auditing/record", True),
        ("read:audit-log:jira read:jira-user", "GET", "/rest/api/3/auditing/record", False),
        ("read:jira-work", "POST", "/rest/api/3/search/jql", True),
        ("offline_access", "POST", "/rest/echo", True),
    ):
        response = cloud.request(method, path, cloud.access_token(scope), json={})
        assert (response.status_code == 401) is not fits, (scope, path)
        assert fits or response.json() == MISMATCH


def test_rate_limit_has_the_documented_headers(cloud: Client) -> None:
    """`rate_limit`: 429 with Retry-After, the X-RateLimit headers and the reason."""
    cloud.flavour.rate_limit = 7
    response = cloud.whoami(cloud.access_token())
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    wanted = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    assert (wanted | {"X-RateLimit-NearLimit", "RateLimit-Reason"}) <= set(response.headers)


def test_accessible_resources(cloud: Client) -> None:
    """An entry for each product of a site; the auth host answers the same, as Government Cloud's.

    `entries_without` leaves fields out, as some real answers do.
    """
    token, path = cloud.access_token(), "/oauth/token/accessible-resources"
    here, there = (
        cloud.get(url + path, token).json() for url in (cloud.root, cloud.flavour.api_url)
    )
    assert here == there
    assert [set(entry) for entry in here] == [{"id", "url", "name", "scopes", "avatarUrl"}] * 2
    assert here[0]["id"] == here[1]["id"]
    assert here[0]["scopes"] != here[1]["scopes"]
    assert cloud.get(cloud.root + path, "nonsense").status_code == 401
    cloud.flavour.entries_without = ("scopes", "avatarUrl")
    entries = cloud.get(cloud.root + path, token).json()
    assert [set(entry) for entry in entries] == [{"id", "url", "name"}] * 2


def test_me_needs_its_scope(cloud: Client) -> None:
    """/me answers with read:me, else 403."""
    url = f"{cloud.flavour.api_url}/me"
    good = cloud.get(url, cloud.access_token("read:me"))
    bad = cloud.get(url, cloud.access_token("read:jira-work"))
    assert good.json()["account_id"]
    assert bad.status_code == 403


def test_site_takes_api_tokens_and_no_bearers(cloud: Client) -> None:
    """A site refuses OAuth with `WWW-Authenticate: OAuth`, takes Basic, tells its cloud id."""
    site = cloud.flavour.sites[0]
    assert cloud.get(f"{site.url}/_edge/tenant_info").json() == {"cloudId": site.id}
    paths = ("/rest/api/3/myself", "/wiki/rest/api/user/current", "/wiki/download/attachments/1/a")
    for path in paths:
        assert cloud.get(site.url + path, cloud.access_token()).status_code == 403
        refused = cloud.get(site.url + path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("OAuth realm=")
    basic = (cloud.flavour.email, cloud.flavour.api_token)
    response = cloud.get(f"{site.url}/rest/api/3/myself", auth=basic)
    assert response.json()["self"].startswith(site.url)
    assert cloud.get(f"{site.url}/wiki/rest/api/content", auth=basic).status_code == 200


# -- Data Center: credentials ----------------------------------------------------------------------


def test_a_product_may_be_denied(cloud: Client) -> None:
    """Who may not use a product gets 403 with a `message` and a `statusCode`."""
    cloud.flavour.products_denied = ("confluence",)
    url = cloud.product_url.replace("/ex/jira/", "/ex/confluence/")
    answer = cloud.get(f"{url}/wiki/rest/api/user/current", cloud.access_token())
    text = "Current user not permitted to use Confluence"
    assert (answer.status_code, answer.json()) == (403, {"message": text, "statusCode": 403})


def test_api_tokens_have_no_quota(cloud: Client) -> None:
    """Quotas are for OAuth; bursts and writes are limited for API tokens too."""
    side = cloud.flavour
    side.rate_limit = 60
    for reason, status in (("quota-tenant-based", 200), ("burst-based", 429)):
        side.rate_limit_reason = reason
        for url, token in (
            (cloud.product_url, side.scoped_api_token),
            (side.sites[0].url, side.api_token),
        ):
            answer = cloud.get(f"{url}/rest/api/3/myself", auth=(side.email, token))
            assert answer.status_code == status
        assert cloud.whoami(cloud.access_token()).status_code == 429


def test_scoped_api_tokens_are_for_the_gateway(cloud: Client) -> None:
    """An API token with scopes works there, as Basic and as a bearer, and not on the site."""
    side, path = cloud.flavour, "/rest/api/3/myself"
    pair = (side.email, side.scoped_api_token)
    assert cloud.get(path, auth=pair).status_code == 200
    assert cloud.get(path, side.scoped_api_token).status_code == 200
    assert cloud.get(side.sites[0].url + path, auth=pair).status_code == 401
    assert cloud.get(path, auth=(side.email, side.api_token)).status_code == 401


def test_an_invalid_bearer_is_anonymous(server: Client) -> None:
    """An invalid or misspelt bearer is ignored: 200 with less data, 401 where a login is needed."""
    token = server.access_token()
    everything = server.get("/rest/api/2/search", token)
    assert everything.headers["X-AUSERNAME"] == "ada"
    for value in ("Bearer dead", f"bearer {token}", f"BEARER {token}"):
        headers = {"Authorization": value}
        response = server.get("/rest/api/2/search", headers=headers)
        assert response.status_code == 200
        assert response.headers["X-AUSERNAME"] == "anonymous"
        assert response.json()["total"] < everything.json()["total"]
        assert server.get("/rest/api/2/myself", headers=headers).status_code == 401


def test_anonymous_access_may_be_off(server: Client) -> None:
    """Then everything but serverInfo wants a login."""
    server.flavour.anonymous_access = False
    assert server.get("/rest/api/2/search").status_code == 401
    assert server.get("/rest/api/2/serverInfo").json()["deploymentType"] == "Server"


def test_personal_access_token(server: Client) -> None:
    """A PAT is a plain bearer without scopes."""
    response = server.whoami(server.flavour.personal_access_token)
    assert response.json()["name"] == "ada"


def test_a_token_may_be_the_password(server: Client) -> None:
    """Data Center takes an access token or a PAT as the password of Basic, as git sends it."""
    for token in (server.access_token("READ"), server.flavour.personal_access_token):
        answer = server.get("/rest/api/2/myself", auth=("x-token-auth", token))
        assert answer.headers["X-AUSERNAME"] == "ada"
    wrong = server.get("/rest/api/2/serverInfo", auth=("ada", "wrong"))
    assert (wrong.status_code, wrong.headers["X-AUSERNAME"]) == (200, "anonymous")


def test_session_cookie_wins_over_the_bearer(server: Client) -> None:
    """With a valid JSESSIONID the request belongs to the session's user, by default."""
    token = server.access_token()
    headers = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    response = server.get("/rest/api/2/myself", token, headers=headers)
    assert response.headers["X-AUSERNAME"] == "grace"
    server.flavour.session_cookie_wins = False
    response = server.get("/rest/api/2/myself", token, headers=headers)
    assert response.headers["X-AUSERNAME"] == "ada"


def test_pages_redirect_bearers_to_the_login(server: Client) -> None:
    """/secure with a bearer: 302 to login.jsp, an HTML page that looks like success."""
    token = server.flavour.personal_access_token
    cookie = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    assert server.get("/secure/Dashboard.jspa", headers=cookie).status_code == 200
    assert server.get("/secure/Dashboard.jspa", token).status_code == 302
    token = server.access_token()
    response = server.get("/secure/Dashboard.jspa", token)
    assert response.status_code == 302
    assert response.headers["Location"].startswith(f"{server.flavour.url}/login.jsp")
    page = server.get(response.headers["Location"], token)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_login_page_in_place(server: Client) -> None:
    """`login_page_as` 200: pages and resources show the login page where they want a login."""
    server.flavour.login_page_as = 200
    token = server.access_token()
    for path, bearer in (("/secure/Dashboard.jspa", token), ("/rest/api/2/myself", "dead")):
        page = server.get(path, bearer)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "Log in" in page.text
    assert server.whoami(token).json()["name"] == "ada"


def test_data_center_rate_limit(server: Client) -> None:
    """`rate_limit`: resources answer 429 with Retry-After, the token endpoint does not."""
    server.flavour.rate_limit = 7
    issued = server.flavour.issue()
    response = server.whoami(issued["access_token"])
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert server.refresh(issued["refresh_token"]).status_code == 200


def test_data_center_scopes_imply_lower_ones(server: Client) -> None:
    """READ may not write, WRITE may read, ADMIN may audit."""
    tokens = {s: server.access_token(s) for s in ("READ", "WRITE", "ADMIN")}
    assert server.request("POST", "/rest/echo", tokens["READ"]).status_code == 403
    assert server.get("/rest/echo", tokens["WRITE"]).status_code == 200
    assert server.get("/rest/api/2/auditing/record", tokens["WRITE"]).status_code == 403
    assert server.get("/rest/api/2/auditing/record", tokens["ADMIN"]).status_code == 200


def test_session_resource_is_for_sessions(server: Client) -> None:
    """/rest/auth/1/session answers a cookie, not an OAuth bearer."""
    token = server.access_token()
    assert server.get("/rest/auth/1/session", token).status_code == 401
    headers = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    assert server.get("/rest/auth/1/session", headers=headers).json()["name"] == "grace"


def test_outside_the_context_path_is_nothing(server: Client) -> None:
    """The server knows only what lies under its context path."""
    origin = server.flavour.url.removesuffix("/jira")
    assert server.get(f"{origin}/rest/api/2/serverInfo").status_code == 404
    assert server.get(f"{origin}/jirax/rest/api/2/serverInfo").status_code == 404


# -- Jira ------------------------------------------------------------------------------------------


def test_self_links_are_absolute(client: Client, token: str) -> None:
    """`self` begins with the URL under which the resource was reached."""
    for path in ("/rest/api/2/myself", "/rest/api/2/issue/ACME-1"):
        assert client.get(path, token).json()["self"].startswith(client.product_url + "/")


def test_issue_life(client: Client, token: str) -> None:
    """Create, read, update, delete; then it is gone."""
    fields = {"project": {"key": "ACME"}, "summary": "New", "issuetype": {"name": "Task"}}
    made = client.request("POST", "/rest/api/2/issue", token, json={"fields": fields})
    assert (made.status_code, set(made.json())) == (201, {"id", "key", "self"})
    url = made.json()["self"]
    changed = client.request("PUT", url, token, json={"fields": {"summary": "Changed"}})
    assert (changed.status_code, changed.content) == (204, b"")
    assert client.get(url, token).json()["fields"]["summary"] == "Changed"
    assert client.request("DELETE", url, token).status_code == 204
    assert client.get(url, token).status_code == 404


def test_issue_needs_summary_and_project(client: Client, token: str) -> None:
    """A bad issue is 400 with the fields that are wrong."""
    for fields in ({}, {"summary": "x", "project": {"key": "NOPE"}}):
        bad = client.request("POST", "/rest/api/2/issue", token, json={"fields": fields})
        assert bad.status_code == 400
        assert bad.json()["errors"]


def test_old_search_pages_on_data_center_and_is_gone_on_cloud(
    server: Client, cloud: Client
) -> None:
    """Offsets page on Data Center; Cloud answers 410."""
    token = server.access_token()
    keys, start = [], 0
    while True:
        page = server.get(f"/rest/api/2/search?jql=project=ACME&startAt={start}", token).json()
        keys += [issue["key"] for issue in page["issues"]]
        start += len(page["issues"])
        if start >= page["total"]:
            break
    assert len(set(keys)) == len(keys) == 120
    gone = cloud.get("/rest/api/3/search", cloud.access_token())
    assert gone.status_code == 410


def test_new_search_pages_with_tokens(cloud: Client) -> None:
    """Tokens lead on until isLast, with GET and with POST."""
    token = cloud.access_token()
    asked = {"jql": "project = ACME", "maxResults": 50}
    for options in ("params", "json"):
        keys: list[str] = []
        more: dict[str, str] = {}
        method = "GET" if options == "params" else "POST"
        while True:
            sent = {options: {**asked, **more}}
            page = cloud.request(method, "/rest/api/3/search/jql", token, **sent).json()
            keys += [issue["key"] for issue in page["issues"]]
            if page["isLast"]:
                break
            more = {"nextPageToken": page["nextPageToken"]}
        assert len(set(keys)) == len(keys) == 120


def test_audit_records_have_offset_and_limit(cloud: Client) -> None:
    """The audit log of the seed's integrations: pages by offset."""
    token = cloud.access_token()
    page = cloud.get("/rest/api/3/auditing/record?offset=20&limit=10", token).json()
    assert (page["offset"], page["limit"], page["total"], len(page["records"])) == (20, 10, 25, 5)


def test_project_pages_have_an_absolute_next(cloud: Client) -> None:
    """project/search names the next page by absolute URL on the gateway."""
    token = cloud.access_token()
    page = cloud.get("/rest/api/3/project/search?maxResults=1", token).json()
    assert page["nextPage"].startswith(cloud.product_url)
    assert cloud.get(page["nextPage"], token).json()["isLast"] is True


def attach(client: Client, token: str, content: bytes, name: str = "a b.txt") -> dict[str, str]:
    """Upload a file; the bean of the attachment."""
    response = client.request(
        "POST",
        "/rest/api/2/issue/ACME-1/attachments",
        token,
        files={"file": (name, content, "text/plain")},
        headers={"X-Atlassian-Token": "no-check"},
    )
    assert response.status_code == 200, response.text
    return dict(response.json()[0])


def test_attachments_come_back_whole(client: Client, token: str) -> None:
    """What was uploaded is what the content URL leads to, big or small, boundary-like or not."""
    for content in (b"", b"x", b"\r\n--almost\r\n" * 3, bytes(range(256)) * 10_000):
        made = attach(client, token, content)
        assert (made["size"], made["filename"]) == (len(content), "a b.txt")
        got = client.get(made["content"], token, allow_redirects=True)
        assert hashlib.sha256(got.content).digest() == hashlib.sha256(content).digest()


def test_cloud_attachment_redirects_to_the_media_host(cloud: Client, emulator: Emulator) -> None:
    """The content is 303 to another host with a token in the query; no bearer is needed there."""
    token = cloud.access_token()
    made = attach(cloud, token, b"content")
    response = cloud.get(made["content"], token)
    assert response.status_code == 303
    to = response.headers["Location"]
    assert to.startswith(cloud.flavour.media_url)
    assert cloud.get(to).content == b"content"
    assert cloud.get(to.partition("?")[0]).status_code == 403
    assert emulator.requests[-1].role == "media"


def test_old_data_center_wants_a_session_for_attachments(server: Client) -> None:
    """`attachments_need_session`: as Jira 8.14, a bearer is sent to the login page."""
    token = server.access_token()
    made = attach(server, token, b"content", "ü.txt")
    assert quote("ü") in made["content"]
    server.flavour.attachments_need_session = True
    assert server.get(made["content"], token).status_code == 302


def test_attachment_without_the_xsrf_header_is_refused(client: Client, token: str) -> None:
    """Uploads need X-Atlassian-Token, as the products ask."""
    files = {"file": ("a", b"b")}
    path = "/rest/api/2/issue/ACME-1/attachments"
    assert client.request("POST", path, token, files=files).status_code == 403


# -- Confluence ------------------------------------------------------------------------------------


def wiki(cloud: Client) -> str:
    """Where Confluence's resources are for a bearer."""
    return f"{cloud.flavour.api_url}/ex/confluence/{cloud.flavour.sites[0].id}"


def test_confluence_with_and_without_wiki(cloud: Client) -> None:
    """Both path forms of the gateway reach the same resource."""
    token = cloud.access_token()
    for path in ("/wiki/rest/api/user/current", "/rest/api/user/current"):
        assert cloud.get(wiki(cloud) + path, token).json()["type"] == "known"


def test_old_content_is_gone_through_the_gateway(cloud: Client) -> None:
    """Content and space of version 1 are 410 for OAuth, whatever the scopes."""
    token = cloud.access_token("read:jira-user")
    for path in ("/wiki/rest/api/content", "/wiki/rest/api/space"):
        assert cloud.get(wiki(cloud) + path, token).status_code == 410


@pytest.mark.parametrize("pages", ["/wiki/api/v2/pages", "/wiki/api/v2/spaces/1/pages"])
def test_new_pages_follow_cursors(cloud: Client, pages: str) -> None:
    """`_links.next` is relative with /wiki, `_links.base` names the site; so for a space."""
    token = cloud.access_token()
    path: str | None = f"{pages}?limit=25"
    titles: list[str] = []
    while path:
        page = cloud.get(wiki(cloud) + path, token).json()
        titles += [each["title"] for each in page["results"]]
        assert page["_links"]["base"] == f"{cloud.flavour.sites[0].url}/wiki"
        path = page["_links"].get("next")
        assert path is None or path.startswith(f"{pages}?")
    assert len(set(titles)) == len(titles) == 60


def test_new_pages_need_granular_scopes(cloud: Client) -> None:
    """A classic scope on a version 2 path does not match."""
    token = cloud.access_token("read:confluence-content.all")
    response = cloud.get(f"{wiki(cloud)}/wiki/api/v2/pages", token)
    assert (response.status_code, response.json()) == (401, MISMATCH)


def test_old_search_pages_without_wiki_in_next(cloud: Client) -> None:
    """CQL search survives; its `next` lacks the context path."""
    token = cloud.access_token()
    body = cloud.get(f"{wiki(cloud)}/wiki/rest/api/search?cql=type=page&limit=10", token).json()
    assert body["_links"]["next"].startswith("/rest/api/search?")
    assert body["totalSize"] == 60


def test_confluence_audit(cloud: Client) -> None:
    """The audit log needs its granular scope."""
    path = f"{wiki(cloud)}/wiki/rest/api/audit"
    good = cloud.access_token("read:audit-log:confluence")
    assert cloud.get(path, good).json()["size"] == 25
    assert cloud.get(path, cloud.access_token("read:me")).status_code == 401


def test_confluence_on_data_center_keeps_version_1(server: Client) -> None:
    """Data Center serves content, with the base of the server."""
    token = server.access_token()
    body = server.get("/rest/api/content", token).json()
    assert body["_links"]["base"] == server.flavour.url
    assert body["size"] == 25


def test_pages_are_made_through_the_gateway(cloud: Client) -> None:
    """Version 2 makes a page for the granular scope; it is read, listed and found by CQL."""
    sent = {"spaceId": "2", "title": "New", "body": {"storage": {"value": "<p>Hello</p>"}}}
    path = f"{wiki(cloud)}/wiki/api/v2/pages"
    classic = cloud.access_token("write:confluence-content")
    assert cloud.request("POST", path, classic, json=sent).json() == MISMATCH
    token = cloud.access_token()
    made = cloud.request("POST", path, token, json=sent)
    assert made.status_code == 200
    url = f"{path}/{made.json()['id']}?body-format=storage"
    assert cloud.get(url, token).json()["body"]["storage"]["value"] == "<p>Hello</p>"
    assert cloud.get(f"{path}?space-id=2", token).json()["results"][0]["title"] == "New"
    found = cloud.get(f"{wiki(cloud)}/wiki/rest/api/search?cql=type=page", token).json()
    assert found["totalSize"] == 61
    for bad, status in ((sent, 400), ({"title": "x"}, 400), ({**sent, "spaceId": "9"}, 404)):
        refused = cloud.request("POST", path, token, json=bad)
        assert (refused.status_code, len(refused.json()["errors"])) == (status, 1)


def test_pages_are_made_on_data_center(server: Client) -> None:
    """Version 1 makes a page; its body is shown when it is asked for."""
    token = server.access_token()
    body = {"storage": {"value": "<p>Hello</p>", "representation": "storage"}}
    sent = {"type": "page", "title": "New", "space": {"key": "TEAM"}, "body": body}
    made = server.request("POST", "/rest/api/content/", token, json=sent).json()
    bean = server.get(f"/rest/api/content/{made['id']}?expand=body.storage", token).json()
    assert (bean["body"], bean["space"]["key"]) == (body, "TEAM")
    assert server.get("/rest/api/content?title=New&spaceKey=TEAM", token).json()["size"] == 1
    assert server.request("POST", "/rest/api/content", token, json={}).status_code == 400


def upload(client: Client, token: str, content: bytes, **options: object) -> dict[str, Any]:
    """Attach a file to page 1; the answer of version 1."""
    root = f"{wiki(client)}/wiki" if client.name == "cloud" else client.product_url
    method, tail = str(options.pop("method", "POST")), str(options.pop("tail", ""))
    response = client.request(
        method,
        f"{root}/rest/api/content/1/child/attachment{tail}",
        token,
        files={"file": ("a b.txt", content, "text/plain")},
        headers={"X-Atlassian-Token": "no-check"},
    )
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_cloud_page_attachments_come_from_the_media_host(cloud: Client) -> None:
    """Uploads survive for OAuth; a download is 302 to the media host with a token in the URL."""
    token = cloud.access_token()
    content = bytes(range(256)) * 10_000
    made = upload(cloud, token, content)["results"][0]
    assert made["extensions"] == {"mediaType": "text/plain", "fileSize": len(content)}
    path = f"{wiki(cloud)}/wiki/rest/api/content/1/child/attachment"
    old = cloud.get(path, token).json()["results"]
    new = cloud.get(f"{wiki(cloud)}/wiki/api/v2/pages/1/attachments", token).json()["results"]
    assert [each["id"] for each in (*old, *new)] == [made["id"]] * 2
    answer = cloud.get(f"{path}/{made['id']}/download", token)
    assert (answer.status_code, answer.headers["Location"].split("/file/")[0]) == (
        302,
        cloud.flavour.media_url,
    )
    assert cloud.get(answer.headers["Location"]).content == content
    assert cloud.get(answer.headers["Location"].partition("?")[0]).status_code == 403
    assert cloud.get(f"{wiki(cloud)}/wiki{made['_links']['download']}", token).status_code == 404


def test_uploads_need_their_scopes(cloud: Client) -> None:
    """The classic scope, or both granular ones; without the XSRF header no scope helps."""
    path = f"{wiki(cloud)}/wiki/rest/api/content/1/child/attachment"
    for scope, status in (
        ("write:confluence-file", 403),
        ("write:attachment:confluence", 401),
        ("write:attachment:confluence read:content-details:confluence", 403),
    ):
        token = cloud.access_token(scope)
        response = cloud.request("POST", path, token, files={"file": ("a", b"b")})
        assert response.status_code == status


def test_data_center_page_attachments(server: Client) -> None:
    """The download link opens with a bearer; anonymous requests are sent to the login page."""
    token = server.access_token()
    made = upload(server, token, b"content")["results"][0]
    link = made["_links"]["download"]
    assert link.startswith("/download/attachments/1/a%20b.txt")
    assert server.get(link, token).content == b"content"
    assert server.get(link).status_code == 302
    upload(server, token, b"again", tail=f"/{made['id']}/data")
    assert server.get(link, token).content == b"again"
    listed = server.get("/rest/api/content/1/child/attachment?filename=a b.txt", token).json()
    assert listed["size"] == 1


def test_put_replaces_an_attachment_on_cloud(cloud: Client) -> None:
    """PUT makes a file or its next version under the same id."""
    token = cloud.access_token()
    first, second = (upload(cloud, token, b"x" * n, method="PUT") for n in (1, 2))
    assert (first["id"], second["extensions"]["fileSize"]) == (second["id"], 2)


def test_labels_survive(cloud: Client) -> None:
    """Labels of version 1 are read and added with OAuth."""
    token = cloud.access_token()
    path = f"{wiki(cloud)}/wiki/rest/api/content/1/label"
    cloud.request("POST", path, token, json=[{"prefix": "global", "name": "urgent"}])
    assert [each["name"] for each in cloud.get(path, token).json()["results"]] == ["urgent"]
    assert cloud.get(f"{wiki(cloud)}/wiki/rest/api/content/1", token).status_code == 410
