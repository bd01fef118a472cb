"""Threads: work that goes on without its callers, and waiting from sync code, asyncio and trio.

A *flight* (from single-flight) is work that is done once for all callers that want its result. It
runs on a daemon thread: cancelling a caller does not cancel it, and no thread pool of the program
is used. The exit of the process waits for it only inside `holding_exit`.
"""

from __future__ import annotations

import contextvars
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from atlassian_auth_adapter.errors import AtlassianAuthError, ConfigurationError

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = [
    "NotDoneError",
    "SingleFlight",
    "after_fork",
    "bind_result",
    "holding_exit",
    "is_exiting",
    "is_timeout",
    "may_rest",
    "reentrancy_error",
    "rest",
    "result_of",
    "run_in_thread",
    "started",
    "wait",
    "wait_async",
]

T = TypeVar("T")

#: Rounds of an event loop, each some 20 microseconds if nothing else is to be done, from one task
#: that has waited for a flight to the next one. With httpx 0.28 and httpcore 1.0.9, 500 tasks took
#: the same time with 10 and 30, and longer with 1 and 3. Source: measured 2026-11-27.
ROUNDS = 10
#: Seconds per waiting task after which it goes on anyway: the rounds of a busy loop take longer.
PACE = 0.005
#: Seconds after which the guard of the exit looks at all that hold it.
GUARD_SLICE = 0.25
#: Seconds that a new thread leaves the interpreter to the one that has started it, which may be an
#: event loop; else that one would wait for it until the new thread waits for something itself.
HEAD_START = 0.001
#: Seconds between two steps of work in the background, so that requests beside it are seldom late.
REST = 0.01
#: Whether the work of a context may rest at the moment.
may_rest: ContextVar[Callable[[], bool]] = ContextVar("may_rest", default=lambda: False)
#: Whether the main thread waits for a flight: then the process does not end yet.
_main_waits = False


class NotDoneError(Exception):
    """The future has no result yet; the work goes on."""


class _ExitGuard(threading.Thread):
    """A thread that is not a daemon: the exit of the process waits for it."""


def after_fork(callback: Callable[[], object]) -> None:
    """Call it in each forked child, where a lock that another thread held is never released."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


def started(run: Callable[[], object]) -> bool:
    """Run it on a new thread, in the caller's context; False if no thread can be started.

    That is so at shutdown, or when there are too many.
    """
    context = contextvars.copy_context()

    def run_in_context() -> None:
        time.sleep(HEAD_START)
        context.run(run)

    try:
        threading.Thread(target=run_in_context, name="atlassian-auth-flight", daemon=True).start()
    except RuntimeError:
        return False
    return True


def rest() -> None:
    """Let the requests of the program go first, if the work of this context has time for that.

    A thread that computes keeps the interpreter for up to 5 ms, however many others want it. A
    request wants it several times, so that it would wait for most of a renewal beside it; if that
    rests in between, the request is over before it goes on.
    """
    if may_rest.get()():
        time.sleep(REST)


def run_in_thread(work: Callable[[], T]) -> Future[T]:
    """The future of `work`, which runs on a new thread, or here when none can be started."""
    future: Future[T] = Future()
    run = bind_result(work, future)
    if not started(run):
        run()
    return future


class SingleFlight(Generic[T]):
    """Work that is done once for all callers that want its result at one time."""

    def __init__(self) -> None:
        # Both begin with the id of the process: a forked child has none of its parent's threads.
        self._runner: tuple[int, int] | None = None  # and the thread that does the work
        self._under_way: tuple[int, Future[T]] | None = None
        self._doing: dict[int, Future[T]] = {}  # by process

    def join_or_start(self, work: Callable[[], T], afterwards: Callable[[], object]) -> Future[T]:
        """The future of the work that is under way, or of work that starts now.

        Takes no lock, so that a signal handler may call it: at worst, each thread that calls at the
        same moment starts one, of which one does the work.
        Neither function is kept longer than the work takes: the caller may be their owner.

        Args:
            work: Runs on a thread of ours.
            afterwards: Called on that thread when callers have got the result.

        Raises:
            ConfigurationError: The work has asked for its own result.
        """
        process = os.getpid()
        if self._runner == (process, threading.get_ident()):
            raise reentrancy_error()
        owner, future = self._under_way or (0, None)
        if future is None or owner != process or future.done():
            future = Future()
            run = bind_result(partial(self._result, work), future)

            def fly() -> None:
                run()
                afterwards()  # not a callback of the future: those of tasks that wait come later

            if not started(fly):
                fly()
            # Now, since a signal handler must find no future whose thread has not started.
            self._under_way = process, future
        return future

    def _result(self, work: Callable[[], T]) -> T:
        """The result of the work, which another thread may be doing."""
        process, mine = os.getpid(), Future[T]()
        doing = self._doing.setdefault(process, mine)
        if doing is mine:
            try:
                bind_result(partial(self._run, work), mine)()
            finally:
                self._doing.pop(process, None)
        wait(doing)
        return result_of(doing)

    def _run(self, work: Callable[[], T]) -> T:
        self._runner = os.getpid(), threading.get_ident()
        try:
            return work()
        finally:
            self._runner = None


def is_timeout(value: object) -> bool:
    """Whether it is a positive number of seconds that a thread can wait for."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < threading.TIMEOUT_MAX


