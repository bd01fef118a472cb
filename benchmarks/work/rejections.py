"""A storm of 401s: the server has revoked a token that looks valid."""

from __future__ import annotations

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import all_at_once, renews_nothing, user_of
from benchmarks.logins import Login
from benchmarks.server import local_server
from benchmarks.work.stampede import TOKEN_DELAY, count_for, summary


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    count = 4 if tiny else column.options["count"]
    with local_server(token_delay=TOKEN_DELAY) as server:
        seconds, outcomes = all_at_once(user, Login(base=server.base), count)
        return summary(seconds, outcomes, count, server)


WORK = Work(
    "rejections",
    "Storm of 401s",
    "The server rejects a token whose end is an hour away. Many threads or tasks make one request "
    "each at one moment and get a 401. Seconds until all have a good answer, and how many token "
    "requests there were.",
    tuple(
        Column(f"{library}, {count_for(library)}", library, {"count": count_for(library)})
        for library in LIBRARIES
    ),
    (
        Figure("seconds", "{:.2f} s", "smaller"),
        Figure("token requests", "token requests: {:.0f}"),
        Figure("answered", "{}"),
    ),
    measure,
    unmeasured=renews_nothing,
    rounds=2,
    seconds=2.0,
)
