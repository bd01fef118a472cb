"""One time for a fleet of processes."""

from __future__ import annotations

import mmap
import time
from pathlib import Path


class SharedClock:
    """The machine's clocks, ahead by what a file says: all who map the file share the time.

    Args:
        file: Holds seconds as one C double.
    """

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._ahead = memoryview(mmap.mmap(opened.fileno(), 8)).cast("d")

    @classmethod
    def made(cls, file: Path) -> SharedClock:
        """A new one, not ahead."""
        file.write_bytes(bytes(8))
        return cls(file)

    def advance(self, seconds: float) -> None:
        """Let time pass for all who share it."""
        self._ahead[0] += seconds

    def time(self) -> float:
        """POSIX timestamp, seconds."""
        return time.time() + self._ahead[0]

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic() + self._ahead[0]

    def sleep(self, seconds: float) -> None:
        """Return after a tenth of the time: no test has as much patience."""
        time.sleep(seconds / 10)
