"""Threads: work that goes on without its callers; waiting for it, sync, in asyncio and in trio."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from atlassian_auth_adapter import LoginRequiredError, TokenSet, threads
from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.sources import MOST_THREADS
from atlassian_auth_adapter.testing.contracts.world import PATIENCE, FixedTokenSource
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

CALLER: ContextVar[str] = ContextVar("CALLER")
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


class Slow(FixedTokenSource):
    """A source without a `token_set_async` of its own, which returns when as many calls wait."""

    def __init__(self, most: int) -> None:
        super().__init__(OneServer("https://jira.example.com"))
        self.all_wait = threading.Barrier(most)
        self.seen: list[tuple[str, int]] = []

    def fresh(self) -> None:
        """None: it has to be asked."""

    def token_set(self, rejected: str | None = None) -> TokenSet:
        self.seen.append((CALLER.get(), threading.get_ident()))
        self.all_wait.wait(PATIENCE)
        return super().token_set(rejected)


@on_each_loop
def test_tasks_of_a_custom_source_share_a_few_threads(run: Any) -> None:
    """And each is asked for in the context of its own task."""
    source = Slow(MOST_THREADS)
    names = [f"task {number}" for number in range(4 * MOST_THREADS)]

    async def ask(name: str) -> None:
        CALLER.set(name)
        await source.token_set_async()

    async def main() -> None:
        if run is RUNNERS["trio"]:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(ask, name)
        else:
            await asyncio.gather(*map(ask, names))

    run(main)
    assert sorted(name for name, _ in source.seen) == sorted(names)
    assert source.all_wait.n_waiting == 0


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


class _Loop:
    """A loop whose rounds take so many seconds; notes which task goes on in which round."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.turns = threads._Turns()
        self.went_on: list[tuple[int, int]] = []
        self._calls: deque[Any] = deque()
        self._round = 0
        clock = SimpleNamespace(monotonic=lambda: self._round * seconds)
        monkeypatch.setattr(threads, "time", clock)

    def arrive(self, *numbers: int) -> None:
        """Tasks whose flight has ended."""
        for number in numbers:
            wake = partial(self._go_on, number)
            self.turns.take(wake, lambda *call: self._calls.append(call))

    def _go_on(self, number: int) -> None:
        self.went_on.append((number, self._round))

    def run_until_idle(self) -> None:
        """Run rounds as long as there is something to call."""
        while self._calls:
            for _ in range(len(self._calls)):
                function, *arguments = self._calls.popleft()
                function(*arguments)
            self._round += 1


def test_tasks_go_on_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks wait for one flight: they go on in the order of their arrival, with rounds of the
    loop in between, in which it reads what has arrived; the first one at once.
    """
    loop = _Loop(monkeypatch, 20e-6)
    loop.arrive(*range(5))
    loop.run_until_idle()
    assert loop.went_on == [(number, number * threads.ROUNDS) for number in range(5)]
    before = loop.went_on[-1][1]
    loop.arrive(5)
    loop.run_until_idle()
    assert loop.went_on[-1] == (5, before + 1)


def test_tasks_of_a_busy_loop_do_not_wait_for_its_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that takes the time of three tasks lets three go on: 500 wait for 2.5 s at most."""
    loop = _Loop(monkeypatch, 3.1 * threads.PACE)
    loop.arrive(*range(8))
    loop.run_until_idle()
    assert loop.went_on == [(0, 0), *((n, 1) for n in (1, 2, 3)), *((n, 2) for n in (4, 5, 6)),
                            (7, 3)]  # fmt: skip


@on_each_loop
def test_a_loop_that_has_ended_is_not_kept(run: Any) -> None:
    """A program that runs one loop after the other does not grow."""
    kept: list[weakref.ref[object]] = []

    async def main() -> None:
        await wait_async(run_in_thread(lambda: None))
        in_trio = run is trio.run
        loop: object = trio.lowlevel.current_trio_token() if in_trio else asyncio.get_running_loop()
        kept.append(weakref.ref(loop))

    run(main)
    gc.collect()
    assert kept[0]() is None


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
