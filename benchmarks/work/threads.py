"""How many threads there are when very much expires at once, and with a source of the program."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.load import User, user_of
from benchmarks.logins import Login
from benchmarks.peers import OURS
from benchmarks.server import local_server

#: With so many and with four times as many: the number of threads must not grow likewise.
FEW, FACTOR = 100, 4
TOKEN_DELAY = 0.5


class Watch(threading.Thread):
    """Notes how many threads there are at most beside those at its start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before, self.most, self.over = threading.active_count() + 1, 0, threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self.over.wait(0.002):
            self.most = max(self.most, threading.active_count())

    @property
    def more(self) -> int:
        """Threads beside those at its start."""
        return self.most - self.before


def slow_source() -> Any:
    """A TokenSource of a program, which blocks."""
    import atlassian_auth_adapter as atlassian
    from atlassian_auth_adapter.atlassian.gateway import OneServer

    class Slow(atlassian.TokenSource):
        resource_server = OneServer("https://jira.example.com")

        def current(self) -> None:
            """See TokenSource."""

        def token_set(self, rejected: str | None = None) -> Any:
            """See TokenSource."""
            time.sleep(TOKEN_DELAY / 5)
            return atlassian.TokenSet("valid", expires_at=time.time() + 3600)

    return Slow()


async def on_one_source(column: Column, count: int) -> int:
    """So many tasks on one source of the program: how many threads."""
    import httpx

    import atlassian_auth_adapter as atlassian

    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    auth = atlassian.AtlassianHTTPXAuth(slow_source())
    url = replace(Login(), place="Data Center").url
    async with httpx.AsyncClient(auth=auth, transport=transport, verify=False) as http:
        watch = Watch()
        watch.start()
        await asyncio.gather(*(http.get(url) for _ in range(count)))
        watch.over.set()
    return watch.more


async def on_many_logins(user: User, base: str, count: int) -> int:
    """So many logins expire at once, a task each: how many threads."""
    logins = [replace(Login(base=base).expired(), account=str(n)) for n in range(count)]
    clients = [user.client(login) for login in logins]
    watch = Watch()
    watch.start()
    outcomes = await asyncio.gather(
        *(user.get_async(client, login.url) for client, login in zip(clients, logins, strict=True))
    )
    watch.over.set()
    assert user.way.close
    for client in clients:
        await user.way.close(client)
    if outcomes != [200] * count:
        raise RuntimeError(f"a request was not answered with 200: {set(outcomes)}")
    return watch.more


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    few = 4 if tiny else FEW

    async def peak(count: int) -> int:
        if column.options["source"]:
            return await on_one_source(column, count)
        with local_server(token_delay=TOKEN_DELAY) as server:
            return await on_many_logins(user_of(column, peer), server.base, count)

    small, large = asyncio.run(peak(few)), asyncio.run(peak(few * FACTOR))
    return {"growth": large / max(small, 1), "few": small, "many": large}


WORK = Work(
    "threads",
    "Threads",
    f"Threads that the library has at most when {FEW} and when {FEW * FACTOR} logins expire at "
    "once; and when as many tasks ask one TokenSource of the program that blocks. A bounded number "
    "does not grow with them: it stays small, and the ratio is 1.",
    (
        Column("logins that expire", "httpx async", {"source": False}),
        Column("tasks on one source", "httpx async", {"source": True}),
    ),
    (
        Figure("many", f"{{:.0f}} with {FEW * FACTOR}", "smaller"),
        Figure("few", f"{{:.0f}} with {FEW}"),
        Figure("growth", "{:.2f} times"),
    ),
    measure,
    seconds=4.0,
    peers=(OURS,),
)