def reentrancy_error() -> ConfigurationError:
    """The error for code that would wait for its own result."""
    return ConfigurationError(
        "the code that fetches a token has asked for that token, and would wait for itself. A "
        "store, a client_secret function or a log handler must not use the client that it serves."
    )


def bind_result(work: Callable[[], T], future: Future[T]) -> Callable[[], None]:
    """A function that does the work for the future, which cannot be cancelled from now on."""
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    return run


class _Hold:
    """A reason for which the exit of the process waits.

    `seconds` is for how long at most. They are counted, since test libraries may have stopped the
    clocks.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.done = seconds, threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether the exit waits for it no longer."""
        return self.done.is_set() or self.seconds <= 0


_holds: list[_Hold] = []
_has_guard = False
_holds_lock = threading.RLock()  # guards both; held for a moment only


@contextmanager
def holding_exit(seconds: float) -> Iterator[None]:
    """The exit of the process waits until the context ends, at most so many seconds.

    One thread waits, however many contexts there are.
    """
    global _has_guard  # noqa: PLW0603 - there is one process
    hold = _Hold(seconds)
    with _holds_lock:
        _holds.append(hold)
        if not _has_guard:
            guard = _ExitGuard(target=_guard_exit, name="atlassian-auth-exit", daemon=False)
            with suppress(RuntimeError):  # at shutdown: then the caller runs the work itself
                guard.start()
                _has_guard = True
    try:
        yield
    finally:
        hold.done.set()


def _guard_exit() -> None:
    global _has_guard  # noqa: PLW0603 - there is one process
    while True:
        with _holds_lock:
            _holds[:] = [hold for hold in _holds if not hold.is_over]
            if not _holds:
                _has_guard = False
                return
            holds = list(_holds)
        if not holds[0].done.wait(GUARD_SLICE):
            for hold in holds:
                hold.seconds -= GUARD_SLICE


def is_exiting() -> bool:
    """Whether the process is ending: only daemon threads and guards are left."""
    return (
        not threading.main_thread().is_alive()
        and not _main_waits
        and all(
            thread.daemon or isinstance(thread, _ExitGuard) or not thread.is_alive()
            for thread in threading.enumerate()
        )
    )


def wait(future: Future[T], seconds: float | None = None) -> None:
    """Block until the future is done, or so many seconds have passed."""
    global _main_waits  # noqa: PLW0603 - only the main thread writes it
    is_main = threading.current_thread() is threading.main_thread()
    before = _main_waits
    if is_main:
        _main_waits = True
    try:
        with suppress(TimeoutError):  # of the wait; an error of the work is returned, not raised
            future.exception(seconds)
    finally:
        if is_main:
            _main_waits = before


