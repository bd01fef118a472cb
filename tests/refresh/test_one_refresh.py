"""Many threads, tasks and loops want a token at one moment: one token request, and none fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    AtlassianOAuthClient,
    MemoryTokenStore,
)
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    forget_process_state,
    separate_process_state,
)
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore

slow = partial(pytest.param, marks=pytest.mark.slow)
MYSELF = {"cloud": "/rest/api/3/myself", "data_center": "/rest/api/2/myself"}


@pytest.fixture(params=["cloud", "data_center"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Both kinds of server; Data Center accepts a refresh token only once."""
    return str(request.param)


@pytest.fixture
def assert_one_refresh(emulator: AtlassianEmulator, flavour: str) -> Callable[[list[int]], None]:
    """Exactly one refresh reached the server, and every request was answered with 200."""

    def check(statuses: list[int]) -> None:
        assert set(statuses) == {200}
        assert emulator.count("refresh_token") == 1
        assert emulator.count("refresh_token", "issued", flavour) == 1
        assert max(request.status for request in emulator.requests) < 400

    return check


def test_64_threads_share_one_refresh(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    flavour: str,
    assert_one_refresh: Any,
) -> None:
    """64 threads with sessions of their own meet an expired token at one moment."""
    client: AtlassianOAuthClient = make_client(flavour)
    auth = AtlassianAuth(client)
    clock.advance(3600)
    barrier = threading.Barrier(64)
    url = client.base_url + MYSELF[flavour]

    def one(_: int) -> int:
        with requests.Session() as session:
            session.auth = auth
            barrier.wait()
            return session.get(url).status_code

    with ThreadPoolExecutor(64) as pool:
        assert_one_refresh(list(pool.map(one, range(64))))


async def _get_many_asyncio(url: str, auth: httpx.Auth, count: int) -> list[int]:
    limits = httpx.Limits(max_connections=10)  # httpx's own pool is slow with many
    async with httpx.AsyncClient(auth=auth, limits=limits, timeout=60) as http:
        answers = await asyncio.gather(*(http.get(url) for _ in range(count)))
        return [answer.status_code for answer in answers]


async def _get_many_trio(url: str, auth: httpx.Auth, count: int) -> list[int]:
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=10)  # httpx's own pool is slow with many

    async with httpx.AsyncClient(auth=auth, limits=limits, timeout=60) as http:

        async def one() -> None:
            statuses.append((await http.get(url)).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
    return statuses


@pytest.mark.parametrize("flavour", ["cloud", slow("data_center")], indirect=True)
def test_500_asyncio_tasks_share_one_refresh(
    flavour: str, assert_one_refresh: Any, expired_client: Any
) -> None:
    """500 tasks of one asyncio loop meet an expired token at one moment."""
    client = expired_client(flavour)
    url = client.base_url + MYSELF[flavour]
    assert_one_refresh(asyncio.run(_get_many_asyncio(url, AtlassianHTTPXAuth(client), 500)))


@pytest.mark.parametrize("flavour", [slow("cloud"), "data_center"], indirect=True)
def test_500_tasks_of_aiohttp_share_one_refresh(
    flavour: str, assert_one_refresh: Any, expired_client: Any
) -> None:
    """500 tasks of one session of aiohttp meet an expired token at one moment."""
    client = expired_client(flavour)
    answers = ask(client, *[client.base_url + MYSELF[flavour]] * 500, at_once=True)
    assert_one_refresh([answer.status_code for answer in answers])


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["cloud", "data_center"], indirect=True)
def test_500_trio_tasks_share_one_refresh(
    flavour: str, assert_one_refresh: Any, expired_client: Any
) -> None:
    """500 tasks of one trio run meet an expired token at one moment."""
    client = expired_client(flavour)
    url = client.base_url + MYSELF[flavour]
    assert_one_refresh(trio.run(_get_many_trio, url, AtlassianHTTPXAuth(client), 500))


