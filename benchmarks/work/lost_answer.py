"""The answer of a token request is lost after the server has rotated: does the login survive?"""

from __future__ import annotations

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.load import one_after_the_other, renews_nothing, user_of
from benchmarks.logins import Login
from benchmarks.peers import PEERS
from benchmarks.server import local_server

#: Seconds between requests: longer than any peer remembers a failure.
PAUSE = 1.2


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    grace = bool(column.options["grace"])
    with local_server(lost_answers=1, grace=grace) as server:
        place = "gateway" if grace else "Data Center"
        login = Login(base=server.base, place=place).expired()
        first, second, third = one_after_the_other(user, login, [login.url] * 3, PAUSE)
        if first == 200:
            found = "answered"
        elif 200 in (second, third):
            found = f"{first}, then answered"
        else:
            found = f"login lost ({third})"
        return {"login": found, "token requests": server.counts()["token_requests"]}


def unmeasured(column: Column, peer: str) -> str:
    """See `figures.Work`."""
    if not PEERS[peer].rotates:
        return "is used with client credentials here, which have nothing to lose"
    return renews_nothing(column, peer)


WORK = Work(
    "lost-answer",
    "A lost answer",
    "The server carries out the first token request and ends the connection without an answer. On "
    "Cloud the same refresh token may be sent again for some minutes; on Data Center it counts "
    "once, and the login cannot be saved by any client. What comes of three requests, more "
    "than a second apart.",
    tuple(
        Column(f"{library}, {place}", library, {"grace": place == "Cloud"})
        for place in ("Cloud", "Data Center")
        for library in ("requests", "httpx", "httpx2 async", "aiohttp")
    ),
    (Figure("login", "{}", "answered"), Figure("token requests", "token requests: {:.0f}")),
    measure,
    rounds=1,
    unmeasured=unmeasured,
    beside=4,
    seconds=5.0,
)
