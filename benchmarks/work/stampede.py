"""An expired token met by many threads, tasks or processes at one moment."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES, library_named
from benchmarks.load import Outcome, all_at_once, one_after_the_other, renews_nothing, user_of
from benchmarks.logins import Login
from benchmarks.peers import PEERS
from benchmarks.server import LocalServer, local_server

THREADS, TASKS, PROCESSES = 64, 500, 8
#: Seconds until the token endpoint answers.
TOKEN_DELAY = 0.2


def summary(
    seconds: float, outcomes: list[Outcome], count: int, server: LocalServer
) -> dict[str, float | str]:
    """What a stampede has come to."""
    answered = sum(outcome == 200 for outcome in outcomes)
    found: dict[str, float | str] = {
        "token requests": server.counts()["token_requests"],
        "answered": f"{answered} of {count} answered",
    }
    if answered == count:
        return {"seconds": seconds, **found}
    return {"seconds": "not all answered", **found}


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    count = column.options["count"] if not tiny else 4
    with local_server(token_delay=TOKEN_DELAY) as server:
        login = Login(base=server.base).expired()
        if column.options.get("processes"):
            return processes(column, peer, login, count, server)
        seconds, outcomes = all_at_once(user, login, count)
        return summary(seconds, outcomes, count, server)


def processes(column: Column, peer: str, login: Login, count: int, server: LocalServer) -> Round:
    """The stampede of processes: each is ready before one of them begins."""
    with tempfile.TemporaryDirectory() as folder:
        login = replace(login, store=folder)
        PEERS[peer].ways[column.library].auth(login)  # the login is in the store
        command = [sys.executable, "-m", "benchmarks.work.stampede"]
        arguments = [column.library, peer, json.dumps(asdict(login))]
        started = [
            subprocess.Popen(
                [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        for process in started:
            assert process.stdout
            process.stdout.readline()
        began = time.perf_counter()
        for process in started:
            assert process.stdin
            process.stdin.close()
        outcomes: list[Outcome] = []
        for process in started:
            assert process.stdout
            outcomes += json.loads(process.stdout.readline())
        seconds = time.perf_counter() - began
        for process in started:
            process.wait()
    return summary(seconds, outcomes, count, server)


def one_process(library: str, peer: str, login: str) -> None:
    """One process of a stampede."""
    user = user_of(Column("", library_named(library).name), peer)
    its = Login(**json.loads(login))
    PEERS[peer].ways[library].auth(its)  # everything is imported
    print("ready", flush=True)
    sys.stdin.read()
    print(json.dumps(one_after_the_other(user, its, [its.url])), flush=True)


def count_for(library: str) -> int:
    """Threads, or tasks."""
    return TASKS if "async" in library or library == "aiohttp" else THREADS


WORK = Work(
    "stampede",
    "Stampede on an expired token",
    f"Many threads, tasks or processes make one request each at one moment, with an expired token. "
    f"The token endpoint answers after {TOKEN_DELAY} s. Seconds until all are answered, and how "
    "many token requests there were: each one beyond the first spends a refresh token again. "
    "Processes share a directory; a peer that keeps no login in a store has the same one in each.",
    (
        *(
            Column(f"{library}, {count_for(library)}", library, {"count": count_for(library)})
            for library in LIBRARIES
        ),
        Column(
            f"requests, {PROCESSES} processes",
            "requests",
            {"count": PROCESSES, "processes": True},
        ),
    ),
    (
        Figure("seconds", "{:.2f} s", "smaller"),
        Figure("token requests", "token requests: {:.0f}"),
        Figure("answered", "{}"),
    ),
    measure,
    unmeasured=renews_nothing,
    rounds=2,
    seconds=3.0,
)

if __name__ == "__main__":
    one_process(*sys.argv[1:])