def test_four_event_loops_in_four_threads_share_one_refresh(
    clock: FakeClock, make_client: Any, flavour: str, assert_one_refresh: Any
) -> None:
    """Nothing is bound to a loop: two asyncio loops and two trio runs share one auth object."""
    client = make_client(flavour)
    auth = AtlassianHTTPXAuth(client)
    clock.advance(3600)
    url = client.base_url + MYSELF[flavour]
    barrier = threading.Barrier(4)

    def asyncio_loop(_: int) -> list[int]:
        barrier.wait()
        return asyncio.run(_get_many_asyncio(url, auth, 25))

    def trio_run(_: int) -> list[int]:
        barrier.wait()
        return trio.run(_get_many_trio, url, auth, 25)

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(run, 0) for run in (asyncio_loop, asyncio_loop, trio_run, trio_run)]
        assert_one_refresh([status for loop in loops for status in loop.result()])


def test_every_library_shares_one_refresh(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    flavour: str,
    assert_one_refresh: Any,
) -> None:
    """requests, httpx, httpx2 and aiohttp, sync, asyncio and trio, over two client objects and one
    login.
    """
    store = MemoryTokenStore()
    first, second = (
        make_client(flavour, store=store),
        make_client(flavour, store=store, login=False),
    )
    clock.advance(3600)
    url = first.base_url + MYSELF[flavour]
    barrier = threading.Barrier(7)

    def with_requests() -> list[int]:
        with requests.Session() as session:
            session.auth = AtlassianAuth(second)
            return [session.get(url).status_code for _ in range(5)]

    def with_httpx() -> list[int]:
        with httpx.Client(auth=AtlassianHTTPXAuth(first)) as http:
            return [http.get(url).status_code for _ in range(5)]

    def with_httpx2() -> list[int]:
        with httpx2.Client(auth=AtlassianHTTPX2Auth(second)) as http:
            return [http.get(url).status_code for _ in range(5)]

    async def many_httpx2() -> list[int]:
        async with httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(first), timeout=60) as http:
            answers = await asyncio.gather(*(http.get(url) for _ in range(20)))
            return [answer.status_code for answer in answers]

    def many_aiohttp() -> list[int]:
        return [answer.status_code for answer in ask(second, *[url] * 20, at_once=True)]

    jobs: list[Callable[[], list[int]]] = [
        with_requests,
        with_httpx,
        with_httpx2,
        lambda: asyncio.run(many_httpx2()),
        many_aiohttp,
        lambda: asyncio.run(_get_many_asyncio(url, AtlassianHTTPXAuth(second), 20)),
        lambda: trio.run(_get_many_trio, url, AtlassianHTTPXAuth(first), 20),
    ]

    def at_once(job: Callable[[], list[int]]) -> list[int]:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(7) as pool:
        assert_one_refresh([status for done in pool.map(at_once, jobs) for status in done])


