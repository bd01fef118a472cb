"""Bitbucket: the resources of Data Center, and Cloud's own authorization server and API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from atlassian_auth_adapter.testing.emulator import (
    Emulator,
    NotRedirectedError,
    Status,
)

if TYPE_CHECKING:
    from .conftest import Client, StandingClock

API = "/rest/api/1.0"
REPOSITORY = "/2.0/repositories/acme/repo-1"


# -- Data Center -----------------------------------------------------------------------------------


def test_scopes_of_bitbucket_and_jira_are_apart(server: Client) -> None:
    """A READ token opens Jira and not Bitbucket, a REPO_READ token the reverse."""
    paths = ("/rest/api/2/myself", f"{API}/projects")
    for scope, statuses in (("READ", [200, 403]), ("REPO_READ", [403, 200])):
        token = server.access_token(scope)
        assert [server.get(path, token).status_code for path in paths] == statuses


def test_bitbucket_scopes_imply_lower_ones(server: Client) -> None:
    """PUBLIC_REPOS sees public projects, REPO_READ all, REPO_WRITE writes as well."""
    repos = f"{API}/projects/ACME/repos"
    seen, made = {}, {}
    for scope in ("PUBLIC_REPOS", "REPO_READ", "REPO_WRITE"):
        token = server.access_token(scope)
        seen[scope] = server.get(f"{API}/projects", token).json()["size"]
        made[scope] = server.request("POST", repos, token, json={"name": "New"}).status_code
    assert seen == {"PUBLIC_REPOS": 1, "REPO_READ": 2, "REPO_WRITE": 2}
    assert made == {"PUBLIC_REPOS": 403, "REPO_READ": 403, "REPO_WRITE": 201}


def test_bitbucket_ignores_an_invalid_bearer(server: Client) -> None:
    """Public repositories are shown without a login, private ones and accounts are not."""
    answers = [
        server.get(API + path, "dead")
        for path in ("/projects/ACME/repos", "/projects/SEC/repos", "/users/ada")
    ]
    assert [each.status_code for each in answers] == [200, 401, 401]
    assert {each.headers["X-AUSERNAME"] for each in answers} == {"anonymous"}


def test_bitbucket_pages(server: Client) -> None:
    """`nextPageStart` leads on until `isLastPage`; both spellings of the version work."""
    token = server.flavour.personal_access_token
    first = server.get(f"{API}/projects/ACME/repos", token).json()
    assert (first["size"], first["isLastPage"], first["nextPageStart"]) == (25, False, 25)
    last = server.get("/rest/api/latest/projects/ACME/repos?start=25", token).json()
    assert (last["size"], last["isLastPage"], last["nextPageStart"]) == (5, True, None)


def test_bitbucket_files(server: Client) -> None:
    """A file is written by multipart PUT and comes back raw; its page takes no token."""
    token = server.access_token("REPO_WRITE")
    place, content = "/projects/SEC/repos/repo-1", bytes(range(256)) * 10_000
    for sent in (b"first", content):
        files = {"content": ("x", sent), "message": (None, "m"), "branch": (None, "main")}
        written = server.request("PUT", f"{API}{place}/browse/a/b.bin", token, files=files)
        assert len(written.json()["id"]) == 40
    assert server.get(f"{API}{place}/raw/a/b.bin", token).content == content
    session = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    assert server.get(f"{place}/raw/a/b.bin", headers=session).content == content
    assert server.get(f"{place}/raw/a/b.bin", token).status_code == 302
    assert server.get(f"{place}/raw/a/b.bin").status_code == 302
    assert server.get(f"{API}{place}/raw/a/c.bin", token).status_code == 404


def test_bitbucket_names_itself_and_accounts(server: Client) -> None:
    """application-properties needs no login; whoami names that of a session, users any."""
    token = server.access_token("REPO_READ")
    assert server.get(f"{API}/application-properties").json()["displayName"] == "Bitbucket"
    session = {"Cookie": f"JSESSIONID={server.flavour.session_cookie}"}
    assert server.get("/plugins/servlet/applinks/whoami", headers=session).text == "grace"
    assert server.get(f"{API}/users/ada", token).json()["slug"] == "ada"
    assert server.get(f"{API}/users/unknown", token).status_code == 404


# -- Cloud: the authorization server ---------------------------------------------------------------


def test_login_needs_neither_scope_nor_redirect_uri(consumer: Client) -> None:
    """The consumer's own scopes and callback URL are taken; tokens live for two hours."""
    redirect = consumer.flavour.authorize(consumer.url())
    answer = parse_qs(urlsplit(redirect).query)
    assert redirect.startswith(consumer.flavour.app.callback_url)
    assert answer["state"] == ["a state"]
    body = consumer.token(grant_type="authorization_code", code=answer["code"][0]).json()
    assert (body["expires_in"], body["token_type"]) == (7200, "bearer")
    assert min(len(body["access_token"]), len(body["refresh_token"])) > 2500
    assert body["scope"].split() == list(consumer.flavour.app.scopes)
    assert consumer.get("/2.0/user", body["access_token"]).json()["type"] == "user"


