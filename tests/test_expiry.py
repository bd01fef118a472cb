"""When a token counts as stale and as expired."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from typing import NoReturn
from unittest import mock

import pytest
import requests
from hypothesis import given, strategies as st

from atlassian_auth_adapter import (
    COMMERCIAL,
    AtlassianAuth,
    ExpiryPolicy,
    MemoryTokenStore,
    TokenSet,
)
from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.atlassian.products import cloud_server
from atlassian_auth_adapter.clock import SYSTEM_CLOCK, SystemClock
from atlassian_auth_adapter.expiry import Freshness
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.refresh.driver import Parties
from atlassian_auth_adapter.refresh.login import SharedLogin
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.refresh.steps import Instant, Rules, Snapshot
from atlassian_auth_adapter.testing.contracts.world import BEARER, FixedTokenSource

F = Freshness
SERVER = cloud_server(COMMERCIAL)
ORDER = [F.EXPIRED, F.STALE, F.FRESH]
lifetimes = st.floats(0, 400 * 86400) | st.sampled_from([0.0, 1.0, 10.0, 20.0, 3600.0, 7200.0])
shares = st.floats(0, 1)
seconds = st.floats(-1e6, 1e8)
policies = st.builds(
    ExpiryPolicy,
    stale=st.floats(0, 7200),
    stale_fraction=st.floats(0, 1),
    jitter=st.floats(0, 600),
    expired=st.floats(0, 600),
    expired_fraction=st.floats(0, 1),
    minimum=st.just(10.0),  # else Hypothesis chooses
)


def _no_request(_: TokenSet) -> NoReturn:
    pytest.fail("no request")


def _living(lifetime: float) -> TokenSet:
    return TokenSet("token", expires_at=1e9 + lifetime, obtained_at=1e9)


@pytest.mark.parametrize(
    ("lifetime", "remaining", "share", "expected"),
    [
        (3600, 3600, 0, F.FRESH),
        (3600, 660.5, 0, F.FRESH),
        (3600, 660, 0, F.STALE),  # 11 minutes
        (3600, 480.5, 1, F.FRESH),  # ... less a jitter of up to three
        (3600, 480, 1, F.STALE),
        (3600, 60.5, 0, F.STALE),
        (3600, 60, 0, F.EXPIRED),
        (200, 50.5, 0, F.FRESH),
        (200, 50, 0, F.STALE),  # a quarter of the life
        (200, 35.5, 1, F.FRESH),  # half of the time before it is expired
        (200, 35, 1, F.STALE),
        (200, 20, 0, F.EXPIRED),  # a tenth of it
        (60, 10.5, 0, F.STALE),
        (60, 10, 0, F.EXPIRED),  # the seed's 10 seconds
        (30, 10.5, 0, F.FRESH),  # no stale window is left
        (30, 10, 0, F.EXPIRED),
        (8, 4.5, 0, F.FRESH),
        (8, 4, 0, F.EXPIRED),  # half its life: a token of 8 seconds must be usable at all
        (0, 0, 0, F.EXPIRED),
        (3600, -5, 0, F.EXPIRED),
    ],
)
def test_the_windows_are_where_the_documentation_says(
    lifetime: float, remaining: float, share: float, expected: Freshness
) -> None:
    """A token is renewed beside the traffic in its last minutes, before it in the last one."""
    assert ExpiryPolicy().freshness(_living(lifetime), remaining, share) is expected


@given(policies, lifetimes, seconds, seconds, shares)
def test_a_token_with_more_time_left_is_never_worse(
    policy: ExpiryPolicy, lifetime: float, one: float, other: float, share: float
) -> None:
    """From fresh over stale to expired there is no way back as time passes."""
    token_set = _living(lifetime)
    more, less = max(one, other), min(one, other)
    assert ORDER.index(policy.freshness(token_set, more, share)) >= ORDER.index(
        policy.freshness(token_set, less, share)
    )


@given(policies, lifetimes | st.just(math.inf), seconds, seconds, shares)
def test_a_short_look_and_a_long_one_find_the_same_tokens_fresh(
    policy: ExpiryPolicy, lifetime: float, wall: float, monotonic: float, share: float
) -> None:
    """What is worked out once for all requests says the same as the policy at each of them."""
    snapshot = Snapshot(Login(token_set=_living(lifetime)), 1e9 + lifetime, share)
    for now in ((1e9 + wall, 1e9 + monotonic), (1e9 + wall, 1e9), (1e9, 1e9 + monotonic)):
        for each in (policy, ExpiryPolicy()):  # sources with their own share a snapshot
            is_fresh = snapshot.freshness(*now, each) is F.FRESH
            assert (snapshot.fresh(*now, each) is not None) == is_fresh


@given(policies, lifetimes, seconds, seconds)
def test_with_the_clocks_of_the_machine_a_source_looks_at_both(
    policy: ExpiryPolicy, lifetime: float, wall: float, monotonic: float
) -> None:
    """Nothing is called then but the two; what a source hands out is what the policy calls fresh,
    also after another token set has taken its place. An auth object that looks itself agrees.
    """
    with mock.patch("time.time") as time_of_day, mock.patch("time.monotonic") as uptime:
        time_of_day.return_value = uptime.return_value = 1e9
        source = RefreshingTokenSource(
            Rules(TokenKey(SERVER.issuer, "client", "default"), SERVER, policy),
            Parties(store := MemoryTokenStore(), SYSTEM_CLOCK, _no_request, 1.0, 1.0, 1.0, None),
        )
        assert source.fresh() is None
        careful = FixedTokenSource(OneServer("https://jira.example.com"))
        careful.quick_look = lambda: (careful, source.known, source.fresh)  # type: ignore[method-assign]
        auth = AtlassianAuth(careful)
        for each in (lifetime, lifetime / 2, None):
            time_of_day.return_value = uptime.return_value = 1e9
            login = None if each is None else Login(token_set=_living(each))
            source._shared.publish(login, Instant(1e9, 1e9), store)
            snapshot = source._shared.snapshot
            for now in ((1e9, 1e9), (1e9 + wall, 1e9), (1e9, 1e9 + monotonic)):
                time_of_day.return_value, uptime.return_value = now
                is_fresh = snapshot and snapshot.freshness(*now, policy) is F.FRESH
                expected = snapshot.login.token_set if is_fresh else None
                request = requests.Request("GET", "https://jira.example.com/x").prepare()
                sent = auth(request).headers["Authorization"]
                assert sent == (expected or TokenSet(BEARER)).authorization
                found = auth.at_once("https://jira.example.com/y")
                assert (found and found[1]) is expected
                assert source.fresh() is expected


@given(policies, lifetimes, seconds, shares)
def test_what_a_caller_gets_is_valid_for_ten_more_seconds(
    policy: ExpiryPolicy, lifetime: float, remaining: float, share: float
) -> None:
    """Whatever the policy, no token is handed out in its last 10 s (half its life, if shorter)."""
    token_set = _living(lifetime)
    if remaining <= min(10.0, token_set.lifetime / 2):
        assert policy.freshness(token_set, remaining, share) is F.EXPIRED


@given(policies, lifetimes, shares)
def test_a_token_that_has_just_been_issued_can_be_used(
    policy: ExpiryPolicy, lifetime: float, share: float
) -> None:
    """No lifetime makes the usual policy renew a token that is still at the start of its life."""
    token_set = _living(lifetime)
    if token_set.lifetime > 0:
        assert ExpiryPolicy().freshness(token_set, token_set.lifetime, share) is F.FRESH
        assert policy.freshness(token_set, math.inf, share) is F.FRESH


@given(lifetimes, seconds, shares)
def test_jitter_only_shortens_the_stale_window(
    lifetime: float, remaining: float, share: float
) -> None:
    """It may keep a token fresh a little longer; it moves neither its end nor an expired one."""
    token_set, policy = _living(lifetime), ExpiryPolicy()
    late, early = (policy.freshness(token_set, remaining, each) for each in (share, 0.0))
    assert ORDER.index(late) >= ORDER.index(early)
    assert (late is F.EXPIRED) == (early is F.EXPIRED)


@given(policies, lifetimes, shares)
def test_jitter_leaves_half_of_the_time_for_a_renewal_beside_the_traffic(
    policy: ExpiryPolicy, lifetime: float, share: float
) -> None:
    """However short the life of a token is, and whatever the policy."""
    token_set = _living(lifetime)
    whole, expired = policy.windows(token_set)
    rest, _ = policy.windows(token_set, share)
    assert rest - expired >= min((whole - expired) / 2, whole - expired) - 1e-6


def test_processes_agree_on_the_jitter_of_a_token_which_is_spread_over_tokens() -> None:
    """Those that share a login renew it within a sixteenth of the jitter, each token at its own
    time: so many processes do not bring all renewals forward.
    """

    def share(token: str) -> float:
        shared = SharedLogin("login")
        token_set = TokenSet(token, expires_at=4600.0, obtained_at=1000.0)
        shared.publish(Login(1, "login", token_set), Instant(1000.0, 0.0), None)
        assert shared.snapshot
        return shared.snapshot.jitter_share

    shares = [(share(token), share(token)) for token in map(str, range(400))]
    assert all(abs(one - other) < 1 / 16 for one, other in shares)
    assert min(*shares)[0] >= 0
    assert max(*shares)[0] <= 1
    assert max(Counter(int(10 * one) for one, _ in shares).values()) < 80


def test_a_token_without_an_end_stays_fresh() -> None:
    """A personal access token without an end is never renewed."""
    assert ExpiryPolicy().freshness(TokenSet("token"), math.inf) is F.FRESH


def test_the_system_clock_tells_both_times() -> None:
    """The machine's clocks are used as they are."""
    clock = SystemClock()
    assert abs(clock.time() - time.time()) < 60
    assert clock.monotonic() <= clock.monotonic()


def test_the_system_clock_sleeps_on_either_kind_of_thread() -> None:
    """A sleep ends by itself, on the main thread and on a flight's."""
    clock, ended = SystemClock(), threading.Event()

    def sleep() -> None:
        clock.sleep(0.001)
        ended.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    clock.sleep(0.001)
    thread.join(10)
    assert ended.is_set()
