"""How much memory a big upload or download takes with our auth objects, next to its size."""

from __future__ import annotations

from benchmarks.figures import Column, Figure, Round, UnmeasuredError, Work
from benchmarks.peers import OURS

#: What a copy in memory looks like.
CONTROL = "requests  bytes"
#: Keys of `big_bodies.WAYS`.
WAYS = (
    CONTROL,
    "requests  open file",
    "requests  MultipartEncoder",
    "requests  download",
    *(
        f"{library:<8}  {body}"
        for library in ("httpx", "httpx2")
        for body in ("open file", "multipart", "download", "async generator")
    ),
)
#: Growth in megabytes that is still no copy of the body: some buffers, and pages of the allocator.
MOST = 20.0
#: Megabytes of a body.
BIG, SMALLER = 64, 32


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    try:
        from benchmarks.big_bodies import measured_both
    except ImportError as error:
        raise UnmeasuredError(f"{error.name} is not installed here") from None
    found = measured_both(column.name, SMALLER if tiny else BIG)
    growth = max(each["grown"] for each in found.values())
    return {
        "growth": growth,
        "verdict": "copied" if growth >= MOST else "streamed",
        **{kind: each["status"] for kind, each in found.items()},
    }


WORK = Work(
    "streams",
    "Memory of big bodies",
    f"Megabytes by which the peak of a process grows with a body of {BIG} MB, with a good token "
    "and with one that is rejected after the whole body was sent; the larger one.",
    tuple(Column(way) for way in WAYS),
    (
        Figure("growth", "{:.1f} MB", "smaller"),
        Figure("verdict", "{}"),
        Figure("good", "{:.0f} with a good token"),
        Figure("rejected", "{:.0f} with a rejected one"),
    ),
    measure,
    rounds=1,
    beside=2,
    seconds=5.0,
    peers=(OURS,),
)
