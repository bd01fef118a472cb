"""Threads: work that goes on without its callers; waiting for it, sync, in asyncio and in trio."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest
import trio

from atlassian_auth_adapter import LoginRequiredError, threads
from atlassian_auth_adapter.threads import (
    NotDoneError,
    SingleFlight,
    bind_result,
    result_of,
    run_in_thread,
    started,
    wait,
    wait_async,
)

RUNNERS = {"asyncio": lambda function: asyncio.run(function()), "trio": trio.run}
on_each_loop = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)


def test_work_runs_on_a_thread_of_ours() -> None:
    """Not on the caller's, and on a daemon: the exit of a process does not wait for it."""
    thread = run_in_thread(threading.current_thread).result(10)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_work_cannot_be_cancelled() -> None:
    """A refresh that was sent runs to its end, however many callers give up."""
    go = threading.Event()
    future = run_in_thread(lambda: go.wait(10))
    assert not future.cancel()
    go.set()
    assert future.result(10)


def test_without_threads_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter shuts down no thread can be started: nothing is lost all the same."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert not started(lambda: None)
    assert run_in_thread(threading.get_ident).result(0) == threading.get_ident()


@pytest.mark.parametrize("fails", [False, True])
def test_threads_that_start_a_flight_at_one_moment_share_one_work(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may start one before the others are known; one does the work, and all get its result."""
    flight, go = SingleFlight[int](), threading.Event()
    others: list[Future[int]] = []
    done: list[int] = []
    waiting: list[Future[int]] = []
    callers = iter(range(3))

    def work() -> int:
        assert go.wait(20)
        done.append(threading.get_ident())
        if fails:
            raise LoginRequiredError("no")
        return len(done)

    def started_late(run: Any) -> bool:
        if next(callers, None) is not None:  # another one calls before this one is known
            others.append(flight.join_or_start(work, lambda: None))
        return started(run)

    def noted_wait(future: Future[int]) -> None:
        waiting.append(future)
        if len(waiting) == 3:  # all but the one that does the work
            go.set()
        wait(future)

    monkeypatch.setattr(threads, "started", started_late)
    monkeypatch.setattr(threads, "wait", noted_wait)
    futures = [flight.join_or_start(work, lambda: None), *others]
    assert len(set(futures)) == 4
    for future in futures:
        wait(future, 20)
        if fails:
            with pytest.raises(LoginRequiredError):
                result_of(future)
        else:
            assert result_of(future) == 1
    assert len(done) == 1


@on_each_loop
def test_each_waiter_gets_an_error_of_its_own(run: Any) -> None:
    """One failed flight, many waiters: no traceback grows, no two raise the same object."""
    cause = OSError("why")

    def fail() -> None:
        raise LoginRequiredError("log in", reason="refused") from cause

    future = run_in_thread(fail)
    errors: list[LoginRequiredError] = []

    async def main() -> None:
        await wait_async(future)
        with pytest.raises(LoginRequiredError, match="log in") as caught:
            result_of(future)
        errors.append(caught.value)

    for _ in range(2):
        wait(future)
        with pytest.raises(LoginRequiredError, match="log in") as caught:
            result_of(future)
        errors.append(caught.value)
        run(main)
    assert len({id(error) for error in errors}) == 4
    assert {error.reason for error in errors} == {"refused"}
    assert all(error.__cause__ is cause for error in errors)


def test_a_foreign_error_arrives_as_it_is() -> None:
    """What a store of another author raises is not changed."""
    future = run_in_thread(lambda: 1 / 0)
    wait(future)
    with pytest.raises(ZeroDivisionError):
        result_of(future)


@on_each_loop
def test_a_caller_waits_for_a_limited_time(run: Any) -> None:
    """What is not done by then has no result yet; the work is not touched."""
    future: Future[int] = Future()
    work = bind_result(lambda: 5, future)

    async def main() -> None:
        await wait_async(future, 0.001)

    wait(future, 0.001)
    run(main)
    with pytest.raises(NotDoneError):
        result_of(future)
    work()
    wait(future)
    run(main)
    assert result_of(future) == 5


def test_a_timeout_of_the_work_is_its_result() -> None:
    """It is not taken for the end of the wait."""

    def fail() -> None:
        raise TimeoutError("of the work")

    future = run_in_thread(fail)
    wait(future)
    with pytest.raises(TimeoutError, match="of the work"):
        result_of(future)


def test_a_loop_that_has_ended_does_not_stop_the_work() -> None:
    """The waiter's event loop is gone; the work is done, and nothing is raised where it is done."""
    go = threading.Event()
    future = run_in_thread(lambda: go.wait(10))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_async(future), 0.01)

    asyncio.run(main())
    go.set()
    assert future.result(10)
