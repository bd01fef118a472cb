"""Token sources: a static token, and the threads that bring what callers wait for."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from concurrent.futures import Future
from typing import Any

import pytest
import trio

from atlassian_auth_adapter import (
    ConfigurationError,
    FreshTokenRejectedError,
    LoginRequiredError,
    StaticTokenSource,
)
from atlassian_auth_adapter.atlassian.gateway import Location
from atlassian_auth_adapter.flights import landed, result_of, take_off

RUNNERS = {"asyncio": lambda function: asyncio.run(function()), "trio": trio.run}
BASE = "https://jira.company.com/jira"


def test_a_static_token_is_handed_out() -> None:
    """A personal access token is used as it is, under its base URL only."""
    source = StaticTokenSource("p4t-s3cr3t", BASE + "/")
    assert source.token_set().access_token == "p4t-s3cr3t"
    assert source.current() is source.token_set()
    assert source.token_set("another one") is source.token_set()
    assert source.resource_server.base_url == BASE
    assert source.resource_server.route(Location.of(BASE + "/rest")).bearer
    assert not source.resource_server.route(Location.of("https://jira.company.com/x")).bearer
    assert not source.has_ended(source.token_set())


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_a_rejected_static_token_has_no_successor(run: Any) -> None:
    """The server's rejection is handed to the caller: there is no other token."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    with pytest.raises(FreshTokenRejectedError, match="make a new one") as caught:
        source.token_set("p4t-s3cr3t")
    assert "p4t" not in str(caught.value)

    async def main() -> None:
        assert (await source.token_set_async()).access_token == "p4t-s3cr3t"
        with pytest.raises(FreshTokenRejectedError):
            await source.token_set_async("p4t-s3cr3t")

    run(main)


def test_a_static_source_does_not_print_its_token() -> None:
    """Neither the repr nor a pickle has the token; the pickle leads back to the source."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    assert "p4t" not in repr(source) + str(source)
    pickled = pickle.dumps(source)
    assert b"p4t" not in pickled
    assert pickle.loads(pickled) is copy.deepcopy(source) is source


def test_a_static_source_of_another_process_says_so() -> None:
    """A pickle has no token to bring along: the first use says what to do."""
    pickled = pickle.dumps(StaticTokenSource("p4t-s3cr3t", BASE))
    gc.collect()
    stranger = pickle.loads(pickled)
    assert stranger.current() is None
    with pytest.raises(ConfigurationError, match="another process"):
        stranger.token_set()


@pytest.mark.parametrize("token", ["", "p4t\n", " p4t", "p4t with spaces", "p4t\u20ac", None, 5])
def test_a_static_token_that_is_none_is_refused(token: Any) -> None:
    """A token read from a file with its line break is told at once, not by a broken header."""
    with pytest.raises(ConfigurationError, match="access_token") as caught:
        StaticTokenSource(token, BASE)
    assert "p4t" not in str(caught.value)


def test_a_static_token_is_not_sent_in_clear() -> None:
    """Plain http is refused outside of this machine."""
    with pytest.raises(ConfigurationError, match="base_url"):
        StaticTokenSource("p4t", "http://jira.company.com")


# --- flights --------------------------------------------------------------------------------------


def test_a_flight_runs_on_a_thread_of_ours() -> None:
    """Not on the caller's, no daemon, and `afterwards` comes with the result there."""
    seen: list[Any] = []
    flight: Future[threading.Thread] = Future()
    done = threading.Event()

    def afterwards() -> None:
        seen.append((flight.done(), threading.current_thread()))
        done.set()

    assert take_off(threading.current_thread, afterwards, flight) is flight
    thread = flight.result(10)
    assert done.wait(10)
    assert thread is not threading.current_thread()
    assert not thread.daemon
    assert seen == [(True, thread)]


def test_nobody_can_cancel_a_flight() -> None:
    """A refresh that was sent runs to its end, whoever was waiting."""
    go = threading.Event()
    flight = take_off(lambda: go.wait(10))
    assert not flight.cancel()
    go.set()
    assert flight.result(10)


def test_without_threads_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter shuts down no thread can be started: nothing is lost all the same."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert take_off(threading.get_ident).result(0) == threading.get_ident()


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_each_waiter_gets_an_error_of_its_own(run: Any) -> None:
    """One failed flight, many waiters: no traceback grows, no two raise the same object."""
    cause = OSError("why")

    def fail() -> None:
        raise LoginRequiredError("log in", reason="refused") from cause

    flight = take_off(fail)
    errors: list[LoginRequiredError] = []

    async def main() -> None:
        with pytest.raises(LoginRequiredError, match="log in") as caught:
            await landed(flight)
        errors.append(caught.value)

    for _ in range(2):
        with pytest.raises(LoginRequiredError, match="log in") as caught:
            result_of(flight)
        errors.append(caught.value)
        run(main)
    assert len({id(error) for error in errors}) == 4
    assert {error.reason for error in errors} == {"refused"}
    assert all(error.__cause__ is cause for error in errors)


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_a_foreign_error_arrives_as_it_is(run: Any) -> None:
    """What a store of somebody else raises is not dressed up."""
    flight = take_off(lambda: 1 / 0)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await landed(flight)

    run(main)


def test_a_loop_that_has_ended_does_not_stop_a_flight() -> None:
    """The waiter's event loop is gone; the work is done and nobody is disturbed."""
    go = threading.Event()
    flight = take_off(lambda: go.wait(10))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(landed(flight), 0.01)

    asyncio.run(main())
    go.set()
    assert flight.result(10)