def test_bitbucket_accepts_pkce_and_ignores_it(consumer: Client) -> None:
    """A code challenge is accepted; a wrong verifier changes nothing."""
    url = consumer.url(code_challenge="c" * 43, code_challenge_method="S256")
    (code,) = parse_qs(urlsplit(consumer.flavour.authorize(url)).query)["code"]
    answer = consumer.token(grant_type="authorization_code", code=code, code_verifier="wrong")
    assert answer.status_code == 200


def test_bad_authorization_ends_on_a_page(consumer: Client) -> None:
    """There is no redirect to the client."""
    for changes in (
        {"client_id": "another-client"},
        {"redirect_uri": "http://localhost:8080/other"},
        {"response_type": "token"},
    ):
        with pytest.raises(NotRedirectedError):
            consumer.flavour.authorize(consumer.url(**changes))


def test_client_authenticates_with_basic_only(consumer: Client) -> None:
    """A secret in the body is ignored; a wrong one is unauthorized_client."""
    issued = consumer.flavour.issue()
    fields = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    refused = [
        consumer.token(auth=lambda request: request, **fields, **consumer.credentials),
        consumer.token(auth=(consumer.flavour.app.client_id, "wrong"), **fields),
    ]
    for response in refused:
        assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")
        assert "refresh_token" not in response.json()["error_description"]
    assert consumer.token(**fields).status_code == 200


def test_refresh_rotates_with_a_grace(
    consumer: Client, emulator: Emulator, clock: StandingClock
) -> None:
    """A used refresh token is taken for ten minutes, unless `rotation_grace` says otherwise."""
    used = consumer.refresh_token()
    consumer.refresh(used)
    clock.now += 599
    assert consumer.refresh(used).status_code == 200
    clock.now += 1
    assert consumer.refresh(used).status_code == 403
    assert emulator.count(outcome="reuse_after_grace", flavour="bitbucket") == 1
    consumer.flavour.rotation_grace = 0
    first = consumer.flavour.issue()
    second = consumer.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert consumer.get("/2.0/user", first["access_token"]).status_code == 200
    dead = consumer.refresh(first["refresh_token"])
    assert (dead.status_code, dead.json()) == (
        403,
        {"error": "unauthorized_client", "error_description": "refresh_token is invalid"},
    )
    assert emulator.count(outcome="reuse_after_grace", flavour="bitbucket") == 2
    consumer.flavour.rotation_grace = 60
    third = consumer.refresh_token()
    assert consumer.refresh(third).status_code == consumer.refresh(third).status_code == 200
    clock.now += 60
    assert consumer.refresh(third).status_code == 403


def test_invalid_refresh_token_of_bitbucket(consumer: Client) -> None:
    """`dead_refresh_token_error` chooses among the answers that were seen."""
    for error, status in (
        ("unauthorized_client", 403),
        ("invalid_request", 400),
        ("access_denied", 403),
    ):
        consumer.flavour.dead_refresh_token_error = error
        response = consumer.refresh("dead")
        assert (response.status_code, response.json()["error"]) == (status, error)


def test_consumer_credentials(consumer: Client) -> None:
    """client_credentials: the consumer itself, an app_user; no refresh token."""
    body = consumer.token(grant_type="client_credentials").json()
    assert "refresh_token" not in body
    assert consumer.get("/2.0/user", body["access_token"]).json()["type"] == "app_user"


