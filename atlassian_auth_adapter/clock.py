"""Clock: where the package takes the time from."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock"]

#: Seconds after which `sleep` looks whether the process is ending.
_SLICE = 0.25


class Clock(Protocol):
    """Where the package takes the time from; tests pass one that they move themselves."""

    def time(self) -> float:
        """POSIX timestamp, seconds; may jump in both directions."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early when the process is ending."""

    # A clock may have one method more, `call_later(seconds, call) -> bool`: calls `call`, which
    # does not block, when `sleep(seconds)` would return. False: it cannot. With it, a refresh that
    # has to wait occupies no thread.


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        """POSIX timestamp, seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`; counts slices, since test libraries may have stopped the clock."""
        from atlassian_auth_adapter.threads import is_exiting  # not needed to read a store

        never = threading.Event()
        for _ in range(math.ceil(seconds / _SLICE)):
            if is_exiting():
                return
            never.wait(min(seconds, _SLICE))

    def call_later(self, seconds: float, call: Callable[[], object]) -> bool:
        """See `Clock`."""
        from atlassian_auth_adapter.workers import call_later  # not needed to read a store

        return call_later(seconds, call)


SYSTEM_CLOCK = SystemClock()
