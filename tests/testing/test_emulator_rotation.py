"""Rotation of refresh tokens: grace, reuse, companions, expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import Emulator

    from .conftest import Client, StandingClock

DAY = 86400


def outcomes(emulator: Emulator) -> list[str]:
    """The outcome of each token request."""
    return [record.outcome for record in emulator.token_requests]


def test_refresh_rotates(client: Client, emulator: Emulator) -> None:
    """Each refresh issues a new pair; the log counts generations within the family."""
    token = client.refresh_token()
    seen = {token}
    for _ in range(3):
        token = client.refresh(token).json()["refresh_token"]
        seen.add(token)
    assert len(seen) == 4
    assert [record.generation for record in emulator.token_requests] == [1, 2, 3]
    assert emulator.families[0].generations == 4
    assert emulator.count("refresh_token", "issued", client.name) == 3


def test_retry_within_the_grace_gives_a_sibling(
    cloud: Client, emulator: Emulator, clock: StandingClock
) -> None:
    """A used refresh token may be sent again for ten minutes; both children work."""
    old = cloud.refresh_token()
    first = cloud.refresh(old).json()
    clock.now += 599
    second = cloud.refresh(old).json()
    assert outcomes(emulator) == ["issued", "replayed_in_grace"]
    for child in (first, second):
        assert cloud.refresh(child["refresh_token"]).status_code == 200
    assert not emulator.revoked_families


def test_siblings_may_be_replaced(cloud: Client, emulator: Emulator) -> None:
    """`siblings_stay_valid` False: the retry invalidates the first child, and only that."""
    cloud.flavour.siblings_stay_valid = False
    old = cloud.refresh_token()
    first, second = cloud.refresh(old).json(), cloud.refresh(old).json()
    assert cloud.whoami(first["access_token"]).status_code == 401
    assert cloud.refresh(first["refresh_token"]).status_code == 403
    assert cloud.refresh(second["refresh_token"]).status_code == 200


def test_reuse_after_the_grace_ends_the_family(
    cloud: Client, emulator: Emulator, clock: StandingClock
) -> None:
    """A refresh token used again after ten minutes ends its grant; other grants stay valid."""
    old, other = (cloud.refresh_token() for _ in range(2))
    child = cloud.refresh(old).json()
    clock.now += 600
    assert cloud.refresh(old).status_code == 403
    assert cloud.refresh(child["refresh_token"]).status_code == 403
    assert cloud.whoami(child["access_token"]).status_code == 401
    assert cloud.refresh(other).status_code == 200
    assert outcomes(emulator) == ["issued", "reuse_after_grace", "refused", "issued"]
    assert len(emulator.revoked_families) == 1


def test_data_center_has_no_grace_and_no_reuse_detection(
    server: Client, emulator: Emulator
) -> None:
    """The old pair is invalid at once; using it again revokes nothing."""
    old = server.flavour.issue()
    new = server.refresh(old["refresh_token"]).json()
    assert server.whoami(old["access_token"]).status_code == 401
    again = server.refresh(old["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert server.whoami(new["access_token"]).status_code == 200
    assert server.refresh(new["refresh_token"]).status_code == 200
    assert emulator.count(outcome="reuse_after_grace") == 1


def test_a_refresh_ends_the_old_access_token(cloud: Client, clock: StandingClock) -> None:
    """The access token before a refresh ends ten minutes after it, before its expiry."""
    old = cloud.flavour.issue()
    new = cloud.refresh(old["refresh_token"]).json()
    clock.now += 599
    assert cloud.whoami(old["access_token"]).status_code == 200
    clock.now += 1
    assert cloud.whoami(old["access_token"]).status_code == 401
    assert cloud.whoami(new["access_token"]).status_code == 200


def test_idle_expiry_slides(client: Client, clock: StandingClock) -> None:
    """A refresh token that is not used for ninety days after its issue is invalid."""
    token = client.refresh_token()
    for _ in range(2):
        clock.now += 89 * DAY
        token = client.refresh(token).json()["refresh_token"]
    clock.now += 90 * DAY
    assert client.refresh(token).status_code in (400, 403)


@pytest.mark.parametrize(("limit", "status"), [(365 * DAY, 403), (None, 200)])
def test_absolute_expiry(
    cloud: Client, clock: StandingClock, limit: float | None, status: int
) -> None:
    """A family ends 365 days after the consent, unless `absolute_lifetime` is None."""
    cloud.flavour.absolute_lifetime = limit
    token = cloud.refresh_token()
    for _ in range(5):
        clock.now += 72 * DAY
        token = cloud.refresh(token).json()["refresh_token"]
    clock.now += 5 * DAY
    assert cloud.refresh(token).status_code == status


def test_access_tokens_expire(client: Client, clock: StandingClock) -> None:
    """An access token is valid for its lifetime, and not a second longer."""
    token = client.access_token()
    clock.now += 3599
    assert client.whoami(token).status_code == 200
    clock.now += 1
    assert client.whoami(token).status_code == 401


def test_data_center_admin_can_shorten_valid_tokens(server: Client, clock: StandingClock) -> None:
    """Data Center computes expiry from the current setting, Cloud from that at the issue."""
    token = server.access_token()
    clock.now += 100
    server.flavour.access_token_lifetime = 60
    assert server.whoami(token).status_code == 401


def test_answer_without_refresh_token(cloud: Client) -> None:
    """`omit_refresh_token`: the answer lacks it and the old one stays valid, again and again."""
    token = cloud.refresh_token()
    cloud.flavour.omit_refresh_token = True
    for _ in range(2):
        body = cloud.refresh(token).json()
        assert "refresh_token" not in body
        assert cloud.whoami(body["access_token"]).status_code == 200
    cloud.flavour.omit_refresh_token = False
    assert "refresh_token" in cloud.refresh(token).json()


def test_an_invalid_refresh_token_has_two_answers(cloud: Client) -> None:
    """A dead refresh token gets 403, as seen in live traffic or as documented."""
    for error, description in (
        ("unauthorized_client", "refresh_token is invalid"),
        ("invalid_grant", "Unknown or invalid refresh token."),
    ):
        cloud.flavour.dead_refresh_token_error = error
        response = cloud.refresh("dead")
        assert response.status_code == 403
        assert response.json() == {"error": error, "error_description": description}


def test_controls(client: Client) -> None:
    """A test can expire or revoke access tokens, or revoke everything."""
    first = client.flavour.issue()
    client.flavour.expire_access_tokens()
    assert client.whoami(first["access_token"]).status_code == 401
    second = client.refresh(first["refresh_token"]).json()
    assert client.whoami(second["access_token"]).status_code == 200
    client.flavour.revoke_access_tokens()
    assert client.whoami(second["access_token"]).status_code == 401
    third = client.refresh(second["refresh_token"]).json()
    client.flavour.revoke_grants()
    assert client.whoami(third["access_token"]).status_code == 401
    assert client.refresh(third["refresh_token"]).status_code in (400, 403)
