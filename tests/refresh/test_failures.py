"""The token endpoint fails: no usable answer, throttled, refused, misconfigured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    ExpiryPolicy,
    LoginRequiredError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock, stored_login
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    CloseAfter,
    CloseBefore,
    CutBody,
    Hold,
    Status,
    TruncatedJSON,
)

from .stores import FragileStore, Sleeper

Landed = Callable[[], None]


def unavailable(client: AtlassianOAuthClient) -> TokenEndpointUnavailableError:
    """What a caller is told."""
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        client.get_access_token()
    return caught.value


# --- no usable answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [CloseAfter(), TruncatedJSON(), CutBody(), HTML(after=True), Status(502, after=True)]
)
def test_cloud_recovers_by_itself_from_a_lost_answer(
    emulator: AtlassianEmulator, events: Any, landed: Landed, fault: Any, expired_client: Any
) -> None:
    """The server rotated, the answer was lost: the same refresh token again, inside the grace."""
    client = expired_client(on_event=events, answer=fault)
    assert client.test_connection().name
    landed()
    outcomes = [request.outcome for request in emulator.token_requests]
    assert outcomes == ["issued", "issued", "replayed_in_grace"]
    assert events.names == ["replayed"]
    assert not emulator.revoked_families


def test_a_lost_answer_is_asked_for_again_for_two_minutes(
    emulator: AtlassianEmulator, clock: FakeClock, events: Any, landed: Landed, expired_client: Any
) -> None:
    """The endpoint answers 500 for a long time: resent for two minutes, told, and tried anew."""
    client = expired_client(on_event=events)
    began = clock.time()
    emulator.faults.next("token", Status(500), times=None)
    failure = unavailable(client)
    assert (failure.outcome, failure.status) == ("ambiguous", 500)
    assert 100 < clock.time() - began <= 120
    landed()
    assert events.names == ["unavailable"]
    emulator.faults.clear()
    clock.advance(5)
    assert client.get_access_token()
    assert client.status().pending_since is None


def test_for_five_seconds_after_a_failed_window_requests_fail_at_once(
    emulator: AtlassianEmulator, clock: FakeClock, expired_client: Any
) -> None:
    """The known reason is told, and the token endpoint is left alone; then it is asked again."""
    client = expired_client(answer=Status(500), times=None)
    first = unavailable(client)
    emulator.reset_log()
    for _ in range(10):
        again = unavailable(client)
        assert (str(again), again.outcome, again.status) == (str(first), "ambiguous", 500)
        clock.advance(0.49)
    assert not emulator.token_requests
    clock.advance(0.2)
    emulator.faults.clear()
    assert client.get_access_token()


def test_a_known_failure_may_be_forgotten_by_a_flight_at_any_moment(
    emulator: AtlassianEmulator, expired_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that has just seen it tells it, although another thread has forgotten it since."""
    client = expired_client(answer=Status(500), times=None)
    unavailable(client)
    source = client._source
    seen = iter([source._failure])
    forgotten = property(lambda _: next(seen, None), lambda _source, _failure: None)
    monkeypatch.setattr(type(source), "_failure", forgotten, raising=False)
    emulator.reset_log()
    assert unavailable(client).status == 500
    assert not emulator.token_requests


def test_what_failed_a_moment_ago_is_not_asked_for_beside_the_traffic_either(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, landed: Landed
) -> None:
    """A known failure is told to those who need a new token; a token that serves is handed out."""
    client = make_client(expiry=ExpiryPolicy(jitter=0))
    first = client.get_access_token()
    clock.advance(3600 - 590)
    emulator.faults.next("token", Status(500), times=None)
    assert client.get_access_token() == first
    landed()
    assert emulator.count("refresh_token") > 3
    emulator.reset_log()
    assert client.get_access_token() == first
    with pytest.raises(TokenEndpointUnavailableError):
        client.token_set(rejected=first)
    landed()
    assert not emulator.token_requests


def test_a_token_is_not_resent_after_the_grace_of_a_journalled_attempt(
    emulator: AtlassianEmulator, clock: FakeClock, expired_client: Any
) -> None:
    """What was sent nine and a half minutes ago is resent for half a minute, not for two."""
    client = expired_client(answer=Status(500), times=None)
    unavailable(client)
    first_sent = client.status().pending_since
    clock.advance(first_sent + 570 - clock.time())
    emulator.reset_log()
    unavailable(client)
    assert all(request.at <= first_sent + 600 for request in emulator.token_requests)
    assert len(emulator.token_requests) > 1


