"""Memory of idle logins, beside their tokens: a service for many tenants holds many of them."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Column, Figure, Round, UnmeasuredError, Work
from benchmarks.libraries import library_named
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, CLOUD_ID, Login
from benchmarks.peers import OURS, PEERS

#: Auth objects of a peer.
OTHERS = 1000
#: Characters of each token: so few that it does not matter how often one is held.
TOKEN = 40


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def login_of(number: int) -> Login:
    """A login with tokens of its own."""
    name = f"{number:08}".ljust(TOKEN, "x")
    return Login(access_token=name, refresh_token=name[::-1], account=str(number))


def store_elsewhere() -> Any:
    """A store that needs no memory of this process, as one of another host.

    It has an entry for each name, whose text is what was saved last: a login is saved just before
    it is loaded.
    """
    from atlassian_auth_adapter import TokenStore
    from atlassian_auth_adapter.stores.base import Entry

    class Elsewhere(TokenStore):
        text = ""

        def load(self, name: str) -> Entry | None:
            return Entry(self.text, 1) if "." not in name else None

        def save(self, name: str, text: str, *, expected: int | None) -> None:
            self.text = text

        def delete(self, name: str) -> None:
            pass

        @contextmanager
        def lock(self, name: str, *, timeout: float) -> Iterator[None]:
            yield

    return Elsewhere()


def our_auth_objects() -> Any:
    """Makes our auth objects, one for each login, that have their token in memory."""
    import atlassian_auth_adapter as atlassian
    from atlassian_auth_adapter.records import Login as Record, write

    store = store_elsewhere()

    def make(login: Login) -> Any:
        client = atlassian.create_atlassian_oauth_client(
            CLIENT_ID,
            CLIENT_SECRET,
            cloud_id=f"{int(login.account):08}{CLOUD_ID[8:]}",  # each tenant has a site of its own
            store=store,
            account=login.account,
        )
        now = time.time()
        tokens = atlassian.TokenSet(
            login.access_token, login.refresh_token, now + 3600, "", "Bearer", now
        )
        record = Record(generation=1, login_id=login.account, token_set=tokens)
        store.save(client.token_key.name, write(client.token_key, record), expected=None)
        client.token_set()
        return atlassian.AtlassianAuth(client)

    return make


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    if not Path("/proc/self/statm").exists():
        raise UnmeasuredError("/proc/self/statm, which tells the memory of a process, is of Linux")
    library = library_named(column.library)
    way = PEERS[peer].way(library)
    make = our_auth_objects() if peer == OURS else way.auth
    count = 20 if tiny else column.options["count"]
    kept = [make(login_of(number)) for number in range(100)]  # everything is loaded
    before = resident()
    began = time.perf_counter()
    kept += [make(login_of(100 + number)) for number in range(count)]
    took = time.perf_counter() - began
    grown = resident() - before
    assert len(kept) == count + 100
    return {"bytes": grown / count - 2 * TOKEN, "made": took / count * 1e6}


def unmeasured(column: Column, peer: str) -> str:
    """See `figures.Work`."""
    many = peer != OURS and column.options["count"] > OTHERS
    return f"{OTHERS:,} of them say as much" if many else ""


WORK = Work(
    "memory",
    "Memory of an idle login",
    f"So many auth objects, each with a login and a valid token in memory; the tokens have {TOKEN} "
    "characters and are subtracted once. Ours keeps its logins in a store on another host. Growth "
    "of the process for each of them, and the time to make one.",
    tuple(
        Column(f"{library}, {count:,}", library, {"count": count})
        for library, count in (
            *(("requests", 1000), ("requests", 100_000), ("httpx", 1000)),
            *(("httpx2 async", 1000), ("aiohttp", 1000)),
        )
    ),
    (Figure("bytes", "{:,.0f} B", "smaller"), Figure("made", "{:.0f} µs")),
    measure,
    rounds=1,
    unmeasured=unmeasured,
    profile="memory",
)
