"""FakeClock: a clock that a test moves."""

from __future__ import annotations

import threading
import time

__all__ = ["FakeClock"]


class FakeClock:
    """A wall clock and a monotonic clock that stand still until a test moves them.

    Serves both the library (`clock=`) and the emulator. Threads may share it.

    Args:
        start: POSIX timestamp (seconds) to begin with; None: the machine's time.
        skip_sleeps: True: `sleep` advances the clock and returns at once. False: `sleep` returns
            when another thread has advanced the clock far enough.
    """

    def __init__(self, start: float | None = None, *, skip_sleeps: bool = True) -> None:
        self._wall = time.time() if start is None else start
        self._monotonic = 1000.0
        self._skip_sleeps = skip_sleeps
        self._changed = threading.Condition()
        self.slept: list[float] = []

    def time(self) -> float:
        """POSIX timestamp, seconds."""
        with self._changed:
            return self._wall

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        with self._changed:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        with self._changed:
            self._wall += seconds
            self._monotonic += seconds
            self._changed.notify_all()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic clock does not move."""
        with self._changed:
            self._wall += seconds

    def sleep(self, seconds: float) -> None:
        """Sleep in this clock's time; see `skip_sleeps`. `slept` records each call."""
        self.slept.append(seconds)
        if self._skip_sleeps:
            self.advance(seconds)
            return
        with self._changed:
            until = self._monotonic + seconds
            while self._monotonic < until and threading.main_thread().is_alive():
                self._changed.wait(0.1)