def test_a_clock_that_is_set_back_stretches_no_resend(
    emulator: AtlassianEmulator, clock: FakeClock, expired_client: Any
) -> None:
    """The answer is lost, the server is down, and the wall clock goes back an hour meanwhile: two
    minutes are two minutes, so the refresh token is not sent again after the grace.
    """
    sleeper = Sleeper(clock)
    client = expired_client(clock=sleeper, answer=CloseAfter())
    emulator.faults.next("token", Status(502), times=1000)
    sleeper.during_sleep = lambda: clock.jump(-3600)
    began = clock.monotonic()
    unavailable(client)
    assert clock.monotonic() - began <= 120


class Standing:
    """A clock that test libraries have stopped: a sleep returns at once, and no time passes."""

    def __init__(self, clock: FakeClock) -> None:
        self.time, self.monotonic = clock.time, clock.monotonic

    def sleep(self, _: float) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    "fault",
    [Status(503), Status(503, retry_after=1), Status(429), CloseBefore()],
    ids=["503", "Retry-After", "429", "closed"],
)
@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_clock_that_stands_still_keeps_no_caller(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, fault: Any, flavour: str
) -> None:
    """The refresh ends after a bounded number of requests, whatever the clock says."""
    client = make_client(flavour, clock=Standing(clock))
    clock.advance(7200)
    emulator.faults.next("token", fault, times=None)
    unavailable(client)
    assert 1 < emulator.count("refresh_token") <= 21


class Replaced(Standing):
    """The clocks as test libraries replace and restore them: monotonic time jumps, both ways."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.ahead, real = 0.0, clock.monotonic
        self.monotonic = lambda: real() + self.ahead


@pytest.mark.parametrize("fault", [Status(500), Status(401, '{"error": "access_denied"}')])
@pytest.mark.parametrize("ahead", [1.8e9, 3600.0, -900.0])
def test_a_failure_under_a_replaced_clock_is_forgotten_with_it(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, fault: Any, ahead: float
) -> None:
    """A test stops the clock, the endpoint fails in it, and the clock is put back: it is asked."""
    replaced = Replaced(clock)
    client = make_client(clock=replaced)
    clock.advance(7200)
    replaced.ahead = ahead
    emulator.faults.next("token", fault, times=None)
    with pytest.raises(TokenEndpointError):
        client.get_access_token()
    emulator.faults.clear()
    replaced.ahead = 0.0
    if ahead < 0:
        clock.advance(5)
    assert client.get_access_token()


def test_data_center_says_what_happened_to_a_lost_answer(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    events: Any,
    landed: Landed,
    kept: Any,
) -> None:
    """No grace: one resend, then the truth. Nothing is deleted, nothing is asked again."""
    store = FragileStore()
    client = make_client("data_center", store=store, on_event=events)
    before = kept(client)
    clock.advance(3600)
    emulator.faults.next("token", CloseAfter())
    for another in (client, client, another_process("data_center", store=store)):
        with pytest.raises(LoginRequiredError, match="answer was lost") as caught:
            another.get_access_token()
        assert caught.value.reason == "answer_lost"
    assert kept(client) == before
    assert client.status().state == "login_required"
    landed()
    assert emulator.count("refresh_token") == 2
    assert events.names == ["refused"]


@pytest.mark.parametrize(
    "refusal",
    [(401, "access_denied"), (400, "invalid_client"), (403, "unauthorized_client")],
    ids=lambda refusal: refusal[1],
)
def test_a_lost_answer_is_not_forgotten_for_a_refused_registration(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, refusal: tuple[int, str]
) -> None:
    """The answer is lost, and then the secret is wrong for a while: the login ends with the reason
    that is true.
    """
    client = make_client("data_center")
    clock.advance(3600)
    emulator.faults.next("token", CloseAfter())
    status, error = refusal
    emulator.faults.next("token", Status(status, f'{{"error": "{error}"}}'))
    with pytest.raises(TokenRequestRefusedError):
        client.get_access_token()
    assert client.status().pending_since
    clock.advance(5)
    with pytest.raises(LoginRequiredError) as caught:
        client.get_access_token()
    assert caught.value.reason == "answer_lost"


def test_data_center_survives_an_answer_that_was_lost_before_the_rotation(
    expired_client: Any,
) -> None:
    """The connection broke before the server did anything: the one resend succeeds."""
    client = expired_client("data_center", answer=CloseBefore())
    assert client.test_connection().name
    assert client.status().generation == 2


def test_an_endpoint_that_cannot_be_reached_loses_nothing(
    clock: FakeClock, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is down: three tries, a typed error, nothing of it on record; then it goes on."""
    client = make_client(store=FragileStore())
    before = stored_login(client)
    clock.advance(3600)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(urllib3.util.connection, "create_connection", refuse)
        failure = unavailable(client)
    assert failure.outcome == "not_sent"
    assert clock.slept == [0.5, 1.0]
    assert stored_login(client) == before
    assert client.get_access_token()


