"""A task that waits for a renewal is cancelled: does the login survive?"""

from __future__ import annotations

import asyncio

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.load import renews_nothing, user_of
from benchmarks.logins import Login
from benchmarks.server import LocalServer, local_server

TOKEN_DELAY = 0.6
#: Seconds after which the task is cancelled: its token request is on its way.
CANCELLED_AFTER = 0.3


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)

    async def main(server: LocalServer) -> Round:
        login = Login(base=server.base, place="Data Center").expired()
        client = user.client(login)
        first = asyncio.create_task(user.get_async(client, login.url))
        await asyncio.sleep(CANCELLED_AFTER)
        first.cancel()
        outcomes = await asyncio.gather(first, return_exceptions=True)
        second = await user.get_async(client, login.url)
        assert user.way.close
        await user.way.close(client)
        requests = (await asyncio.to_thread(server.counts))["token_requests"]
        survived = "survives" if second == 200 else f"lost ({second})"
        if isinstance(outcomes[0], int):
            survived += "; the loop was blocked, so that nothing could be cancelled"
        return {"login": survived, "token requests": requests}

    with local_server(token_delay=TOKEN_DELAY, grace=False) as server:
        return asyncio.run(main(server))


WORK = Work(
    "cancelled",
    "A cancelled task",
    "A task makes a request with an expired token, and is cancelled while the token request is on "
    "its way. The server counts each refresh token once. Then another task makes a request.",
    tuple(Column(name, name) for name in ("httpx async", "httpx2 async", "aiohttp")),
    (Figure("login", "{}", "survives"), Figure("token requests", "token requests: {:.0f}")),
    measure,
    rounds=1,
    unmeasured=renews_nothing,
    beside=2,
)
