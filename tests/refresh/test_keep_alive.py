"""A login that is seldom used: kept alive by `refresh()`, and its end is told before it comes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atlassian_auth_adapter import (
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    TokenEndpointUnavailableError,
)
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    save_login,
    separate_process_state,
    stored_login,
)
from atlassian_auth_adapter.testing.emulator import Status

DAY = 86400.0

flavours = pytest.mark.parametrize("flavour", ["cloud", "data_center"])


@pytest.mark.parametrize(("flavour", "times"), [("cloud", 4), ("data_center", 10)])
def test_refresh_keeps_a_login_alive(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, flavour: str, times: int
) -> None:
    """Once in 80 days is enough, for a year on Cloud and for ever on Data Center."""
    client = make_client(flavour)
    for _ in range(times):
        clock.advance(80 * DAY)
        status = client.refresh()
        assert status.state == "fresh"
        assert status.idle_until == clock.time() + 90 * DAY
    client.test_connection()
    assert emulator.count("refresh_token") == times


@flavours
def test_a_login_that_is_not_refreshed_ends_when_its_status_said(
    make_client: Any, clock: FakeClock, flavour: str
) -> None:
    """A day before `idle_until` it lives, a day after it a person has to log in."""
    client = make_client(flavour)
    clock.advance(client.status().idle_until - clock.time() - DAY)
    client.refresh()
    clock.advance(client.status().idle_until - clock.time() + DAY)
    with pytest.raises(LoginRequiredError) as raised:
        client.refresh()
    assert raised.value.reason == "refused"
    assert "90 days" in str(raised.value)


def test_refresh_renews_however_fresh_the_token_is(make_client: Any, clock: FakeClock) -> None:
    """Without an age it always rotates, and tells the new status."""
    client = make_client()
    before = client.get_access_token()
    status = client.refresh()
    assert status == client.status()
    assert status.generation == 2
    assert client.get_access_token() != before


def test_a_token_set_that_is_young_enough_is_left_alone(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock
) -> None:
    """`older_than` counts from the last token request, also when the access token has ended."""
    client = make_client()
    clock.advance(7 * DAY)
    assert client.refresh(older_than=7 * DAY).state == "expired"
    assert emulator.count("refresh_token") == 0
    clock.advance(1)
    assert client.refresh(older_than=7 * DAY).state == "fresh"
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("older_than", [0, 7 * DAY])
def test_a_clock_that_was_ahead_keeps_no_login_from_being_refreshed(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, older_than: float
) -> None:
    """A token set that was obtained in the future says nothing of its age: it is renewed."""
    client = make_client()
    clock.jump(-100 * DAY)
    client.refresh(older_than=older_than)
    assert emulator.count("refresh_token", "issued") == 1


def test_a_fleet_that_keeps_a_login_alive_refreshes_once(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    tmp_path: Any,
) -> None:
    """Eight processes call refresh(older_than=...) in the same night: one of them rotates."""
    place = tmp_path / "logins"
    make_client(store=FileTokenStore(place))
    clock.advance(30 * DAY)
    hosts = [another_process(store=FileTokenStore(place)) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda host: host.refresh(older_than=7 * DAY), hosts))
    assert {status.generation for status in statuses} == {2}
    assert emulator.count("refresh_token") == 1


def test_the_status_tells_when_a_person_has_to_log_in(make_client: Any, clock: FakeClock) -> None:
    """90 idle days first; near the end of the year that Cloud once documented, that year."""
    client = make_client()
    consent = clock.time()
    assert client.status().reauthorize_by == client.status().idle_until == consent + 90 * DAY
    for _ in range(4):
        clock.advance(80 * DAY)
        client.refresh()
    status = client.status()
    assert status.reauthorize_by == consent + 365 * DAY
    assert status.idle_until == clock.time() + 90 * DAY


def test_a_data_center_login_has_no_other_end_than_idleness(
    make_client: Any, clock: FakeClock
) -> None:
    """Its refresh tokens count anew from each refresh."""
    client = make_client("data_center")
    for _ in range(5):
        clock.advance(80 * DAY)
        client.refresh()
    assert client.status().reauthorize_by == client.status().idle_until == clock.time() + 90 * DAY


def test_a_new_consent_begins_a_new_year(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock
) -> None:
    """A sign-in that is repeated in time brings the whole year again."""
    client = make_client()
    clock.advance(50 * DAY)
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    assert stored_login(client).authorized_at == clock.time()  # type: ignore[union-attr]


@pytest.mark.parametrize("years", [-2.0, -1.0, -0.3, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("same_process", [True, False])
@flavours
def test_a_clock_that_was_wrong_at_the_sign_in_is_forgotten_with_the_next_refresh(
    flavour: str,
    same_process: bool,
    years: float,
    make_client: Any,
    clock: FakeClock,
    events: Any,
    landed: Any,
) -> None:
    """A machine without a battery for its clock begins in another year. Behind or ahead: after the
    next refresh each date counts from now, and no sign-in is announced as due.
    """
    store, wrong = MemoryTokenStore(), FakeClock(clock.time() + years * 365 * DAY)
    client = make_client(flavour, store=store, clock=wrong, on_event=events)
    wrong.jump(-years * 365 * DAY)
    if not same_process:
        client = make_client(flavour, store=store, clock=clock, on_event=events, login=False)
        separate_process_state(client)
    clock.advance(600)
    wrong.advance(600)
    landed()
    events.clear()
    status = client.refresh()
    assert status.state == "fresh"
    assert status.obtained_at == clock.time()
    assert status.expires_at == clock.time() + 3600
    assert status.idle_until == status.reauthorize_by == clock.time() + 90 * DAY
    authorized_at = stored_login(client).authorized_at  # type: ignore[union-attr]
    assert clock.time() - DAY <= authorized_at <= clock.time()
    landed()
    assert events.names == ["refreshed"]


def test_a_clock_that_is_wrong_at_a_refresh_is_forgotten_with_the_next_one(
    make_client: Any, clock: FakeClock
) -> None:
    """The date of the consent is wrong by the time between the two at most."""
    for years in (-1, 1):
        own = FakeClock(clock.time())
        client = make_client(clock=own)
        own.jump(years * 365 * DAY)
        client.refresh()
        own.jump(-years * 365 * DAY)
        own.advance(3600)
        status = client.refresh()
        assert status.reauthorize_by == own.time() + 90 * DAY
        authorized_at = stored_login(client).authorized_at  # type: ignore[union-attr]
        assert own.time() - 3600 <= authorized_at <= own.time()


def test_a_login_that_was_taken_over_has_no_known_beginning(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock
) -> None:
    """When its owner consented is not known, so only the idle days are told."""
    first = make_client()
    given = first.token_set().refresh_token
    client = make_client(store=MemoryTokenStore(), login=False)
    client.oauth2_retrieve_access_token(refresh_token=given)
    for _ in range(4):
        clock.advance(80 * DAY)
        client.refresh()
    assert client.status().reauthorize_by == clock.time() + 90 * DAY


def test_without_a_login_there_is_no_end(make_client: Any) -> None:
    """The fields are None, as for a server whose limits are not known."""
    status = make_client(login=False).status()
    assert (status.idle_until, status.reauthorize_by) == (None, None)


def test_the_end_is_announced_two_weeks_ahead_once_a_day(
    make_client: Any, clock: FakeClock, events: Any, landed: Callable[[], None]
) -> None:
    """However often the token is refreshed on that day; the event carries the instant."""
    client = make_client(on_event=events)
    consent = clock.time()
    for days in (80, 160, 240, 320, 350):
        clock.advance(consent + days * DAY - clock.time())
        client.refresh()
        landed()
    assert "reauthorization_due" not in events.names
    clock.advance(1.5 * DAY)
    for _ in range(3):
        client.refresh()
        clock.advance(3600)
    landed()
    due = [event for event in events if event.name == "reauthorization_due"]
    assert [event.fields["reauthorize_by"] for event in due] == [consent + 365 * DAY]
    clock.advance(DAY)
    client.refresh()
    landed()
    assert events.names.count("reauthorization_due") == 2


def test_idle_days_that_run_out_are_announced_when_the_refresh_fails(
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """The token endpoint is down on day 80: the hook learns by when it has to work again."""
    client = make_client(on_event=events)
    consent = clock.time()
    client.get_access_token()
    clock.advance(80 * DAY)
    emulator.faults.next("token", Status(503, retry_after=600), times=5)
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    landed()
    (due,) = (event for event in events if event.name == "reauthorization_due")
    assert due.fields["reauthorize_by"] == consent + 90 * DAY


def test_a_record_without_the_consent_is_read(make_client: Any, clock: FakeClock) -> None:
    """Logins of programs before this package know only their idle days, and go on."""
    client = make_client()
    login = stored_login(client)
    assert login
    save_login(client, login._replace(login_id="", authorized_at=0.0))
    clock.advance(89 * DAY)
    assert client.refresh().reauthorize_by == clock.time() + 90 * DAY
    assert stored_login(client).login_id  # type: ignore[union-attr]
