"""Who waits for a token request: nobody while a usable token exists, and once when none does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio

from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth, threads
from atlassian_auth_adapter.refresh import driver
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.emulator import Hold

#: Threads or tasks, and requests of each one after the other.
CALLERS, EACH = 8, 3

Load = Callable[[Any, str], list[int]]


def by_threads(session: Callable[[Any], Any]) -> Load:
    """Threads that begin at one moment, each with a session of its own: the statuses."""

    def load(client: Any, url: str) -> list[int]:
        barrier = Barrier(CALLERS)

        def one(_: int) -> list[int]:
            with session(client) as http:
                barrier.wait()
                return [http.get(url).status_code for _ in range(EACH)]

        with ThreadPoolExecutor(CALLERS) as pool:
            return [status for statuses in pool.map(one, range(CALLERS)) for status in statuses]

    return load


def with_requests(client: Any) -> requests.Session:
    """A session of requests."""
    session = requests.Session()
    session.auth = AtlassianAuth(client)
    return session


async def by_tasks(make: Callable[[], Any], url: str) -> list[int]:
    """Tasks of asyncio that share a client of httpx or httpx2: the statuses."""

    async def one() -> list[int]:
        return [(await http.get(url)).status_code for _ in range(EACH)]

    async with make() as http:
        answers = await asyncio.gather(*(one() for _ in range(CALLERS)))
    return [status for statuses in answers for status in statuses]


async def by_tasks_of_trio(make: Callable[[], Any], url: str) -> list[int]:
    """As `by_tasks`, of trio."""
    statuses: list[int] = []

    async def one() -> None:
        statuses.extend([(await http.get(url)).status_code for _ in range(EACH)])

    async with make() as http, trio.open_nursery() as nursery:
        for _ in range(CALLERS):
            nursery.start_soon(one)
    return statuses


def httpx_client(client: Any) -> Callable[[], Any]:
    """Makes an async client of httpx."""
    return lambda: httpx.AsyncClient(auth=AtlassianHTTPXAuth(client), timeout=30)


def httpx2_client(client: Any) -> Callable[[], Any]:
    """Makes an async client of httpx2."""
    return lambda: httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(client), timeout=30)


def with_aiohttp(client: Any, url: str) -> list[int]:
    """Tasks that share a session of aiohttp, some at one moment, and then again: the statuses."""
    answers = [
        answer for _ in range(EACH) for answer in ask(client, *[url] * CALLERS, at_once=True)
    ]
    return [answer.status_code for answer in answers]


LOADS: dict[str, Load] = {
    "requests": by_threads(with_requests),
    "httpx": by_threads(lambda client: httpx.Client(auth=AtlassianHTTPXAuth(client), timeout=30)),
    "httpx2": by_threads(lambda c: httpx2.Client(auth=AtlassianHTTPX2Auth(c), timeout=30)),
    "httpx, asyncio": lambda client, url: asyncio.run(by_tasks(httpx_client(client), url)),
    "httpx, trio": lambda client, url: trio.run(by_tasks_of_trio, httpx_client(client), url),
    "httpx2, asyncio": lambda client, url: asyncio.run(by_tasks(httpx2_client(client), url)),
    "httpx2, trio": lambda client, url: trio.run(by_tasks_of_trio, httpx2_client(client), url),
    "aiohttp": with_aiohttp,
}


@pytest.fixture(params=LOADS)
def load(request: pytest.FixtureRequest) -> Load:
    """Makes CALLERS times EACH requests to a URL with a client: threads, or tasks."""
    return LOADS[request.param]


def test_no_request_waits_while_a_usable_token_exists(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    landed: Callable[[], None],
    load: Load,
) -> None:
    """Shortly before the end, requests go on with the old token while a flight brings the new one:
    all of them are answered before the token endpoint answers.
    """
    client = make_client()
    old = client.get_access_token()
    clock.advance(3600 - 300)
    hold = Hold()
    emulator.faults.next("token", hold)
    assert load(client, client.base_url + "/rest/api/3/myself") == [200] * CALLERS * EACH
    hold.wait_arrived()
    assert client.get_access_token() == old
    hold.release()
    landed()
    assert client.get_access_token() != old
    assert emulator.count("refresh_token") == 1


def test_a_process_that_was_idle_past_the_end_waits_once(
    emulator: AtlassianEmulator, expired_client: Any, start: Any, load: Load
) -> None:
    """Nobody used the token until it had ended. All who come then wait for one token request, and
    those who come afterwards for none.
    """
    client = expired_client()
    url = client.base_url + "/rest/api/3/myself"
    hold = Hold()
    emulator.faults.next("token", hold)
    emulator.reset_log()
    waiting = start(load, client, url)
    hold.wait_arrived()
    assert not emulator.requests  # no request has gone out with the token that has ended
    hold.release()
    assert waiting.result(30) == [200] * CALLERS * EACH
    assert load(client, url) == [200] * CALLERS * EACH
    assert emulator.count("refresh_token") == 1
    assert not [request for request in emulator.requests if request.status != 200]


def test_a_renewal_rests_while_nobody_waits_and_nothing_is_to_be_saved(
    monkeypatch: pytest.MonkeyPatch,
    clock: FakeClock,
    make_client: Any,
    landed: Callable[[], None],
) -> None:
    """Requests go first until it has sent; what it has brought is saved at once. When somebody
    waits for it, it does not rest at all.
    """
    client = make_client()
    rests: list[tuple[str, bool]] = []

    def rest() -> None:
        owner = getattr(threads.may_rest.get(), "__self__", None)  # the flight
        rests.append((owner.doing if owner else "", threads.may_rest.get()()))

    monkeypatch.setattr(driver, "rest", rest)
    clock.advance(3600 - 300)
    client.get_access_token()
    landed()
    steps = [step for step, _ in rests]
    sent, saved = steps.index("Send"), len(steps) - steps[::-1].index("Save")
    assert all(is_resting for _, is_resting in rests[: sent + 1])
    assert not any(is_resting for _, is_resting in rests[sent + 1 : saved])
    assert rests[-1][1]
    rests.clear()
    clock.advance(3600)
    client.get_access_token()
    landed()
    assert rests
    assert not any(is_resting for _, is_resting in rests)