def test_64_simultaneous_rejections_share_one_refresh(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, session: requests.Session
) -> None:
    """64 requests are under way with a token that dies: each gets its 401, together one refresh."""
    client = make_client()
    auth = AtlassianAuth(client)
    clock.advance(60)
    emulator.cloud.revoke_access_tokens()
    hold = Hold(after=True)  # every 401 is decided before the first one is answered
    emulator.faults.next("/rest/api/3/myself", hold, times=64)
    url = client.base_url + "/rest/api/3/myself"

    def one(_: int) -> tuple[int, int]:
        with requests.Session() as own:
            own.auth = auth
            answer = own.get(url)
            return answer.status_code, len(answer.history)

    with ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(one, number) for number in range(64)]
        hold.wait_arrived(64)
        hold.release()
        assert {answer.result() for answer in answers} == {(200, 1)}
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_waiting_for_a_refresh_takes_none_of_the_programs_threads(
    emulator: AtlassianEmulator, library: str, expired_client: Any
) -> None:
    """While 500 tasks wait for a token request, the loop's default workers are free and it runs."""
    client = expired_client()
    hold = Hold()
    emulator.faults.next("token", hold)
    finished: list[str] = []

    async def with_asyncio() -> None:
        waiting = [asyncio.create_task(client.token_set_async()) for _ in range(500)]
        await asyncio.to_thread(hold.wait_arrived)
        finished.extend(await asyncio.gather(*(asyncio.to_thread(str, n) for n in range(64))))
        assert not any(task.done() for task in waiting)
        hold.release()
        finished.extend({token_set.access_token for token_set in await asyncio.gather(*waiting)})

    async def with_trio() -> None:
        tokens: set[str] = set()

        async def wait() -> None:
            tokens.add((await client.token_set_async()).access_token)

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(wait)
            await trio.to_thread.run_sync(hold.wait_arrived)
            finished.extend([await trio.to_thread.run_sync(str, number) for number in range(64)])
            assert not tokens
            hold.release()
        finished.extend(tokens)

    asyncio.run(with_asyncio()) if library == "asyncio" else trio.run(with_trio)
    assert len(finished) == 64 + 1
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("library", ["threads", "tasks"])
def test_a_site_is_asked_for_its_id_once(
    emulator: AtlassianEmulator, make_client: Any, library: str
) -> None:
    """64 threads or 500 tasks start with a site's URL only: one look-up, on one thread."""
    store = MemoryTokenStore()
    make_client(store=store)
    client = make_client(store=store, cloud_id="", login=False)
    hold = Hold()
    emulator.faults.next("tenant_info", hold)

    async def tasks() -> set[str]:
        waiting = [asyncio.create_task(client.token_set_async()) for _ in range(500)]
        await asyncio.to_thread(hold.wait_arrived)
        hold.release()
        return {token_set.access_token for token_set in await asyncio.gather(*waiting)}

    def threads() -> set[str]:
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(client.token_set) for _ in range(64)]
            hold.wait_arrived()
            hold.release()
            return {one.result().access_token for one in waiting}

    assert len(asyncio.run(tasks()) if library == "tasks" else threads()) == 1
    if library == "tasks":  # threads may look at the same instant, tasks cannot
        assert [r.path for r in emulator.requests].count("/_edge/tenant_info") == 1


def test_clients_that_begin_at_one_moment_share_one_refresh(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, another_process: Any
) -> None:
    """Clients that know nothing yet, four of this process and four of others: one token request."""
    store = MemoryTokenStore()
    make_client(store=store)
    clock.advance(3600)
    clients = [make_client(store=store, login=False) for _ in range(4)]
    clients += [another_process(store=store) for _ in range(4)]
    barrier = threading.Barrier(8)

    def one(client: AtlassianOAuthClient) -> str:
        barrier.wait()
        return client.get_access_token()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, clients))) == 1
    assert emulator.count("refresh_token") == 1


def test_what_one_client_has_refreshed_the_others_have_without_a_look(
    clock: FakeClock, make_client: Any, another_process: Any
) -> None:
    """Clients that have read the same login share its memory; those of another process do not."""
    store = FragileStore()
    first, second = make_client(store=store), make_client(store=store, login=False)
    other = another_process(store=store)
    for client in (first, second, other):
        client.get_access_token()
    clock.advance(3600)
    new = first.token_set()
    assert second.current() == new
    assert other.current() != new
    store.fail("load")
    assert second.token_set() == new


def test_after_this_process_has_forgotten_its_memory_clients_are_those_of_a_new_one(
    clock: FakeClock, make_client: Any
) -> None:
    """`forget_process_state` and `separate_process_state` do what they say, for other tests."""
    store = FragileStore()
    old = make_client(store=store)
    forget_process_state()
    first, second, third = (make_client(store=store, login=False) for _ in range(3))
    separate_process_state(third)
    for client in (first, second, third):
        client.get_access_token()
    clock.advance(3600)
    new = first.token_set()
    assert [client.current() == new for client in (old, first, second, third)] == [
        False,
        True,
        True,
        False,
    ]
