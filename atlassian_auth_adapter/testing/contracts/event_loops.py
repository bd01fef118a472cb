"""Event loops: many requests, waiting, cancelling, errors."""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from atlassian_auth_adapter.testing.emulator import Hold

from .base import AdapterTests
from .concurrency import ConcurrencyTests
from .errors import ErrorTests
from .world import DATA, Call, Reply, World, echo, wait_for_refreshes

__all__ = ["EventLoopClient", "EventLoopTests"]

T = TypeVar("T")


class EventLoopClient(AdapterTests):
    """How a library with clients for event loops sends the calls of the tests.

    Attributes:
        backend: "asyncio" or "trio"; "" for a client without an event loop.
    """

    backend: ClassVar[str] = "asyncio"

    @abstractmethod
    def _async_client(self, auth: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        """A client with that auth object; options as of `exchange`."""

    @abstractmethod
    async def _one_async(self, client: Any, call: Call) -> Reply:
        """Send a call through the client."""

    def body(self, kind: str) -> dict[str, Any]:
        """Async clients take async iterables for what is streamed."""
        if self.backend and kind == "generator":
            return {"content": _slowly(DATA)}
        if kind == "async file":
            return {"content": _AsyncFile(DATA)}
        return super().body(kind)

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        import anyio

        return anyio.run(work, backend=self.backend)

    async def _exchange_async(
        self, calls: Sequence[Call], auth: Any, at_once: bool, options: Mapping[str, Any]
    ) -> list[Reply]:
        import anyio

        async with self._async_client(auth, **options) as client:
            if not at_once:
                return [await self._one_async(client, call) for call in calls]
            replies: dict[int, Reply] = {}

            async def work(number: int, call: Call) -> None:
                replies[number] = await self._one_async(client, call)

            async with anyio.create_task_group() as group:
                for number, call in enumerate(calls):
                    group.start_soon(work, number, call)
            return [replies[number] for number in range(len(calls))]


class EventLoopTests(EventLoopClient, ErrorTests, ConcurrencyTests):
    """What concerns event loops, for each backend."""

    def test_a_refresh_does_not_block_the_event_loop(self, world: World) -> None:
        """Other requests of the same loop do not wait for a slow refresh."""
        import anyio

        client = world.login("cloud")
        world.clock.advance(3600)
        hold = Hold()
        world.emulator.faults.next("token", hold)

        async def main() -> list[int]:
            statuses: list[int] = []
            async with (
                self._async_client(self.auth(client)) as http,
                anyio.create_task_group() as group,
            ):

                async def get(url: str) -> None:
                    statuses.append((await self._one_async(http, Call("GET", url))).status)

                group.start_soon(get, echo(client))
                await anyio.to_thread.run_sync(hold.wait_arrived)
                await get(f"{world.emulator.foreign_url}/status/204")
                hold.release()
            return statuses

        assert self._run(main) == [204, 200]

    @pytest.mark.parametrize("when", ["before the request", "after a rejection"])
    def test_a_cancelled_task_loses_no_login(self, world: World, when: str) -> None:
        """The refresh that it waited for ends and is saved; the next loop has the new token."""
        import anyio

        client = world.login("cloud")
        auth = self.auth(client)
        if when == "before the request":
            world.clock.advance(3600)
        else:
            world.emulator.cloud.expire_access_tokens()
        hold = Hold(after=True)
        world.emulator.faults.next("token", hold)

        async def main() -> None:
            async with (
                self._async_client(auth) as http,
                anyio.create_task_group() as group,
            ):
                group.start_soon(self._one_async, http, Call("GET", echo(client)))
                await anyio.to_thread.run_sync(hold.wait_arrived)
                group.cancel_scope.cancel()

        self._run(main)
        hold.release()
        wait_for_refreshes()
        (reply,) = self._get(echo(client), auth=auth)
        assert (reply.status, reply.history) == (200, ())
        assert world.refreshes == 1

    def test_a_real_async_file_is_sent_once(self, world: World, tmp_path: Path) -> None:
        """Anyio's files claim to be seekable, but `seek` must be awaited."""
        import anyio

        client = world.login("cloud")
        world.expire()
        path = tmp_path / "a.bin"
        path.write_bytes(DATA[:20_000])  # it is read line by line, each in a thread

        async def main() -> list[int]:
            statuses = []
            async with self._async_client(self.auth(client)) as http:
                for _ in range(2):
                    async with await anyio.open_file(path, "rb") as file:
                        call = Call("POST", echo(client), content=file)
                        statuses.append((await self._one_async(http, call)).status)
            return statuses

        assert self._run(main) == [401, 200]
        shas = [request.body_sha256 for request in world.echoes]
        assert shas == [hashlib.sha256(path.read_bytes()).hexdigest()] * 2


async def _slowly(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 5000):
        yield data[start : start + 5000]


class _AsyncFile:
    """A file as anyio and trio have them: it claims to be seekable, but `seek` must be awaited."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def seekable(self) -> bool:
        return True

    async def tell(self) -> int:
        return self._file.tell()

    async def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while chunk := self._file.read(5000):
            yield chunk
