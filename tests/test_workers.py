"""Workers: a bounded number of threads for any amount of work; and calls after some time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from functools import partial
from typing import Any

import pytest

from atlassian_auth_adapter.testing.contracts.processes import (
    in_forked_child,
    needs_fork,
    together,
)
from atlassian_auth_adapter.testing.contracts.world import PATIENCE
from atlassian_auth_adapter.workers import Workers, call_later


def test_workers_are_never_more_than_that() -> None:
    """However many work there is; when there is none, no thread is left."""
    workers, running, most = Workers(3), threading.Semaphore(3), []

    def work() -> None:
        most.append(running.acquire(blocking=False))
        running.release()

    for future in [workers.run(work) for _ in range(300)]:
        future.result(PATIENCE)
    assert all(most)
    failing = workers.run(lambda: 1 / 0)
    assert isinstance(failing.exception(PATIENCE), ZeroDivisionError)
    assert workers.run(lambda: "again").result(PATIENCE) == "again"


def test_workers_of_a_forked_child_are_new() -> None:
    """The threads of its parent, which it does not have, take none of its places; work of threads
    that begin at one moment there is done.
    """
    needs_fork()
    workers, begun, go = Workers(1), threading.Event(), threading.Event()
    blocked = workers.run(lambda: (begun.set(), go.wait(PATIENCE))[1])
    assert begun.wait(PATIENCE)  # the thread of the parent has taken its work
    waiting = workers.run(lambda: "parent's")

    def ask() -> list[int]:
        futures = together(8, lambda number: workers.run(lambda: number))
        return [future.result(PATIENCE) for future in futures]

    assert in_forked_child(ask) == list(range(8))
    assert workers.is_busy
    go.set()
    assert blocked.result(PATIENCE)
    assert waiting.result(PATIENCE) == "parent's"


def test_calls_that_are_due_later_are_made_in_the_process_that_asked_for_them() -> None:
    """A forked child has a timer of its own, and drops what was due in its parent."""
    needs_fork()
    called, done = list[int](), threading.Event()
    assert call_later(0.0, lambda: called.append(os.getpid()))

    def ask() -> bool:
        done_here = threading.Event()
        assert call_later(0.0, done_here.set)
        assert done_here.wait(PATIENCE)
        return os.getpid() in called

    assert not in_forked_child(ask)
    assert call_later(0.0, done.set)
    assert done.wait(PATIENCE)
    assert called == [os.getpid()]


def test_a_lane_leaves_threads_for_others() -> None:
    """One lane has half of all threads; with a second one each has a third."""
    workers, go, running = Workers(12, lanes=2), threading.Event(), Counter[str]()
    begun = threading.Semaphore(0)

    def work(lane: str) -> None:
        running[lane] += 1
        begun.release()
        go.wait(PATIENCE)

    for name in ("one", "other"):
        for _ in range(20):
            assert workers.start(lambda name=name: work(name), name)  # type: ignore[misc]
    for _ in range(9):
        assert begun.acquire(timeout=PATIENCE)
    assert sorted(running.values()) == [3, 6]
    go.set()
    for _ in range(31):
        assert begun.acquire(timeout=PATIENCE)


def test_what_callers_wait_for_comes_first() -> None:
    """Renewals in the background do not delay a login whose token has ended."""
    workers, go, done = Workers(1), threading.Event(), list[str]()
    assert workers.start(lambda: go.wait(PATIENCE))
    assert workers.start(lambda: done.append("background"), is_urgent=False)
    assert workers.start(lambda: done.append("urgent"))
    go.set()
    workers.run(lambda: None).result(PATIENCE)
    while len(done) < 2:
        threading.Event().wait(0.01)
    assert done == ["urgent", "background"]


def test_no_lane_waits_until_others_have_nothing_to_do() -> None:
    """More lanes with work than threads: they take turns."""
    workers, go, done = Workers(2, lanes=3), threading.Event(), list[str]()
    ended = threading.Semaphore(0)

    def work(name: str) -> None:
        go.wait(PATIENCE)
        done.append(name)
        ended.release()

    for name in [*"aaaaaa", *"bbbbbb", "c"]:
        assert workers.start(partial(work, name), name)
    go.set()
    for _ in range(13):
        assert ended.acquire(timeout=PATIENCE)
    assert done.index("c") < 5


def test_authorization_servers_have_lanes_of_their_own() -> None:
    """As many as there are lanes; more share them."""
    workers = Workers(1, lanes=4)
    assert [workers.number_of(name) for name in "abcdeab"] == [0, 1, 2, 3, 0, 0, 1]


@pytest.mark.parametrize("error", [IndexError, MemoryError, SystemExit, KeyboardInterrupt])
def test_work_that_raises_stops_no_other_work(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown, as that of a thread, and the next work of the lane is done, even if the hook of
    the program raises as well; so it is with calls that are due later.
    """
    shown: list[Any] = []

    def hook(raised: Any) -> None:
        shown.append(raised.exc_type)
        raise ValueError

    monkeypatch.setattr(threading, "excepthook", hook)
    workers, go, done = Workers(1), threading.Event(), threading.Event()

    def fail() -> None:
        go.wait(PATIENCE)
        raise error

    assert workers.start(fail)
    assert workers.start(done.set)
    go.set()
    assert done.wait(PATIENCE)
    done.clear()
    assert call_later(0.0, fail)
    assert call_later(0.0, done.set)
    assert done.wait(PATIENCE)
    assert shown == [error, error]
