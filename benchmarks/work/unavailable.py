"""The token endpoint answers 503 with Retry-After: 1 twice."""

from __future__ import annotations

import time

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.load import one_after_the_other, renews_nothing, user_of
from benchmarks.logins import Login
from benchmarks.server import local_server

LIBRARIES = ("requests", "httpx", "httpx async", "httpx2", "httpx2 async", "aiohttp")


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    with local_server(unavailable=2) as server:
        login = Login(base=server.base).expired()
        began = time.perf_counter()
        (outcome,) = one_after_the_other(user, login, [login.url])
        seconds = time.perf_counter() - began
    return {
        "answer": "answered" if outcome == 200 else f"not answered ({outcome})",
        "seconds": seconds,
    }


WORK = Work(
    "unavailable",
    "Two 503 with Retry-After: 1",
    "A request with an expired token; the token endpoint answers 503 with `Retry-After: 1` twice, "
    "and then with tokens. What the program gets, and after how many seconds.",
    tuple(Column(library, library) for library in LIBRARIES),
    (Figure("answer", "{}", "answered"), Figure("seconds", "{:.1f} s")),
    measure,
    rounds=1,
    unmeasured=renews_nothing,
    beside=4,
    seconds=4.0,
)
