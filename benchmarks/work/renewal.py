"""Latency while tokens are renewed, beside the latency of the same load while none is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import Sample, renews_nothing, steadily, user_of
from benchmarks.logins import Login
from benchmarks.server import local_server

#: Logins, each with a thread or task of its own, a request every so many seconds.
LOGINS, EVERY = 40, 0.2
#: Seconds without renewals, and then with them.
HALF = 10.0
#: Seconds that a token is used before it is renewed. With TOKEN_DELAY: 2.5 renewals of each login.
PERIOD = 2.0
#: Seconds until the token endpoint and a resource answer.
TOKEN_DELAY, RESOURCE_DELAY = 2.0, 0.02


def logins_at(base: str, renewing: float, half: float, count: int) -> list[Login]:
    """Logins whose first renewal is due in the second half, in turns."""
    turn = (PERIOD + TOKEN_DELAY) / count
    return [
        Login(
            base=base,
            access_token=f"valid-{number}",
            account=str(number),
            lifetime=renewing + half + turn * number,
            renewing=renewing,
        )
        for number in range(count)
    ]


def percentile(samples: Sequence[float], share: float) -> float:
    """The value that this share of the samples does not exceed."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def compared(quiet: list[float], busy: list[float]) -> dict[str, float | str]:
    """The figures of both halves, which are seconds."""
    worst, calm_worst = max(busy), max(quiet)
    late, calm_late = percentile(busy, 0.99), percentile(quiet, 0.99)
    delayed = sum(took > calm_worst + RESOURCE_DELAY for took in busy)
    return {
        "p99": late / calm_late,
        "maximum": worst / calm_worst,
        "p99 ms": late * 1e3,
        "maximum ms": worst * 1e3,
        "median ms": statistics.median(busy) * 1e3,
        "delayed": f"{delayed} delayed",
    }


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    count, half = (4, 1.0) if tiny else (LOGINS, HALF)
    leeway = user.peer.leeway
    life = leeway + PERIOD + (TOKEN_DELAY if user.peer.counts_from_sending else 0)
    settings = {"token_delay": TOKEN_DELAY, "resource_delay": RESOURCE_DELAY}
    with local_server(expires_in=life, **settings) as server:
        logins = logins_at(server.base, leeway, half, count)
        server.change(tokens={login.access_token: login.lifetime + 1 for login in logins})
        samples = steadily(user, logins, 2 * half, EVERY)
        renewals = server.counts()["token_requests"]
    quiet = [sample.took for sample in samples if sample.began + sample.took < half]
    busy = [sample.took for sample in samples if sample.began + sample.took >= half]
    failed = [sample for sample in samples if sample.outcome != 200]
    return {**compared(quiet, busy), **others(renewals, failed)}


def others(renewals: int, failed: list[Sample]) -> dict[str, float | str]:
    """What is said beside the latencies."""
    return {"renewals": renewals, "failed": f"{len(failed)} failed"}


WORK = Work(
    "renewal",
    "Latency during renewals",
    f"{LOGINS} logins, each a thread or a task, make a request every {EVERY} s, for {HALF:.0f} s "
    f"with valid tokens, and then for {HALF:.0f} s in which each token is renewed after "
    f"{PERIOD:.0f} s. The token endpoint answers after {TOKEN_DELAY:.0f} s, a resource after "
    f"{RESOURCE_DELAY * 1000:.0f} ms. 99th percentile and maximum of the second half, as ratios to "
    "those of the first one and in milliseconds.",
    tuple(Column(library, library) for library in LIBRARIES if library != "httpx2"),
    (
        Figure("maximum", "max {:.2f} times", "smaller"),
        Figure("p99", "p99 {:.2f} times", "smaller"),
        Figure("p99 ms", "p99 {:.0f} ms"),
        Figure("maximum ms", "max {:.0f} ms"),
        Figure("delayed", "{}"),
        Figure("renewals", "{:.0f} renewals"),
        Figure("failed", "{}"),
    ),
    measure,
    rounds=1,
    unmeasured=renews_nothing,
    seconds=22.0,
)
