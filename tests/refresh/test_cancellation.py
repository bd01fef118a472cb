"""A refresh that was sent goes on without those who wait for it: cancelled tasks, closed loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from atlassian_auth_adapter import AtlassianHTTPXAuth, AtlassianOAuthClient, MemoryTokenStore
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Hold

Held = Callable[[AtlassianOAuthClient], Hold]
Landed = Callable[[], None]


def test_a_cancelled_asyncio_task_loses_nothing(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    held: Held,
    landed: Landed,
) -> None:
    """All tasks that wait are cancelled in mid-refresh: the rotated token is in the store."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    before = client.get_access_token()
    hold = held(client)

    async def main() -> None:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            tasks = [asyncio.create_task(http.get(client.base_url)) for _ in range(10)]
            await asyncio.to_thread(hold.wait_arrived)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)

    asyncio.run(main())
    hold.release()
    landed()
    assert client.get_access_token() != before
    assert client.status().generation == 2
    assert another_process(store=store).get_access_token() == client.get_access_token()
    assert emulator.count("refresh_token") == 1


def test_a_cancelled_trio_scope_loses_nothing(
    emulator: AtlassianEmulator, make_client: Any, held: Held, landed: Landed
) -> None:
    """A trio cancel scope ends in mid-refresh: the rotated token is in the store."""
    client = make_client()
    hold = held(client)

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.token_set_async)
                await trio.to_thread.run_sync(hold.wait_arrived)
                scope.cancel()
        assert scope.cancelled_caught

    trio.run(main)
    hold.release()
    landed()
    assert client.status().generation == 2
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_closed_loop_loses_nothing(
    emulator: AtlassianEmulator,
    make_client: Any,
    held: Held,
    landed: Landed,
    library: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The event loop is closed before the answer comes: saved all the same, nothing is logged."""
    client = make_client()
    hold = held(client)

    async def with_asyncio() -> None:
        task = asyncio.create_task(client.token_set_async())
        await asyncio.to_thread(hold.wait_arrived)
        task.cancel()

    async def with_trio() -> None:
        with trio.move_on_after(3600) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.token_set_async)
                await trio.to_thread.run_sync(hold.wait_arrived)
                scope.cancel()

    asyncio.run(with_asyncio()) if library == "asyncio" else trio.run(with_trio)
    hold.release()
    landed()
    assert client.status().generation == 2
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_a_cancelled_waiter_does_not_disturb_the_others(
    emulator: AtlassianEmulator, make_client: Any, held: Held
) -> None:
    """One of two waiting tasks is cancelled; the other gets the token of the same flight."""
    client = make_client()
    hold = held(client)

    async def main() -> None:
        first = asyncio.create_task(client.token_set_async())
        second = asyncio.create_task(client.token_set_async())
        await asyncio.to_thread(hold.wait_arrived)
        first.cancel()
        hold.release()
        assert (await second).access_token == client.get_access_token()
        assert first.cancelled()

    asyncio.run(main())
    assert emulator.count("refresh_token") == 1
