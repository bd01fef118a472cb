"""The token endpoints: codes, client authentication, payloads, revocation."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import Emulator

    from .conftest import Client, StandingClock

UNAUTHORIZED = {"error": "access_denied", "error_description": "Unauthorized"}
INVALID_CODE = {"cloud": (400, "invalid_request"), "data_center": (400, "invalid_grant")}


def test_token_answer_of_cloud(cloud: Client) -> None:
    """Cloud sends both tokens, an int lifetime, Bearer and the scope, not to be cached."""
    response = cloud.exchange(cloud.code())
    body = response.json()
    assert set(body) == {"access_token", "refresh_token", "expires_in", "token_type", "scope"}
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    assert response.headers["Cache-Control"] == "no-store"


def test_token_answer_of_data_center(server: Client) -> None:
    """Data Center sends `bearer` and always a refresh token."""
    body = server.exchange(server.code()).json()
    assert body["token_type"] == "bearer"
    assert body["refresh_token"]
    assert body["scope"] == "WRITE"


def test_cloud_reads_json_as_well_as_forms(cloud: Client) -> None:
    """The documented JSON body works; a body that is no JSON is invalid_request."""
    fields = {
        **cloud.credentials,
        "grant_type": "authorization_code",
        "code": cloud.code(),
        "redirect_uri": cloud.flavour.app.callback_url,
    }
    assert cloud.http.post(cloud.token_url, json=fields, timeout=10).status_code == 200
    headers = {"Content-Type": "application/json"}
    bad = cloud.http.post(cloud.token_url, data="{", headers=headers, timeout=10)
    assert (bad.status_code, bad.json()["error"]) == (400, "invalid_request")


def test_data_center_reads_forms_only(server: Client) -> None:
    """A JSON body gives 500, as Jersey does."""
    fields = {**server.credentials, "grant_type": "refresh_token", "refresh_token": "x"}
    response = server.http.post(server.token_url, json=fields, timeout=10)
    assert response.status_code == 500
    assert "@FormParam" in response.text


def test_no_refresh_token_without_offline_access(cloud: Client) -> None:
    """Cloud issues a refresh token only for the scope offline_access."""
    body = cloud.exchange(cloud.code(scope="read:jira-user")).json()
    assert "refresh_token" not in body


def test_cloud_wrong_secret_is_access_denied(cloud: Client) -> None:
    """A missing or wrong secret: 401 access_denied Unauthorized, and no token is used up."""
    refresh_token, code = cloud.refresh_token(), cloud.code()
    for secret in ("", "wrong"):
        for response in (
            cloud.exchange(code, client_secret=secret),
            cloud.refresh(refresh_token, client_secret=secret),
        ):
            assert (response.status_code, response.json()) == (401, UNAUTHORIZED)
    assert cloud.refresh(refresh_token).status_code == 200
    assert cloud.exchange(code).status_code == 200


def test_cloud_unknown_client_looks_like_a_wrong_secret(cloud: Client) -> None:
    """An unknown client id on 3LO grants gets the same 401."""
    response = cloud.refresh("whatever", client_id="unknown")
    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)


def test_data_center_needs_the_secret_even_with_pkce(server: Client) -> None:
    """No secret, or a secret in the Basic header only: invalid_client."""
    code = server.code()
    for options in ({}, {"auth": tuple(server.credentials.values())}):
        fields: dict[str, Any] = {
            "client_id": server.flavour.app.client_id,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": server.flavour.app.callback_url,
            "code_verifier": "v" * 43,
        }
        response = server.http.post(server.token_url, data=fields, timeout=10, **options)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_data_center_looks_for_the_token_before_the_client(server: Client) -> None:
    """An invalid refresh token is invalid_grant even with a wrong secret."""
    assert server.refresh("dead", client_secret="wrong").json()["error"] == "invalid_grant"
    token = server.refresh_token()
    assert server.refresh(token, client_secret="wrong").json()["error"] == "invalid_client"
    assert server.refresh(token).status_code == 200


def test_data_center_checks_the_verifier(server: Client) -> None:
    """Both challenge methods are computed; a wrong, short or missing verifier is refused."""
    verifier = "w" * 50
    digest = hashlib.sha256(verifier.encode()).digest()
    s256 = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    for method, challenge in (("plain", verifier), ("S256", s256)):
        code = server.code(code_challenge=challenge, code_challenge_method=method)
        for wrong in ("x" * 50, "w", ""):
            response = server.exchange(code, code_verifier=wrong)
            assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
        assert server.exchange(code, code_verifier=verifier).status_code == 200


def test_code_needs_the_same_redirect_uri(client: Client) -> None:
    """The redirect URI of the exchange must be that of the authorization request."""
    response = client.exchange(client.code(), redirect_uri="http://localhost:8080/other")
    assert response.json()["error"] == "invalid_grant"


def test_code_expires(client: Client, clock: StandingClock) -> None:
    """A code is invalid after `code_lifetime` seconds."""
    code = client.code()
    clock.now += client.flavour.code_lifetime
    response = client.exchange(code)
    assert (response.status_code, response.json()["error"]) == INVALID_CODE[client.name]


def test_a_replayed_code_revokes_its_tokens(client: Client, emulator: Emulator) -> None:
    """A code works once; used again, it revokes every token that was issued from it."""
    code = client.code()
    issued = client.exchange(code).json()
    again = client.exchange(code)
    assert (again.status_code, again.json()["error"]) == INVALID_CODE[client.name]
    assert client.refresh(issued["refresh_token"]).status_code != 200
    assert client.whoami(issued["access_token"]).status_code == 401
    assert len(emulator.revoked_families) == 1


def test_malformed_token_requests(client: Client) -> None:
    """An unknown grant type and missing parameters have the errors of RFC 6749 section 5.2."""
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
    )
    for fields, error in cases:
        response = client.token(**fields)
        assert (response.status_code, response.json()["error"]) == (400, error)


def test_cloud_service_account(cloud: Client) -> None:
    """client_credentials without scope: a token for an hour, no refresh token; scopes are fixed."""
    body = cloud.service_token().json()
    assert "refresh_token" not in body
    assert cloud.whoami(body["access_token"]).status_code == 200
    refused = cloud.service_token(scope="read:jira-user")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    unknown = cloud.service_token(client_id="unknown")
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_client")
    wrong = cloud.service_token(client_secret="wrong")
    assert (wrong.status_code, wrong.json()) == (401, UNAUTHORIZED)
    cloud.token_url = f"{cloud.flavour.api_url}/oauth/token"
    assert cloud.service_token().status_code == 200


def test_data_center_service_account_sends_its_scope(server: Client) -> None:
    """client_credentials on Data Center needs a scope the account has; no refresh token."""
    body = server.service_token(scope="READ").json()
    assert "refresh_token" not in body
    assert server.whoami(body["access_token"]).headers["X-AUSERNAME"] == "svc-reports"
    for refused in (server.service_token(), server.service_token(scope="ADMIN")):
        assert refused.json()["error"] == "invalid scope"


def test_revocation(client: Client) -> None:
    """A revoked refresh token ends its family; an unknown token is no error."""
    issued = client.flavour.issue()
    for token in (issued["refresh_token"], "unknown"):
        data = {**client.credentials, "token": token}
        response = client.http.post(client.revoke_url, data=data, timeout=10)
        assert (response.status_code, response.content) == (200, b"")
    assert client.refresh(issued["refresh_token"]).status_code != 200
    assert client.whoami(issued["access_token"]).status_code == 401


def test_redirect_uri_on_refresh_is_checked_by_data_center(server: Client) -> None:
    """Sent and wrong it is invalid_grant, sent and right or not sent it is fine."""
    token = server.refresh_token()
    wrong = server.refresh(token, redirect_uri="http://localhost/else")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    right = server.refresh(token, redirect_uri=server.flavour.app.callback_url)
    assert right.status_code == 200
    assert server.refresh(right.json()["refresh_token"]).status_code == 200


def test_expires_in_varies(cloud: Client) -> None:
    """`expires_in_as` sends the lifetime as a number, as a string or not at all."""
    for how, expected in (("int", 3600), ("string", "3600"), ("missing", None)):
        cloud.flavour.expires_in_as = how
        assert cloud.flavour.issue().get("expires_in") == expected


def test_metadata_of_data_center(server: Client) -> None:
    """The metadata needs no login, is at both paths, and names the endpoints."""
    for path in ("", "/rest/oauth2/latest"):
        url = f"{server.flavour.url}{path}/.well-known/oauth-authorization-server"
        body = server.get(url).json()
        assert body["issuer"] == server.flavour.url
        assert body["token_endpoint"] == server.token_url


def test_wrong_method_and_unknown_path(cloud: Client) -> None:
    """GET on the token endpoint is 405 with Allow; paths that do not exist are 404."""
    response = cloud.get(cloud.token_url)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert cloud.get(f"{cloud.root}/nowhere").status_code == 404
