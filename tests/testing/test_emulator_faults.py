"""Scripted faults: each happens once, to its kind of request, before or after processing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests

from atlassian_auth_adapter.testing.emulator import (
    HTML,
    Body,
    CloseAfter,
    CloseBefore,
    CutBody,
    Delay,
    Drip,
    Edit,
    Emulator,
    Hold,
    Redirect,
    Status,
    TruncatedJSON,
)

if TYPE_CHECKING:
    from .conftest import Client


@pytest.fixture
def refresh_token(cloud: Client) -> str:
    """A fresh refresh token of Cloud."""
    return cloud.refresh_token()


def test_status_with_retry_after(cloud: Client, emulator: Emulator, refresh_token: str) -> None:
    """The fault happens as often as scripted; nothing is processed; then all is as before."""
    emulator.faults.next("token", Status(503, retry_after=2), times=2)
    for _ in range(2):
        response = cloud.refresh(refresh_token)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert cloud.refresh(refresh_token).status_code == 200
    assert emulator.count(outcome="fault:status-503") == 2
    assert emulator.count(outcome="issued") == 1


def test_lost_connections(cloud: Client, emulator: Emulator) -> None:
    """The client sees a broken connection; the log says whether the token was rotated."""
    for fault, rotated in ((CloseBefore(), False), (CloseAfter(), True), (CutBody(), True)):
        refresh_token = cloud.refresh_token()
        emulator.faults.next("token", fault)
        with pytest.raises(requests.RequestException):
            cloud.refresh(refresh_token)
        record = emulator.token_requests[-1]
        assert (record.outcome == "issued") is rotated
        assert record.fault == fault.name
        assert emulator.families[-1].generations == 1 + rotated


def test_unusable_answers(cloud: Client, emulator: Emulator) -> None:
    """No access token can be read from the answer; `after` says whether it was rotated."""
    faults: tuple[tuple[Body | HTML | Status | TruncatedJSON, int], ...] = (
        (HTML(), 200),
        (HTML(502), 502),
        (Body(b"[]"), 200),
        (Body(b"", 204), 204),
        (Body(b'{"error":"slow_down"}', 400, after=True), 400),
        (TruncatedJSON(), 200),
        (Status(429, retry_after=1, after=True), 429),
    )
    for fault, status in faults:
        refresh_token = cloud.refresh_token()
        emulator.faults.next("token", fault)
        response = cloud.refresh(refresh_token)
        assert response.status_code == status, fault
        with pytest.raises((ValueError, KeyError, TypeError)):
            response.json()["access_token"]
        assert emulator.families[-1].generations == 1 + fault.after


def test_redirect_fault(cloud: Client, emulator: Emulator, refresh_token: str) -> None:
    """A token endpoint that redirects to a foreign host: the host's log shows what arrived."""
    emulator.faults.next("token", Redirect(f"{emulator.foreign_url}/token", 307))
    cloud.refresh(refresh_token)
    arrived = [each for each in emulator.requests if each.role == "foreign"]
    assert refresh_token.encode() in arrived[0].body


def test_edit_changes_the_real_answer(
    cloud: Client, emulator: Emulator, refresh_token: str
) -> None:
    """Any change of the real answer can be scripted."""
    emulator.faults.next("token", Edit(lambda real: replace(real, body=b"{}")))
    assert cloud.refresh(refresh_token).json() == {}


def test_hold_schedules_a_race(cloud: Client, emulator: Emulator, refresh_token: str) -> None:
    """Two requests wait before they are processed, until both are released."""
    hold = Hold()
    emulator.faults.next("token", hold, times=2)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(cloud.refresh, refresh_token) for _ in range(2)]
        hold.wait_arrived(2)
        assert emulator.families[0].generations == 1
        hold.release()
        assert [each.result().status_code for each in answers] == [200, 200]
    assert sorted(r.outcome for r in emulator.token_requests) == ["issued", "replayed_in_grace"]


def test_hold_after_the_processing(cloud: Client, emulator: Emulator, refresh_token: str) -> None:
    """The token is rotated, the answer waits; another fault may follow."""
    hold = Hold(after=True, then=Body(b"oops", after=True))
    emulator.faults.next("token", hold)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cloud.refresh, refresh_token)
        hold.wait_arrived()
        assert emulator.families[0].generations == 2
        hold.release()
        assert answer.result().content == b"oops"


def test_wait_arrived_gives_up(emulator: Emulator) -> None:
    """Requests that do not arrive are a TimeoutError, not a test that hangs."""
    with pytest.raises(TimeoutError):
        Hold().wait_arrived(timeout=0.01)


def test_delay_by_event_and_by_seconds(cloud: Client, emulator: Emulator) -> None:
    """A delay ends with its event, or after real seconds."""
    token = cloud.access_token()
    event = threading.Event()
    event.set()
    emulator.faults.next("resource", Delay(event))
    assert cloud.whoami(token).status_code == 200
    emulator.faults.next("resource", Delay(0.05))
    begun = time.monotonic()
    assert cloud.whoami(token).status_code == 200
    assert time.monotonic() - begun >= 0.05


def test_drip(cloud: Client, emulator: Emulator) -> None:
    """The real body comes in small pieces and is whole in the end."""
    emulator.faults.next("resource", Drip(0.05))
    token = cloud.access_token()
    assert cloud.whoami(token).json()["active"] is True


def test_faults_by_path_and_without_end(cloud: Client, emulator: Emulator) -> None:
    """A path goes before a kind; `times=None` lasts until `clear`."""
    token = cloud.access_token()
    emulator.faults.next("/rest/api/2/myself", Status(500), times=None)
    assert [cloud.whoami(token).status_code for _ in range(3)] == [500] * 3
    assert cloud.get("/rest/echo", token).status_code == 200
    emulator.faults.clear()
    assert cloud.whoami(token).status_code == 200


def test_unknown_kind_is_an_error(emulator: Emulator) -> None:
    """A misspelt kind raises at once, and is not a fault that never happens."""
    for where in ("tokens", ""):
        with pytest.raises(ValueError, match="kind of request"):
            emulator.faults.next(where, HTML())


def test_kinds(cloud: Client, emulator: Emulator) -> None:
    """Each kind of request has its own faults."""
    site, server = emulator.cloud.sites[0].url, emulator.data_center.url
    for kind, url in (
        ("authorize", f"{emulator.cloud.auth_url}/authorize"),
        ("accessible-resources", f"{emulator.cloud.api_url}/oauth/token/accessible-resources"),
        ("me", f"{emulator.cloud.api_url}/me"),
        ("tenant_info", f"{site}/_edge/tenant_info"),
        ("media", f"{emulator.cloud.media_url}/avatars/jira.png"),
        ("metadata", f"{server}/.well-known/oauth-authorization-server"),
        ("token", f"{server}/rest/oauth2/latest/token"),
        ("revoke", f"{server}/rest/oauth2/latest/revoke"),
        ("resource", f"{server}/rest/api/2/serverInfo"),
        ("foreign", f"{emulator.foreign_url}/x"),
    ):
        emulator.faults.next(kind, Status(599))
        assert cloud.get(url).status_code == 599, kind
        assert emulator.faults.pending(kind) == 0
