"""Flights: work on threads of ours that outlives whoever waits for it.

Sync callers wait for a flight's future, tasks of asyncio and trio await it. Nobody runs it, so
nobody can cancel it, and no thread pool of the program is used.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from atlassian_auth_adapter.errors import AtlassianAuthError

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = ["FlightThread", "is_exiting", "landed", "prepared", "result_of", "take_off"]

T = TypeVar("T")


class FlightThread(threading.Thread):
    """A thread of ours. It is no daemon: the exit of the process waits for it."""

    @classmethod
    def started(cls, run: Callable[[], object]) -> bool:
        """Whether a thread runs it now; none can be had at shutdown, or when there are too many."""
        try:
            cls(target=run, name="atlassian-auth-flight", daemon=False).start()
        except RuntimeError:
            return False
        return True


def is_exiting() -> bool:
    """Whether nobody is left but flights, and daemons, for which a process does not wait."""
    return not threading.main_thread().is_alive() and all(
        thread.daemon or isinstance(thread, FlightThread) or not thread.is_alive()
        for thread in threading.enumerate()
    )


def take_off(
    work: Callable[[], T],
    afterwards: Callable[[], object] | None = None,
    future: Future[T] | None = None,
) -> Future[T]:
    """Run `work` on a thread of ours and return its future at once.

    Nobody else's thread pool is used. When no thread can be started, the work is done right here.

    Args:
        work: What to do.
        afterwards: Called on the same thread when the future has its result.
        future: The future to use; it is new and pending.
    """
    flight: Future[T] = future or Future()
    run = prepared(work, afterwards, flight)
    if not FlightThread.started(run):
        run()
    return flight


def prepared(
    work: Callable[[], T], afterwards: Callable[[], object] | None, future: Future[T]
) -> Callable[[], None]:
    """What does the work and hands the result to the future, which nobody can cancel any more."""
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)
        if afterwards is not None:
            afterwards()

    return run


async def landed(future: Future[T]) -> T:
    """Wait for a future of another thread without blocking the loop, asyncio's or trio's."""
    event: asyncio.Event | trio.Event
    trio_module = sys.modules.get("trio")
    if trio_module is not None and trio_module.lowlevel.in_trio_task():
        event = trio_module.Event()
        call_soon = trio_module.lowlevel.current_trio_token().run_sync_soon
    else:
        import asyncio  # who is in a loop has loaded it

        event = asyncio.Event()
        call_soon = asyncio.get_running_loop().call_soon_threadsafe

    def wake(_: object) -> None:
        # The waiter's loop may have ended; what it waited for is done all the same.
        # RunFinishedError of trio is a RuntimeError, as is asyncio's for a closed loop.
        with suppress(RuntimeError):
            call_soon(event.set)

    future.add_done_callback(wake)
    await event.wait()
    return result_of(future)


def result_of(future: Future[T]) -> T:
    """The future's result; blocks until there is one. Each waiter gets an error of its own.

    Neither it nor what it was raised from has the flight's frames: a store's hold what it saves.
    """
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, AtlassianAuthError):
        cause = error.__cause__
        raise error.copied() from cause and cause.with_traceback(None)
    raise error
