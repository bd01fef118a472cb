"""Pacing: how often resources that reject tokens cause refreshes. No server, no HTTP library."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from atlassian_auth_adapter.errors import FreshTokenRejectedError
from atlassian_auth_adapter.pacing import LONGEST_PAUSE, MOST_PATHS, Pacing


class Login:
    """A login whose token some paths reject; `refreshes` counts those that they have caused."""

    def __init__(self, accepts: Callable[[str, str], bool]) -> None:
        self.now, self.refreshes, self.accepts = 1000.0, 0, accepts
        self.waits: list[float] = []
        self.tokens = map("token-{}".format, itertools.count())
        self.token = next(self.tokens)
        self.pacing = Pacing(lambda: self.now)

    def get(self, path: str, *, tries: int = 1) -> bool:
        """Whether a request is answered; as the auth objects make it."""
        path = f"GET https://api.example.com{path}"
        if self.accepts(path, self.token):
            self.pacing.accepted(path)
            return True
        try:
            self.pacing.check(path, self.token)
        except FreshTokenRejectedError as error:
            self.waits.append(error.retry_after or 0.0)
            return False
        self.refreshes += 1
        self.token = next(self.tokens)
        is_rejected = not self.accepts(path, self.token)
        for _ in range(tries):  # so many requests share this refresh
            self.pacing.brought(path, self.token)
            self.pacing.brought(path, self.token, is_rejected=is_rejected)
        return not is_rejected

    def renew(self) -> None:
        """For another reason than a rejection."""
        self.token = next(self.tokens)


@pytest.mark.parametrize(
    "bad",
    [
        lambda _: "/bad",
        lambda n: f"/bad/{n % 2}",
        lambda n: f"/bad/{n % 7}",
        lambda n: f"/bad/{n}",
        lambda n: f"/bad/{n // 10}",
    ],
    ids=["one", "two in turn", "seven in turn", "always another", "sometimes another"],
)
@pytest.mark.parametrize("renewed_every", [10_000, 20, 1])
def test_resources_that_always_reject_cost_a_handful_of_refreshes_an_hour(
    bad: Callable[[int], str], renewed_every: int
) -> None:
    """Polled every 30 s beside one that answers, which never fails; also when the token is renewed
    in between because it expires, or by another process.
    """
    login = Login(lambda path, _: "/bad" not in path)
    for number in range(120):
        assert not login.get(bad(number))
        assert login.get("/fine")
        assert login.get(f"/fine/{number}")
        login.now += 30
        if number % renewed_every == 0:
            login.renew()
    assert 3 <= login.refreshes <= 10
    assert min(login.waits) > 0
    assert max(login.waits) <= LONGEST_PAUSE


def test_many_requests_at_one_moment_count_as_one() -> None:
    """64 requests have shared the refresh that did not help: the pause is that of one."""
    login = Login(lambda *_: False)
    login.get("/bad", tries=64)
    login.now += 29
    assert not login.get("/bad")
    assert login.refreshes == 1
    login.now += 1
    login.get("/bad")
    assert login.refreshes == 2


def test_a_path_that_has_accepted_a_token_is_refreshed_for_at_once() -> None:
    """Also while others have to wait; and once a refresh has helped, no other path has to."""
    revoked: set[str] = set()
    login = Login(lambda path, token: "/bad" not in path and token not in revoked)
    assert login.get("/fine")
    for number in range(10):
        assert not login.get(f"/bad/{number}")
    before = login.refreshes
    revoked.add(login.token)
    assert not login.get("/new")  # not known to accept anything
    assert login.get("/fine")
    assert login.refreshes == before + 1
    revoked.add(login.token)
    assert login.get("/other")


def test_a_resource_that_accepts_tokens_again_ends_its_pause_and_that_of_others() -> None:
    """An outage in which every token is rejected leaves nothing behind."""
    is_down = True
    login = Login(lambda *_: not is_down)
    for number in range(8):
        login.get(f"/{number % 4}")
        login.now += 60
    is_down = False
    assert login.get("/0")
    before, is_down = login.refreshes, True
    login.get("/1")
    assert login.refreshes == before + 1


def test_a_clock_that_a_test_library_replaces_leaves_no_pause_for_ever() -> None:
    """A pause was begun by a clock far ahead of the one that comes after it."""
    login = Login(lambda path, _: "/fine" in path)
    login.now = 1.8e9
    for number in range(5):
        login.get(f"/bad/{number}")
    before, login.now = login.refreshes, 50.0
    login.get("/bad/0")
    login.get("/another")
    assert login.refreshes > before


def test_what_is_remembered_is_bounded() -> None:
    """However many paths there are."""
    login = Login(lambda path, _: "/bad" not in path)
    for number in range(MOST_PATHS * 2):
        login.get(f"/fine/{number}")
        login.get(f"/bad/{number}")
        login.now += LONGEST_PAUSE
    known = login.pacing._paths, login.pacing._accepting
    assert [len(paths) for paths in known] == [MOST_PATHS] * 2