# --- throttled ------------------------------------------------------------------------------------


def test_a_short_retry_after_is_waited_for(
    emulator: AtlassianEmulator, clock: FakeClock, expired_client: Any
) -> None:
    """429 with Retry-After: 5: the flight waits for 5 s, or up to a quarter longer, and goes on."""
    client = expired_client(answer=Status(429, retry_after=5))
    client.get_access_token()
    (slept,) = clock.slept
    assert 5 <= slept <= 6.25
    assert emulator.count("refresh_token", "issued") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
@pytest.mark.parametrize("times", [2, 20])
def test_short_waits_in_a_row_fail_no_request(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, flavour: str, times: int
) -> None:
    """503 with Retry-After: 1, twice and more: each is waited for, and no caller is told. So it is
    with a grace and without: the server says that it has not carried out the request.
    """
    client = make_client(flavour)
    clock.advance(7200)
    emulator.reset_log()
    emulator.faults.next("token", Status(503, retry_after=1), times=times)
    assert client.get_access_token()
    assert len(clock.slept) == times
    assert all(1 <= slept <= 1.25 for slept in clock.slept)
    assert emulator.count("refresh_token", "issued") == 1
    assert client.status().pending_since is None
    assert not emulator.revoked_families


def test_a_wait_that_cannot_be_noted_does_not_count_as_sent(
    emulator: AtlassianEmulator, clock: FakeClock, expired_client: Any
) -> None:
    """The store fails after a 429: the flight waits all the same, and an answer that is lost then
    is the first one, for which a server without a grace is asked once more.
    """
    store, journals = FragileStore(), list[int]()

    def fail_second(_: object) -> None:
        journals.append(1)
        if len(journals) == 2:
            raise TokenStoreError("broken by the test")

    client = expired_client("data_center", store=store, answer=Status(429, retry_after=1))
    clock.advance(3600)
    emulator.faults.next("token", CloseBefore())
    store.before["journal"] = fail_second
    assert client.get_access_token()
    assert len(journals) == 3
    assert emulator.count("refresh_token", "issued") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
@pytest.mark.parametrize(("late", "jump"), [(0, -1800), (0, 86400), (700, 0)])
def test_a_wait_that_ends_at_another_time_costs_nothing(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    expired_client: Any,
    monkeypatch: pytest.MonkeyPatch,
    flavour: str,
    late: float,
    jump: float,
) -> None:
    """While a refresh waits as a 429 has told it to, the wall clock is set back or forward, or the
    machine sleeps: it goes on then, since nothing is at stake, however late it is.
    """
    client, sleep = expired_client(flavour, answer=Status(429, retry_after=1)), clock.sleep
    clock.advance(3600)

    def slept(seconds: float) -> None:
        sleep(seconds + late)
        clock.jump(jump)

    monkeypatch.setattr(clock, "sleep", slept)
    assert client.get_access_token()
    assert emulator.count("refresh_token", "issued") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_waits_that_never_end_are_told_and_lose_nothing(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, flavour: str
) -> None:
    """503 with Retry-After: 1, without end: after 20 s the callers are told when to come again, the
    refresh token counts as unsent, and it works then.
    """
    client = make_client(flavour)
    clock.advance(7200)
    emulator.faults.next("token", Status(503, retry_after=1), times=None)
    failure = unavailable(client)
    assert (failure.outcome, failure.status) == ("throttled", 503)
    assert 1 <= failure.retry_after <= 1.25  # type: ignore[operator]
    assert len(clock.slept) == 20
    assert all(1 <= slept <= 1.25 for slept in clock.slept)
    assert client.status().pending_since is None
    emulator.faults.clear()
    clock.advance(1.25)
    assert client.get_access_token()