def test_log_faults_and_secrets_cover_bitbucket(consumer: Client, emulator: Emulator) -> None:
    """Faults, records, families and secrets are those of one emulator."""
    issued = consumer.flavour.issue()
    emulator.faults.next("token", Status(503))
    assert consumer.refresh(issued["refresh_token"]).status_code == 503
    consumer.get("/2.0/user", issued["access_token"])
    assert emulator.token_requests[-1].flavour == "bitbucket"
    assert emulator.token_requests[-1].client_id == consumer.credentials["client_id"]
    assert [each.role for each in emulator.requests] == ["bitbucket-auth", "bitbucket-api"]
    assert {issued["access_token"], consumer.credentials["client_secret"]} <= emulator.secrets
    assert len(emulator.families) == 1


def test_bitbucket_may_be_left_out() -> None:
    """`bitbucket=False` starts no host of it."""
    with Emulator(bitbucket=False) as emulator, pytest.raises(AttributeError):
        _ = emulator.bitbucket


# -- Cloud: the API --------------------------------------------------------------------------------


def test_expired_access_token_of_bitbucket(consumer: Client) -> None:
    """401 with `error` as an object whose text names the refresh token."""
    token = consumer.access_token()
    consumer.flavour.expire_access_tokens()
    response = consumer.get("/2.0/user", token)
    assert response.status_code == 401
    assert response.json()["error"]["message"].startswith("Access token expired.")
    for other in ("", "nonsense"):
        assert consumer.get("/2.0/user", other).status_code == 401
    query = consumer.get(f"/2.0/user?access_token={token}", "")
    assert query.status_code == 401


def test_scopes_open_paths_of_bitbucket(consumer: Client) -> None:
    """Writing implies reading; a missing scope is 403 that names it."""
    for scope, method, path, fits in (
        ("account", "GET", "/2.0/user", True),
        ("repository", "GET", "/2.0/user", False),
        ("repository:write", "GET", "/2.0/repositories/acme", True),
        ("repository", "POST", f"{REPOSITORY}/downloads", False),
        ("repository:write", "POST", "/2.0/repositories/acme/new", False),
        ("issue:write", "GET", f"{REPOSITORY}/issues", True),
    ):
        response = consumer.request(method, path, consumer.access_token(scope))
        assert (response.status_code == 403) is not fits, (scope, path)
        assert fits or response.json()["error"]["detail"]["granted"] == [scope]


def test_pages_have_an_absolute_next(consumer: Client) -> None:
    """`next` names the following page until there is none; `pagelen` is kept."""
    token = consumer.access_token()
    url: str | None = f"{REPOSITORY}/issues?pagelen=12"
    titles: list[str] = []
    while url:
        page = consumer.get(url, token).json()
        titles += [each["title"] for each in page["values"]]
        url = page.get("next")
        assert url is None or url.startswith(consumer.flavour.api_url)
    assert (len(titles), len(set(titles)), page["page"]) == (25, 25, 3)


def test_downloads_come_from_the_media_host(consumer: Client) -> None:
    """A download is 302 to another host with a token in the URL; a name is uploaded once."""
    token = consumer.access_token()
    content = bytes(range(256)) * 10_000
    for sent in (b"first", content):
        files = {"files": ("a b.bin", sent)}
        made = consumer.request("POST", f"{REPOSITORY}/downloads", token, files=files)
        assert made.status_code == 201
    (listed,) = consumer.get(f"{REPOSITORY}/downloads", token).json()["values"]
    assert (listed["name"], listed["size"]) == ("a b.bin", len(content))
    answer = consumer.get(listed["links"]["self"]["href"], token)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(consumer.flavour.media_url)
    assert consumer.get(answer.headers["Location"], "").content == content
    bare = answer.headers["Location"].partition("?")[0]
    assert consumer.get(bare, "").status_code == 403


def test_repositories_and_issues_are_made(consumer: Client) -> None:
    """What was made is there; what was made before is not made again."""
    token = consumer.access_token()
    path = "/2.0/repositories/acme/new"
    statuses = [
        consumer.request("POST", path, token, json={"scm": "git"}).status_code for _ in range(2)
    ]
    assert statuses == [200, 400]
    assert consumer.get(path, token).json()["full_name"] == "acme/new"
    made = consumer.request("POST", f"{path}/issues", token, json={"title": "One"})
    assert (made.status_code, made.json()["id"]) == (201, 1)
    link = made.json()["links"]["self"]["href"]
    assert consumer.get(link, token).json()["title"] == "One"
    assert consumer.get("/2.0/repositories/acme/nope", token).status_code == 404
