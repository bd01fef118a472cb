"""Latency while tokens are renewed, beside the latency of the same load while none is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import chain, product
from time import sleep

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import Sample, renews_nothing, steadily, user_of
from benchmarks.logins import Login
from benchmarks.peers import OURS
from benchmarks.server import local_server

#: Logins, each with a thread or task of its own, a request every so many seconds. A client that is
#: busy for most of the time measures how its own requests wait for each other.
LOGINS, EVERY = 40, 0.4
#: Pairs of windows, one without renewals and one with them, and seconds of each window.
PAIRS, WINDOW = 3, 4.0
#: Seconds of load before a window, until as many renewals end as begin.
LEAD = 2.5
#: Seconds that a token is used before it is renewed. With TOKEN_DELAY: 40 renewals in a window.
PERIOD = 2.0
#: Seconds until the token endpoint and a resource answer.
TOKEN_DELAY, RESOURCE_DELAY = 2.0, 0.02
#: A peer whose slowest request is so many times slower in the first pair has no other pair.
FAR = 5.0
#: Seconds for which tokens are valid that are not renewed.
LONG = 1e5


def logins_at(base: str, renewing: float, count: int, *, are_renewed: bool) -> list[Login]:
    """Logins that are renewed in turns, from the beginning of the load on, or not at all."""
    turn = (PERIOD + TOKEN_DELAY) / count
    kind = "renewed" if are_renewed else "valid"
    return [
        Login(
            base=base,
            access_token=f"{kind}-{number}",
            account=f"{kind}-{number}",
            lifetime=renewing + LEAD / 2 + turn * number if are_renewed else LONG,
            renewing=renewing,
        )
        for number in range(count)
    ]


def percentile(samples: Sequence[float], share: float) -> float:
    """The value that this share of the samples does not exceed."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def compared(quiet: list[list[float]], busy: list[list[float]]) -> dict[str, float | str]:
    """The figures of the windows of both kinds; a window is the seconds of its requests.

    The slowest request of one window is a matter of chance, so the medians of several are compared.
    """
    worst, calm_worst = (statistics.median(map(max, windows)) for windows in (busy, quiet))
    all_busy, all_quiet = (list(chain.from_iterable(windows)) for windows in (busy, quiet))
    late, calm_late = percentile(all_busy, 0.99), percentile(all_quiet, 0.99)
    delayed = sum(took > max(all_quiet) + RESOURCE_DELAY for took in all_busy)
    return {
        "p99": late / calm_late,
        "maximum": worst / calm_worst,
        "p99 ms": late * 1e3,
        "maximum ms": max(all_busy) * 1e3,
        "quiet maximum ms": max(all_quiet) * 1e3,
        "median ms": statistics.median(all_busy) * 1e3,
        "delayed": f"{delayed} delayed",
    }


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    count, pairs, window = (4, 1, 1.0) if tiny else (LOGINS, PAIRS, WINDOW)
    leeway = user.peer.leeway
    life = leeway + PERIOD + (TOKEN_DELAY if user.peer.counts_from_sending else 0)
    windows: tuple[list[list[Sample]], list[list[Sample]]] = [], []
    renewals = 0
    for _, are_renewed in product(range(pairs), (False, True)):
        # A new server as well: it knows no token of the window before.
        with local_server(
            expires_in=life, token_delay=TOKEN_DELAY, resource_delay=RESOURCE_DELAY
        ) as server:
            logins = logins_at(server.base, leeway, count, are_renewed=are_renewed)
            server.change(tokens={login.access_token: login.lifetime + 1 for login in logins})
            samples = steadily(user, logins, LEAD + window, EVERY)
            renewals += server.counts()["token_requests"]
            windows[are_renewed].append([s for s in samples if s.began + s.took >= LEAD])
            if are_renewed:
                sleep(TOKEN_DELAY)  # those under way end
                if peer != OURS and worst(windows[1]) > FAR * worst(windows[0]):
                    break
    quiet, busy = (
        [[each.took for each in window] for window in windows[kind]] for kind in (False, True)
    )
    failed = [each for each in chain(*windows[0], *windows[1]) if each.outcome != 200]
    return {**compared(quiet, busy), **others(renewals, failed)}


def worst(windows: list[list[Sample]]) -> float:
    """Seconds of the slowest request of the last window."""
    return max(sample.took for sample in windows[-1])


def others(renewals: int, failed: list[Sample]) -> dict[str, float | str]:
    """What is said beside the latencies."""
    return {"renewals": renewals, "failed": f"{len(failed)} failed"}


WORK = Work(
    "renewal",
    "Latency during renewals",
    f"{LOGINS} logins, each a thread or a task, make a request every {EVERY} s. Windows of "
    f"{WINDOW:.0f} s with valid tokens alternate with windows in which each token is renewed after "
    f"{PERIOD:.0f} s, {PAIRS} of each kind in a round. The token endpoint answers after "
    f"{TOKEN_DELAY:.0f} s, a resource after {RESOURCE_DELAY * 1000:.0f} ms. As ratios to the "
    "windows without renewals: the 99th percentile of all requests, and the slowest request of a "
    "window, in the median of the windows of a kind, since the slowest of all is a matter of "
    "chance (shown beside it, in milliseconds). The server is a process of its own; what the "
    "benchmark has imported is kept from the garbage collector, which would stop all requests for "
    "tens of milliseconds at some moment. A peer whose slowest request is more than "
    f"{FAR:.0f} times slower in the first pair has no other pair. The slowest request varies more "
    "than anything else here: ours took 1.00 to 1.30 times as long in three runs of `make "
    "bench-check` on 2026-11-28, on a machine of this kind.",
    tuple(Column(library, library) for library in LIBRARIES if library != "httpx2"),
    (
        Figure("maximum", "max {:.2f} times", "smaller"),
        Figure("p99", "p99 {:.2f} times", "smaller"),
        Figure("p99 ms", "p99 {:.0f} ms"),
        Figure("maximum ms", "max {:.0f} ms"),
        Figure("quiet maximum ms", "without renewals max {:.0f} ms"),
        Figure("delayed", "{}"),
        Figure("renewals", "{:.0f} renewals"),
        Figure("failed", "{}"),
    ),
    measure,
    rounds=1,
    unmeasured=renews_nothing,
    seconds=25.0,
)