@pytest.mark.parametrize("retry_after", [None, 0], ids=["none", "zero"])
def test_a_throttle_without_a_time_is_waited_for_ever_longer(
    clock: FakeClock, retry_after: int | None, expired_client: Any
) -> None:
    """429 without Retry-After, or with one that tells nothing: about 1, 2 and 4 s with jitter, and
    then it works.
    """
    client = expired_client(answer=Status(429, retry_after=retry_after), times=3)
    assert client.get_access_token()
    assert len(clock.slept) == 3
    for slept, base in zip(clock.slept, (1, 2, 4), strict=True):
        assert base <= slept <= 1.5 * base


def test_a_throttle_that_stays_is_told_and_remembered_by_all(
    emulator: AtlassianEmulator, clock: FakeClock, another_process: Any, expired_client: Any
) -> None:
    """After 20 s of waiting at most the callers learn when to come back, also those of another
    process, and the endpoint is left alone until then.
    """
    store = FragileStore()
    client = expired_client(store=store, answer=Status(429), times=None)
    failure = unavailable(client)
    assert failure.outcome == "throttled"
    assert 8 <= failure.retry_after <= 24  # type: ignore[operator]
    assert 7 <= sum(clock.slept) <= 20
    emulator.reset_log()
    other = unavailable(another_process(store=store))
    assert (other.outcome, other.retry_after) == ("throttled", pytest.approx(failure.retry_after))
    assert unavailable(client).retry_after == pytest.approx(failure.retry_after)
    assert not emulator.token_requests
    emulator.faults.clear()
    clock.advance(failure.retry_after or 0)
    assert client.get_access_token()


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_retry_after_is_told_and_remembered_by_all(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    events: Any,
    landed: Landed,
    status: int,
    expired_client: Any,
) -> None:
    """Retry-After: 300: the callers are told to come then, or up to a quarter of it later, but all
    the same; no request is sent before, then it goes on.
    """
    client = expired_client(on_event=events, answer=Status(status, retry_after=300))
    failure = unavailable(client)
    wait = failure.retry_after
    assert wait
    assert 300 <= wait <= 375
    for _ in range(3):
        landed()
        assert (failure.outcome, failure.retry_after) == ("throttled", pytest.approx(wait))
        failure = unavailable(client)
    landed()
    assert emulator.count("refresh_token") == 1
    assert client.status().throttled_until == pytest.approx(clock.time() + wait)
    clock.advance(wait)
    assert client.get_access_token()
    landed()
    assert events.names == ["throttled"] * 4 + ["refreshed"]


@pytest.mark.parametrize("flavour", ["cloud", "bitbucket"])
@pytest.mark.parametrize("wait", [700, 3600, 100_000])
def test_a_wait_that_is_longer_than_the_grace_costs_no_login(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    flavour: str,
    wait: int,
) -> None:
    """The answer was lost, and the next one says to come back when it cannot be had any more: it is
    asked for within the grace all the same, by whatever process comes then.
    """
    store = FragileStore()
    client = make_client(flavour, store=store)
    clock.advance(7200)
    emulator.faults.next("token", CloseAfter())
    emulator.faults.next("token", Status(429, retry_after=wait), times=None)
    sent_at = clock.time()
    for each in (client, another_process(flavour, store=store)):
        failure = unavailable(each)
        assert failure.outcome == "throttled"
        assert sent_at + 500 < clock.time() + (failure.retry_after or 0) < sent_at + 600
    emulator.reset_log()
    clock.advance(failure.retry_after or 0)
    unavailable(client)
    assert emulator.token_requests
    clock.advance(unavailable(client).retry_after or 0)
    emulator.faults.clear()
    assert client.get_access_token()
    assert not emulator.revoked_families


def test_a_throttle_far_ahead_is_a_clock_that_was_set_back(
    clock: FakeClock, expired_client: Any
) -> None:
    """The clock jumps back by a day: the remembered Retry-After locks no client out."""
    client = expired_client(answer=Status(429, retry_after=300))
    unavailable(client)
    clock.jump(-86400)
    assert client.get_access_token()


