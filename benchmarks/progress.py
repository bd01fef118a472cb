"""How far a run is, how long the rest takes, and whether other programs disturb it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runner import Job

__all__ = ["Progress", "busy", "note"]

#: Seconds between two lines at least, and seconds for which other programs are watched.
EVERY, WATCHED = 10.0, 0.5


def note(text: str) -> None:
    """A line on the standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Progress:
    """Says how far some jobs are."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._said = 0.0

    @property
    def left(self) -> str:
        """The estimate, for people."""
        seconds = sum(job.seconds_left for job in self._jobs)
        return f"about {seconds / 60:.0f} min left" if seconds >= 60 else f"{seconds:.0f} s left"

    def done(self, cell: str) -> None:
        """A cell was measured. A failure is always said."""
        now = time.monotonic()
        if now - self._said >= EVERY or ": " in cell:
            self._said = now
            note(f"{cell} ({self.left})")


def busy() -> float:
    """Share of the cores, 0 to 1, that programs use while this one waits."""
    before, _ = times(), time.sleep(WATCHED)
    used, whole = (after - then for after, then in zip(times(), before, strict=True))
    return used / whole if whole else 0.0


def times() -> tuple[float, float]:
    """Used and whole time of all cores so far; zeros where /proc does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    user, nice, system, idle, waiting, *others = map(
        float, stat.read_text().split("\n")[0].split()[1:8]
    )
    used = user + nice + system + sum(others)
    return used, used + idle + waiting
