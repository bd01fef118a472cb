"""Load: many threads or tasks at one moment, and a steady load.

What came of a request is its status, or the name of the error that it has raised.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.clocks import Clock
from benchmarks.figures import Column
from benchmarks.libraries import library_named
from benchmarks.logins import Login
from benchmarks.peers import PEERS, Peer, Way

__all__ = [
    "Outcome",
    "User",
    "all_at_once",
    "one_after_the_other",
    "renews_nothing",
    "steadily",
    "user_of",
]

Outcome = int | str
#: A steady load ends after so many times the time that it is planned for.
MOST_TIMES = 3


@dataclass(frozen=True, slots=True)
class User:
    """Uses a peer with one library.

    Attributes:
        peer: The peer.
        way: How it is used.
        is_async: Whether by tasks.
    """

    peer: Peer
    way: Way
    is_async: bool

    def client(self, login: Login, memory: bool = False) -> Any:
        """A client for a login; it has no event loop yet."""
        assert self.way.client
        return self.way.client(login, memory)

    def get(self, client: Any, url: str) -> Outcome:
        """A request of a thread."""
        assert self.way.get
        try:
            return int(self.way.get(client, url))
        except Exception as error:  # noqa: BLE001 - what comes of it is what is measured
            return type(error).__name__

    async def get_async(self, client: Any, url: str) -> Outcome:
        """A request of a task."""
        assert self.way.get
        try:
            return int(await self.way.get(client, url))
        except Exception as error:  # noqa: BLE001
            return type(error).__name__


def user_of(column: Column, peer: str) -> User:
    """Who uses the peer with the library of the column.

    Raises:
        UnmeasuredError: The peer does not work with it.
    """
    library = library_named(column.library)
    found = PEERS[peer]
    return User(found, found.way(library), library.is_async)


def all_at_once(user: User, login: Login, count: int) -> tuple[float, list[Outcome]]:
    """So many threads or tasks make one request each at one moment: seconds, what came of it."""
    if user.is_async:
        return asyncio.run(_tasks_at_once(user, login, count))
    client, outcomes = user.client(login), list[Outcome]()
    barrier = threading.Barrier(count + 1)

    def request() -> None:
        barrier.wait()
        outcomes.append(user.get(client, login.url))

    threads = [threading.Thread(target=request) for _ in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    with Clock() as clock:
        for thread in threads:
            thread.join()
    return clock.seconds, outcomes


async def _tasks_at_once(user: User, login: Login, count: int) -> tuple[float, list[Outcome]]:
    client = user.client(login)
    with Clock() as clock:
        requests = (user.get_async(client, login.url) for _ in range(count))
        outcomes = await asyncio.gather(*requests)
    assert user.way.close
    await user.way.close(client)
    return clock.seconds, list(outcomes)


def one_after_the_other(
    user: User, login: Login, urls: Sequence[str], pause: float = 0.0
) -> list[Outcome]:
    """One client makes these requests, with a pause in seconds after each: what came of each."""
    if not user.is_async:
        client, outcomes = user.client(login), list[Outcome]()
        for url in urls:
            outcomes.append(user.get(client, url))
            time.sleep(pause)
        return outcomes

    async def requests() -> list[Outcome]:
        client, outcomes = user.client(login), list[Outcome]()
        for url in urls:
            outcomes.append(await user.get_async(client, url))
            await asyncio.sleep(pause)
        assert user.way.close
        await user.way.close(client)
        return outcomes

    return asyncio.run(requests())


@dataclass(frozen=True, slots=True)
class Sample:
    """A request of the steady load.

    Attributes:
        began: Seconds since the load began.
        took: Seconds.
        outcome: What came of it.
    """

    began: float
    took: float
    outcome: Outcome


def steadily(user: User, logins: Sequence[Login], seconds: float, every: float) -> list[Sample]:
    """Each login makes a request every so often, one thread or task each, for so many seconds.

    The logins take turns within a period. A client has made one request before the load begins.
    What is in memory then is not looked through by the garbage collector any more: it would take
    tens of milliseconds for what the benchmark has imported, and meet whichever request runs.
    """
    samples: list[Sample] = []
    load = _Load(user, seconds, every, len(logins), samples)
    with Clock():
        if user.is_async:
            asyncio.run(load.tasks(logins))
        else:
            load.threads(logins)
    return samples


@dataclass(slots=True)
class _Load:
    user: User
    seconds: float
    every: float
    count: int
    samples: list[Sample]
    began: float = 0.0

    def due(self, number: int) -> list[float]:
        """Seconds after the beginning at which a login makes its requests."""
        offset = self.every * number / self.count
        return [offset + self.every * n for n in range(int(self.seconds / self.every))]

    def begin(self) -> None:
        """The load begins."""
        gc.collect()
        gc.freeze()
        self.began = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether the load lasts so long that it ends early: requests block each other."""
        return time.perf_counter() - self.began > MOST_TIMES * self.seconds

    def note(self, began: float, outcome: Outcome) -> None:
        """Remember a request that has just been answered."""
        now = time.perf_counter()
        self.samples.append(Sample(began - self.began, now - began, outcome))

    def threads(self, logins: Sequence[Login]) -> None:
        """The load of threads."""
        clients = [self.user.client(login) for login in logins]
        for client, login in zip(clients, logins, strict=True):
            self.user.get(client, login.url)

        def work(number: int) -> None:
            for due in self.due(number):
                if self.is_over:
                    break
                time.sleep(max(0.0, self.began + due - time.perf_counter()))
                began = time.perf_counter()
                self.note(began, self.user.get(clients[number], logins[number].url))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(logins))]
        self.begin()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def tasks(self, logins: Sequence[Login]) -> None:
        """The load of tasks."""
        clients = [self.user.client(login) for login in logins]
        for client, login in zip(clients, logins, strict=True):
            await self.user.get_async(client, login.url)

        async def work(number: int) -> None:
            for due in self.due(number):
                if self.is_over:
                    break
                await asyncio.sleep(max(0.0, self.began + due - time.perf_counter()))
                began = time.perf_counter()
                outcome = await self.user.get_async(clients[number], logins[number].url)
                self.note(began, outcome)

        self.begin()
        await asyncio.gather(*(work(n) for n in range(len(logins))))
        assert self.user.way.close
        for client in clients:
            await self.user.way.close(client)


def renews_nothing(_: Column, peer: str) -> str:
    """Of `figures.Work`, unmeasured: the peer renews nothing by itself."""
    return "" if PEERS[peer].renews else f"{peer} renews no token by itself"