def test_a_failure_in_the_stale_window_fails_no_request(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, events: Any, landed: Landed
) -> None:
    """The renewal beside the traffic fails: reported, not tried for 30 s, and the token serves."""
    client = make_client(on_event=events, expiry=ExpiryPolicy(jitter=0))
    first = client.get_access_token()
    clock.advance(3600 - 590)
    emulator.faults.next("token", Status(429, retry_after=60))
    assert client.get_access_token() == first
    landed()
    assert events.names == ["throttled"]
    for _ in range(5):
        assert client.get_access_token() == first
    landed()
    assert emulator.count("refresh_token") == 1
    clock.advance(75)
    client.get_access_token()
    landed()
    assert client.get_access_token() != first
    assert emulator.count("refresh_token") == 2


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
@pytest.mark.parametrize("error", ["unauthorized_client", "invalid_grant"])
def test_a_revoked_grant_asks_for_a_login_once(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    events: Any,
    landed: Landed,
    kept: Any,
    flavour: str,
    error: str,
) -> None:
    """LoginRequiredError says why, the record stays, no process sends the dead token again."""
    store = FragileStore()
    emulator.cloud.dead_refresh_token_error = error
    client = make_client(flavour, store=store, on_event=events)
    before = kept(client)
    clock.advance(3600)
    getattr(emulator, flavour).revoke_grants()
    for another in (client, client, another_process(flavour, store=store)):
        with pytest.raises(LoginRequiredError, match="oauth_start") as caught:
            another.get_access_token()
        assert caught.value.reason == "refused"
    assert kept(client) == before
    landed()
    assert emulator.count("refresh_token") == 1
    assert events.names == ["refused"]
    client.oauth_complete(getattr(emulator, flavour).authorize(client.oauth_start()))
    assert client.test_connection().name


def test_without_a_login_the_error_says_how_to_make_one(
    make_client: Any, emulator: AtlassianEmulator
) -> None:
    """No login is on record: no request is sent."""
    client = make_client(login=False)
    with pytest.raises(LoginRequiredError, match="oauth_complete") as caught:
        client.get_access_token()
    assert caught.value.reason == "no_token"
    assert not emulator.requests


def test_without_a_refresh_token_the_login_ends_with_the_access_token(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """The error names the scope that is missing, offline_access."""
    client = make_client(scopes=["read:jira-user"])
    assert client.get_access_token()
    clock.advance(3600)
    with pytest.raises(LoginRequiredError, match="offline_access") as caught:
        client.get_access_token()
    assert caught.value.reason == "no_refresh_token"
    assert emulator.count("refresh_token") == 0


# --- misconfigured --------------------------------------------------------------------------------


def test_a_wrong_secret_is_never_a_reason_to_log_in(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Cloud answers access_denied to a wrong secret: TokenRequestRefusedError, login kept."""
    store = FragileStore()
    good = make_client(store=store)
    before = stored_login(good)
    clock.advance(3600)
    wrong = make_client(store=store, client_secret="not the secret", login=False)
    with pytest.raises(TokenRequestRefusedError) as caught:
        wrong.get_access_token()
    assert (caught.value.error, caught.value.status) == ("access_denied", 401)
    assert stored_login(good) == before
    assert good.get_access_token()


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_wrong_secret_is_sent_once_in_five_seconds(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, flavour: str
) -> None:
    """20 calls of one client: one token request. One with the right secret is not affected."""
    store = FragileStore()
    good = make_client(flavour, store=store)
    wrong = make_client(flavour, store=store, client_secret="not the secret", login=False)
    clock.advance(7200)
    texts = set()
    for _ in range(20):
        with pytest.raises(TokenRequestRefusedError) as caught:
            wrong.get_access_token()
        texts.add(str(caught.value))
        clock.advance(0.2)
    assert len(texts) == emulator.count("refresh_token") == 1
    clock.advance(1.1)
    with pytest.raises(TokenRequestRefusedError):
        wrong.get_access_token()
    assert emulator.count("refresh_token") == 2
    assert good.get_access_token()
    assert wrong.get_access_token() == good.get_access_token()  # it may use what is there


def test_a_client_with_the_right_secret_does_not_fail_with_the_wrong_one(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, start: Any
) -> None:
    """It waits for the flight of another client, which is refused, and then asks by itself."""
    store = FragileStore()
    good = make_client(store=store)
    wrong = make_client(store=store, client_secret="not the secret", login=False)
    wrong.get_access_token()
    clock.advance(3600)
    hold = Hold()
    emulator.faults.next("token", hold)
    refused = start(wrong.get_access_token)
    hold.wait_arrived()
    served = start(good.get_access_token)
    hold.release()
    assert isinstance(refused.exception(20), TokenRequestRefusedError)
    assert served.result(20)
