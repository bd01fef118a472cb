"""Workers: a bounded number of threads for any amount of work; and calls after some time.

Whatever expires at once, a process has a bounded number of threads. So work that has to wait gives
its thread back: it asks for a call later, and goes on as new work then.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from atlassian_auth_adapter.threads import after_fork, bind_result, is_exiting

__all__ = ["Workers", "call_later"]

T = TypeVar("T")
Work = Callable[[], object]

#: Seconds after which the thread of `call_later` looks again.
_TICK = 0.05


def _called(call: Work) -> None:
    """Call it. What it raises is shown as that of a thread, which goes on with its other work."""
    try:
        call()
    except BaseException:  # noqa: BLE001 - it is shown
        raised = *sys.exc_info(), threading.current_thread()
        with suppress(Exception):  # of a hook of the program
            threading.excepthook(threading.ExceptHookArgs(raised))


class _Worker(threading.Thread):
    """A thread of ours; a daemon, so that the exit of the process does not wait for it."""

    def __init__(self, workers: Workers, lane: int) -> None:
        super().__init__(name="atlassian-auth-flight", daemon=True)
        self.workers, self.lane = workers, lane

    def run(self) -> None:
        """Work until nothing is left for this thread."""
        self.workers._work(self)  # noqa: SLF001 - of this module


class Workers:
    """Threads of ours for work of one kind: never more than so many at one time, none when idle.

    The executor of concurrent.futures keeps idle threads, and the end of a process waits for them.

    Each work runs in the context of its caller. It may wait for the work of other workers, not for
    that of the same ones.

    With lanes, a lane has fewer threads than are free: one alone has half of all, two have a third
    each. So however long the work of some takes, others find a thread. No lock is held, since a
    signal handler may call these methods at any line: threads that come at the same instant may be
    a few more than allowed.

    Args:
        most: Threads at one time.
        lanes: How many lanes; more names share them.
    """

    def __init__(self, most: int, lanes: int = 1) -> None:
        self._most, self._lanes = most, lanes
        self._numbers: dict[str, int] = {}  # of lanes, by their names
        self.renew()
        _all_workers.add(self)

    def renew(self) -> None:
        """No thread and no work, as a forked child begins."""
        self._threads: set[_Worker] = set()
        # For each lane: work that a caller waits for, and other work.
        self._waiting = [(deque[Work](), deque[Work]()) for _ in range(self._lanes)]

    def run(self, work: Callable[[], T]) -> Future[T]:
        """The future of the work, which runs as soon as a thread is free."""
        future: Future[T] = Future()
        run = bind_result(work, future)
        if not self.start(run):
            run()
        return future

    def start(self, run: Work, lane: str = "", *, is_urgent: bool = True) -> bool:
        """Run it as soon as a thread is free; False if no thread can be started.

        What is urgent comes first within its lane.
        """
        number = self.number_of(lane)
        queue = self._waiting[number][not is_urgent]
        entry = partial(contextvars.copy_context().run, run)
        queue.append(entry)
        if not self._has_room(number) or self._has_started(number) or self._running():
            return True
        try:
            queue.remove(entry)
        except ValueError:
            return True  # a thread has taken it
        return False

    def number_of(self, lane: str) -> int:
        """The number of the lane of that name: another one for each, as far as there are any."""
        return self._numbers.setdefault(lane, len(self._numbers) % self._lanes)

    @property
    def is_busy(self) -> bool:
        """Whether work waits for a thread."""
        return any(map(any, self._waiting))

    def has_thread(self, thread: threading.Thread) -> bool:
        """Whether it is one of these."""
        return isinstance(thread, _Worker) and thread.workers is self

    def _running(self, lane: int | None = None) -> int:
        # One that was never started, because of Ctrl-C, does not count.
        return sum(
            thread.is_alive() and lane in (None, thread.lane) for thread in list(self._threads)
        )

    def _has_room(self, lane: int) -> bool:
        """Whether the lane may have a thread more."""
        free = self._most - self._running()
        return free > 0 and (self._lanes == 1 or self._running(lane) < free)

    def _has_started(self, lane: int) -> bool:
        worker = _Worker(self, lane)
        self._threads.add(worker)
        try:
            worker.start()
        except RuntimeError:
            self._threads.discard(worker)
            return False
        return True

    def _work(self, thread: _Worker) -> None:
        lane: int | None = thread.lane
        while lane is not None:
            thread.lane = lane
            self._threads.add(thread)
            urgent, other = self._waiting[lane]
            work: Work | None = None
            with suppress(IndexError):  # another thread has taken the last one
                work = (urgent or other).popleft()
            if work:
                _called(work)
            self._threads.discard(thread)
            # The lanes that wait for a thread: those with the fewest first, and those in turn.
            turns = (number % self._lanes for number in range(lane + 1, lane + 1 + self._lanes))
            lanes = [number for number in turns if any(self._waiting[number])]
            lane = next(filter(self._has_room, sorted(lanes, key=self._running)), None)


_all_workers: WeakSet[Workers] = WeakSet()


class _Timer:
    """Calls that are due later, and one thread for all of them, which ends with the last one.

    It counts what it has waited, since test libraries may have stopped the clocks. When the process
    ends, everything is due.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Nothing is due, as a forked child begins."""
        self._lock = threading.Lock()  # no caller of the library takes it
        self._waited, self._has_thread = 0.0, False
        self._due: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()

    def add(self, seconds: float, call: Work) -> bool:
        """See `call_later`."""
        with self._lock:
            # The thread may be in the middle of a tick.
            entry = self._waited + _TICK + seconds, next(self._numbers), call
            heapq.heappush(self._due, entry)
            if not self._has_thread:
                try:
                    threading.Thread(
                        target=self._watch, name="atlassian-auth-timer", daemon=True
                    ).start()
                except RuntimeError:
                    self._due.clear()
                    return False
                self._has_thread = True
        return True

    def _watch(self) -> None:
        never = threading.Event()
        while True:
            never.wait(_TICK)
            with self._lock:
                self._waited += _TICK
                due = []
                while self._due and (self._due[0][0] <= self._waited or is_exiting()):
                    due.append(heapq.heappop(self._due)[-1])
                self._has_thread = bool(self._due)
                ends = not self._due
            for call in due:
                _called(call)  # whatever happens to one, the others are called
            if ends:
                return


_timer = _Timer()


def call_later(seconds: float, call: Work) -> bool:
    """Call it after so many seconds, or when the process ends; False if no thread can be started.

    The call must not block. For threads of flights.
    """
    return _timer.add(seconds, call)


def _renew_after_fork() -> None:
    _timer.renew()
    for workers in _all_workers:
        workers.renew()


after_fork(_renew_after_fork)
