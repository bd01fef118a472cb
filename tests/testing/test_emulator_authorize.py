"""The authorization endpoints: what is checked, shown and returned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from atlassian_auth_adapter.testing.emulator import Emulator, NotRedirectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Client, StandingClock


def answer(redirect: str) -> dict[str, str]:
    """The parameters of a redirect URL."""
    return {key: values[0] for key, values in parse_qs(urlsplit(redirect).query).items()}


def test_agreement_comes_back_with_code_and_state(client: Client) -> None:
    """The person agrees: a redirect to the client with a code and the same state."""
    redirect = client.flavour.authorize(client.url())
    assert redirect.startswith(client.flavour.app.callback_url + "?")
    assert answer(redirect)["state"] == "a state"
    assert client.exchange(answer(redirect)["code"]).status_code == 200


def test_denial_comes_back_as_access_denied(client: Client) -> None:
    """The person denies: a redirect to the client with access_denied and the same state."""
    got = answer(client.flavour.deny(client.url()))
    assert got["error"] == "access_denied"
    assert got["error_description"]
    assert got["state"] == "a state"


def test_cloud_shows_an_error_page(cloud: Client) -> None:
    """A bad request is not redirected to the client: it ends on a page with status 400."""
    cases: tuple[dict[str, str | None], ...] = (
        {"client_id": "another-client"},
        {"redirect_uri": "http://localhost:8080/other"},
        {"redirect_uri": "http://localhost:8081/callback"},
        {"redirect_uri": None},
        {"audience": None},
        {"audience": "api.example.com"},
        {"prompt": None},
        {"response_type": "token"},
        {"scope": None},
        {"scope": "read:jira-user openid"},
    )
    for changes in cases:
        with pytest.raises(NotRedirectedError) as caught:
            cloud.flavour.authorize(cloud.url(**changes))
        assert caught.value.status == 400
        assert "<h1>" in caught.value.page


def test_audience_belongs_to_the_instance(cloud: Client) -> None:
    """Another audience, as Government Cloud's, is wanted once it is set."""
    cloud.flavour.audience = "api.example.com"
    assert cloud.code(audience="api.example.com")
    with pytest.raises(NotRedirectedError):
        cloud.code()


def test_cloud_accepts_pkce_and_ignores_it(cloud: Client) -> None:
    """A code challenge is accepted; a wrong verifier changes nothing; the secret is needed."""
    code = cloud.code(code_challenge="c" * 43, code_challenge_method="S256")
    assert cloud.exchange(code, client_secret="").status_code == 401
    assert cloud.exchange(code, code_verifier="wrong").status_code == 200


def test_consent_page_names_app_scopes_and_is_escaped(cloud: Client) -> None:
    """The page shows the app and plain words for the scopes; names cannot contain markup."""
    cloud.flavour.app.name = "<script>alert(1)</script>"
    page = cloud.get(cloud.url(), allow_redirects=True).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "See projects, issues and searches in Jira" in page
    assert "localhost:8080" in page


def test_consent_form_needs_its_ticket_and_its_browser(cloud: Client) -> None:
    """A form without the anti-forgery value, or from another browser, gives no code."""
    page = cloud.get(cloud.url(), allow_redirects=True).text
    ticket = re.search(r'name="ticket" value="([^"]+)"', page)
    assert ticket is not None
    forged = cloud.request("POST", cloud.url(), data={"decision": "accept"})
    cloud.http.cookies.clear()
    data = {"decision": "accept", "ticket": ticket[1]}
    stolen = cloud.request("POST", cloud.url(), data=data)
    assert (forged.status_code, stolen.status_code) == (400, 400)


def test_sites_are_chosen_on_the_consent_page(
    clock: StandingClock, client_of: Callable[[Emulator, str], Client]
) -> None:
    """With several sites the token works for the chosen ones only; others answer 404."""
    with Emulator(clock, sites=3, data_center=False) as emulator:
        client = client_of(emulator, "cloud")
        first, second, _ = emulator.cloud.sites
        emulator.cloud.resource_choice = (second.id,)
        assert 'type="checkbox"' in client.get(client.url(), allow_redirects=True).text
        token = client.exchange(client.code()).json()["access_token"]
        api = emulator.cloud.api_url
        listed = client.get(f"{api}/oauth/token/accessible-resources", token).json()
        assert {entry["id"] for entry in listed} == {second.id}
        statuses = [
            client.get(f"{api}/ex/jira/{site.id}/rest/api/3/myself", token).status_code
            for site in (first, second)
        ]
        assert statuses == [404, 200]


def test_data_center_refuses_in_json(server: Client) -> None:
    """Data Center answers bad authorization requests itself, in its own error formats."""
    cases: tuple[tuple[dict[str, str | None], int], ...] = (
        ({"client_id": "another-client"}, 404),
        ({"redirect_uri": "http://localhost:8080/other"}, 400),
        ({"response_type": "token"}, 400),
        ({"code_challenge": None}, 400),
        ({"code_challenge_method": "sha256"}, 400),
        ({"scope": "EVERYTHING"}, 400),
    )
    for changes, status in cases:
        response = server.get(server.url(**changes))
        fields = {"error", "error_description"} if "scope" in changes else {"errors", "fieldErrors"}
        assert (response.status_code, set(response.json())) == (status, fields), changes


def test_data_center_pkce_can_be_optional(server: Client) -> None:
    """`pkce_required` False: an authorization without a challenge is good."""
    server.flavour.pkce_required = False
    code = server.code(code_challenge=None, code_challenge_method=None)
    assert server.exchange(code, code_verifier="").status_code == 200
