"""Cost per request with a valid token: one application of the auth object, and a whole request."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.clocks import Clock
from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES, library_named
from benchmarks.logins import Login
from benchmarks.peers import FLOOR, OURS, PEERS

#: Pairs of batches, and calls in a batch of applications and of whole requests.
PAIRS, BATCH, REQUESTS = 20, 50, 10


#: Seconds that so many calls take.
Calls = Callable[[int], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured of a peer.

    Attributes:
        applied: Applies the auth object to new requests.
        answered: The same, with the answer.
        requested: Makes requests with a client that is answered from memory.
    """

    applied: Calls
    answered: Calls
    requested: Calls


def calls_of(peer: str, column: Column, login: Login) -> Measured:
    """The calls of a peer."""
    library = library_named(column.library)
    way = PEERS[peer].way(library)
    assert way.client
    client, auth = way.client(login, True), way.auth(login)
    run = timed_async if library.is_async else timed_of_threads

    def on_requests(call: Callable[..., Any] | None) -> Calls:
        assert call
        make = way.request
        assert make
        return lambda count: run(call, [(auth, make(login.url)) for _ in range(count)])

    def requested(count: int) -> Awaitable[float]:
        assert way.get
        return run(way.get, [(client, login.url)] * count)

    return Measured(on_requests(way.apply), on_requests(way.answered), requested)


async def timed_of_threads(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> float:
    """As `timed`, and awaitable."""
    return timed(call, arguments)


def timed(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> float:
    """Seconds for all calls."""
    gc.collect()
    gc.disable()
    with Clock() as clock:
        for each in arguments:
            call(*each)
    gc.enable()
    return clock.seconds


async def timed_async(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> float:
    """As `timed`, for tasks."""
    gc.collect()
    gc.disable()
    with Clock() as clock:
        for each in arguments:
            await call(*each)
    gc.enable()
    return clock.seconds


async def compared(floor: Calls, other: Calls, count: int, pairs: int) -> tuple[float, float]:
    """Ratio to the floor, and microseconds of a call: medians of pairs of batches in turns."""
    ratios, times = [], []
    await floor(count), await other(count)
    for _ in range(pairs):
        least, took = await floor(count), await other(count)
        ratios.append(took / least)
        times.append(took / count * 1e6)
    return statistics.median(ratios), statistics.median(times)


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    login = Login(place=column.options["place"])

    async def main() -> Round:
        pairs = 3 if tiny else PAIRS
        # Authlib decides between httpx and httpx2 when it is imported, so it comes first
        other = calls_of(peer, column, login)
        floor = calls_of(FLOOR, column, login)
        gc.collect()
        gc.freeze()  # a collection between two batches looks at what they have made, not at modules
        applied, microseconds = await compared(floor.applied, other.applied, BATCH, pairs)
        answered, _ = await compared(floor.answered, other.answered, BATCH, pairs)
        requested, whole = await compared(floor.requested, other.requested, REQUESTS, pairs)
        return {
            "auth object": applied,
            "microseconds": microseconds,
            "with the answer": answered,
            "whole request": requested,
            "microseconds of the request": whole,
        }

    return asyncio.run(main())


def unmeasured(column: Column, peer: str) -> str:
    """See `figures.Work`."""
    if column.options["place"] == "site" and not PEERS[peer].routes_sites:
        return (
            "sends the request to the site as it is, which accepts no OAuth token; only the "
            "gateway does"
        )
    if column.options["place"] == "Data Center" and peer not in (FLOOR, OURS):
        return "looks at no more of a URL than its scheme: as with one of the gateway"
    return ""


FIGURES = (
    Figure("auth object", "auth {:.2f}", "smaller"),
    Figure("microseconds", "{:.1f} µs"),
    Figure("with the answer", "answer {:.2f}", "smaller"),
    Figure("whole request", "request {:.2f}", "smaller"),
    Figure("microseconds of the request", "{:.0f} µs"),
)

TEXT = (
    "A valid token is in memory. `auth`: one application of the auth object, until the request may "
    "be sent, as a ratio to one that sets a constant header, and in microseconds. `answer`: the "
    "same with the answer 200, which an auth object that knows 401 looks at (aiohttp has no end "
    "between the two). `request`: a whole request that a transport answers from memory, as a ratio "
    "and in microseconds. Batches of both take turns in one process."
)


def work_for(name: str, place: str, title: str) -> Work:
    """The work for one place."""
    columns = tuple(Column(library, library, {"place": place}) for library in LIBRARIES)
    title = f"Cost per request, {title}"
    return Work(name, title, TEXT, columns, FIGURES, measure, unmeasured=unmeasured, seconds=1.1)


WORKS = (
    work_for("hot-gateway", "gateway", "URL of the gateway"),
    work_for("hot-site", "site", "URL of a site, which is routed to the gateway"),
    work_for("hot-data-center", "Data Center", "URL of Data Center"),
)
