"""Leases: taken, renewed, lost and released, at a place that a test controls."""

from __future__ import annotations

import threading
import time

import pytest

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.leases import checked_lease, held
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    in_forked_child,
    needs_fork,
)


class Place:
    """A LeaseKeeper in memory, whose leases end when the test says so."""

    def __init__(self):
        self.owner, self.renewals, self.calls = "", threading.Semaphore(0), []
        self.broken = set()

    def _called(self, what):
        self.calls.append(what)
        if what in self.broken:
            raise TokenStoreError(f"cannot {what}")

    def take(self, name, owner, seconds):
        self._called("take")
        self.owner = self.owner or owner
        return self.owner == owner

    def renew(self, name, owner, seconds):
        self.renewals.release()
        self._called("renew")
        return self.owner == owner

    def release(self, name, owner):
        self._called("release")
        if self.owner == owner:
            self.owner = ""


@pytest.fixture
def place():
    """A place with one lease, which is free."""
    return Place()


def holding(place, lease=100.0, timeout=0.0):
    """Within the context the lease is held."""
    return held(place, "the lease", lease=lease, timeout=timeout, place="the place")


def renewing():
    """The threads that renew a lease."""
    return [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_lease_is_held_within_the_context(place):
    """Taken before, free afterwards."""
    with holding(place):
        assert place.owner
    assert not place.owner
    assert place.calls == ["take", "release"]


def test_every_holder_has_a_token_of_its_own(place):
    """No holder can be taken for another one."""
    owners = set()
    for _ in range(3):
        with holding(place):
            owners.add(place.owner)
    assert len(owners) == 3


def test_a_wait_in_vain_says_where_and_for_how_long(place):
    """The error names lease, place and times; the holder keeps what it has."""
    place.owner = "another"
    with (
        pytest.raises(TokenStoreTimeoutError, match=r"the lease in the place for 0\.05 s.* 100 s"),
        holding(place, timeout=0.05),
    ):
        pytest.fail("two holders")
    assert place.owner == "another"
    assert place.calls.count("take") > 1


def test_a_lease_that_becomes_free_is_taken(place):
    """A later attempt succeeds."""
    place.owner, inside = "another", threading.Event()

    def wait():
        with holding(place, timeout=PATIENCE):
            inside.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    place.owner = ""
    assert inside.wait(PATIENCE)
    waiter.join(PATIENCE)


def test_a_lease_is_renewed_while_its_holder_lives(place):
    """Again and again, until it is left."""
    with holding(place, lease=0.01):
        for _ in range(3):
            assert place.renewals.acquire(timeout=PATIENCE)
        (thread,) = renewing()
        assert thread.daemon
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_lease_that_was_lost_is_not_renewed(place):
    """Another one has it: the renewals end, and leaving frees nothing."""
    with holding(place, lease=0.01):
        (thread,) = renewing()
        place.owner = "another"
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert place.owner == "another"


def test_a_renewal_that_fails_is_tried_again(place):
    """An outage that is shorter than the lease costs nothing."""
    place.broken.add("renew")
    with holding(place, lease=0.01):
        for _ in range(3):
            assert place.renewals.acquire(timeout=PATIENCE)


def test_a_take_that_fails_is_released(place):
    """Perhaps only its answer was lost; the error is the place's."""
    place.broken |= {"take", "release"}
    with pytest.raises(TokenStoreError, match="cannot take"), holding(place, timeout=PATIENCE):
        pytest.fail("holds nothing")
    assert place.calls == ["take", "release"]


def test_an_error_leaves_as_it_is():
    """Whether or not the lease can be released."""
    for error in (ZeroDivisionError, KeyboardInterrupt):
        for broken in (set(), {"release"}):
            place = Place()
            place.broken |= broken
            with pytest.raises(error), holding(place):
                raise error
            assert bool(place.owner) == bool(broken)


def test_a_lease_that_cannot_be_released_ends_by_itself(place):
    """What was done under it was done; that is no error."""
    place.broken.add("release")
    with holding(place):
        pass
    assert place.calls == ["take", "release"]


def test_a_lease_works_without_threads(place, monkeypatch):
    """A process that cannot start one has the lease for as long as it lasts."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with holding(place):
        assert place.owner
    assert not place.owner


def test_a_forked_child_releases_nothing(place):
    """It leaves the context like its parent, but the lease is its parent's."""
    needs_fork()

    def child():
        context.__exit__(None, None, None)
        return place.calls

    context = holding(place)
    context.__enter__()
    assert in_forked_child(child) == ["take"]
    context.__exit__(None, None, None)
    assert place.calls == ["take", "release"]


def test_a_lease_lasts_a_positive_number_of_seconds():
    """Everything else is a mistake of the program."""
    for seconds in (0, -1, float("nan"), float("inf"), 1e300, None, "60"):
        with pytest.raises(ConfigurationError, match="lease must be"):
            checked_lease(seconds)


@pytest.mark.parametrize("sleep", [lambda _: None, time.sleep], ids=["no sleep", "sleep"])
def test_a_clock_that_a_test_library_has_stopped_ends_the_wait_all_the_same(
    place, monkeypatch, sleep
):
    """The lease is held by another process, and time stands still: TokenStoreTimeoutError."""
    place.owner = "another process"
    monkeypatch.setattr("time.monotonic", lambda: 1.8e9)
    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(TokenStoreTimeoutError), holding(place, timeout=0.1):
        pass
    assert 1 < place.calls.count("take") < 20
