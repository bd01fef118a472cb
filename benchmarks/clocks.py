"""A clock; `profile.py` looks only while one runs, so that nothing else of a work counts."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

__all__ = ["Clock"]


class Clock:
    """Measures what happens in a with-block.

    Attributes:
        running: How many clocks run in this process.
        seconds: That the block has taken.
    """

    running = 0
    seconds = 0.0
    _began = 0.0

    def __enter__(self) -> Self:
        Clock.running += 1
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        Clock.running -= 1
