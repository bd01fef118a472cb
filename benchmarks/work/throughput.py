"""Throughput over a real local server with a valid token."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from typing import Any

from benchmarks.clocks import Clock
from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import User, user_of
from benchmarks.logins import Login
from benchmarks.peers import FLOOR
from benchmarks.server import local_server

#: Threads or tasks; seconds of a batch; pairs of batches.
THREADS, TASKS, SECONDS, PAIRS = 4, 20, 0.3, 3


def requests_per_second(user: User, client: Any, url: str, seconds: float) -> float:
    """Of some threads."""
    counts: list[int] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        count = 0
        while time.perf_counter() < end:
            if user.get(client, url) != 200:
                raise RuntimeError("a request was not answered with 200")
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    with Clock():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(counts) / seconds


async def requests_per_second_async(user: User, client: Any, url: str, seconds: float) -> float:
    """Of some tasks."""
    end = time.perf_counter() + seconds

    async def work() -> int:
        count = 0
        while time.perf_counter() < end:
            if await user.get_async(client, url) != 200:
                raise RuntimeError("a request was not answered with 200")
            count += 1
        return count

    with Clock():
        counts = await asyncio.gather(*(work() for _ in range(TASKS)))
    return sum(counts) / seconds


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user, floor = user_of(column, peer), user_of(column, FLOOR)
    pairs, seconds = (1, 0.1) if tiny else (PAIRS, SECONDS)
    login = Login()

    async def main(base: str) -> Round:
        local = Login(base=base)
        clients = [(each, each.client(local)) for each in (user, floor)]
        rates: list[list[float]] = []
        for _ in range(pairs):
            pair = []
            for each, client in clients:
                if each.is_async:
                    rate = await requests_per_second_async(each, client, local.url, seconds)
                else:
                    rate = requests_per_second(each, client, local.url, seconds)
                pair.append(rate)
            rates.append(pair)
        for each, client in clients:
            assert each.way.close
            if each.is_async:
                await each.way.close(client)
        return {
            "of the floor": statistics.median(ours / least for ours, least in rates) * 100,
            "requests/s": statistics.median(ours for ours, _ in rates),
        }

    with local_server(tokens={login.access_token: 3600}) as server:
        return asyncio.run(main(server.base))


WORK = Work(
    "throughput",
    "Throughput",
    f"Requests to a local server with a valid token, by {THREADS} threads or {TASKS} tasks of one "
    "client: percent of what the constant header reaches in the same process, and requests per "
    "second. Batches of both take turns.",
    tuple(Column(library, library) for library in LIBRARIES),
    (Figure("of the floor", "{:.0f} %", "larger"), Figure("requests/s", "{:.0f}/s")),
    measure,
    rounds=2,
    seconds=2.7,
)