class _Turns:
    """Lets the tasks of one event loop go on, one every few rounds of the loop.

    Else hundreds that wait for one flight would send their requests in one round. A pool of
    connections that looks at all waiting requests for each one (httpcore 1.0.9) needs time that
    grows with their square. Between two turns the loop reads the answers to the first requests, and
    their connections are free again. A loop that has nothing else to do does not sleep meanwhile,
    and in a busy one no task waits longer than `PACE` for each task before it.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_under_way = False  # only the thread of the loop reads and writes it

    def take(self, wake: Callable[[], object], call_soon: Callable[..., object]) -> None:
        """Call `wake` in the loop, when those before it have had their turn. For any thread.

        Args:
            wake: Lets a task go on.
            call_soon: Calls a function in the next round of the loop. Not kept: it would keep the
                loop.
        """
        self._waiting.append(wake)
        # The loop may have ended: trio raises RunFinishedError then, which is a RuntimeError, as is
        # asyncio's.
        with suppress(RuntimeError):
            call_soon(self._begin, call_soon)

    def _begin(self, call_soon: Callable[..., object]) -> None:
        if not self._is_under_way:
            self._is_under_way = True
            self._go_on(call_soon, 0, time.monotonic())

    def _go_on(self, call_soon: Callable[..., object], rounds: int, since: float) -> None:
        """The next turn is after so many rounds, or some time after the last one."""
        now = time.monotonic()
        due = max(int((now - since) / PACE), rounds == 0)
        for _ in range(min(due, len(self._waiting))):
            self._waiting.popleft()()
        if due:
            rounds, since = ROUNDS, now
        self._is_under_way = bool(self._waiting)
        if self._is_under_way:
            call_soon(self._go_on, call_soon, rounds - 1, since)


#: By event loop: of asyncio, or the token of a run of trio.
_turns: WeakKeyDictionary[object, _Turns] = WeakKeyDictionary()


async def wait_async(future: Future[T], seconds: float | None = None) -> None:
    """As `wait`, for tasks of asyncio and trio: does not block the loop, uses no thread."""
    global _main_waits  # noqa: PLW0603 - only the main thread writes it
    event: asyncio.Event | trio.Event
    trio_module = sys.modules.get("trio")
    if trio_module is not None and not trio_module.lowlevel.in_trio_task():
        trio_module = None
    if trio_module is not None:
        event, loop = trio_module.Event(), trio_module.lowlevel.current_trio_token()
        call_soon = loop.run_sync_soon
    else:
        import asyncio  # a program with a loop has loaded it

        event, loop = asyncio.Event(), asyncio.get_running_loop()
        call_soon = loop.call_soon_threadsafe
    turns = _turns.setdefault(loop, _Turns())
    future.add_done_callback(lambda _: turns.take(event.set, call_soon))
    is_atexit = threading.current_thread() is threading.main_thread() and is_exiting()
    if is_atexit:
        _main_waits = True
    try:
        if trio_module is not None:
            with trio_module.move_on_after(math.inf if seconds is None else seconds):
                await event.wait()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await event.wait()
    finally:
        if is_atexit:
            _main_waits = False


def result_of(future: Future[T]) -> T:
    """The result of a future that is done, or its error: a copy for each caller.

    Neither the error nor its cause has the frames of the flight, whose locals are secrets.

    Raises:
        NotDoneError: It is not done yet.
    """
    if not future.done():
        raise NotDoneError
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, AtlassianAuthError):
        cause = error.__cause__
        raise error.copied() from cause and cause.with_traceback(None)
    raise error


def _forget_after_fork() -> None:
    # The thread that forked is the child's main thread, and its only one.
    global _main_waits, _has_guard, _holds_lock  # noqa: PLW0603 - of the process
    _main_waits = _has_guard = False
    _holds_lock = threading.RLock()
    _holds.clear()


after_fork(_forget_after_fork)
