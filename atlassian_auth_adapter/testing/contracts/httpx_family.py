"""The contract for libraries that speak the interface of httpx: sync clients, and event loops."""

from __future__ import annotations

import hashlib
import io
import pickle
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter.testing.emulator import Hold, Status

from .adapters import AuthAdapterContract
from .base import AdapterTests
from .concurrency import ConcurrencyTests
from .errors import ErrorTests
from .world import (
    CLOUD,
    DATA,
    DATA_SHA256,
    GATEWAY,
    PATIENCE,
    Call,
    FixedTokenSource,
    Reply,
    Sent,
    World,
    echo,
    landed,
    redirect,
)

__all__ = [
    "AsyncHTTPXFamilyContract",
    "EventLoopTests",
    "HTTPXFamilyContract",
    "SyncHTTPXFamilyContract",
]

T = TypeVar("T")

#: Of every client. Loading certificates would take most of the time of a test.
_OPTIONS: dict[str, Any] = {
    "trust_env": False,
    "timeout": PATIENCE,
    "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}


class HTTPXFamilyTests(AdapterTests):
    """Describes a library that speaks httpx's interface; sync, or on a `backend` of anyio.

    Attributes:
        library: The module.
        auth_class: The class under test.
        backend: "asyncio" or "trio" for the async client, "" for the sync one.
    """

    library: ClassVar[Any]
    auth_class: ClassVar[Any]
    backend: ClassVar[str] = ""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not hasattr(cls, "library"):
            return
        cls.request_error = cls.library.RequestError
        cls.connection_errors = (cls.library.TransportError, ConnectionError)
        cls.url_errors = (cls.library.InvalidURL, cls.library.UnsupportedProtocol)
        if cls.backend:
            cls.replayable = ("no body", "json", "bytes", "multipart", "multipart of bytes")
            cls.one_shot = ("generator", "async file", "multipart of an unseekable file")
        else:
            cls.replayable = (*AdapterTests.replayable, "multipart of bytes")
            cls.one_shot = (
                "generator",
                "iterator",
                "unseekable file",
                "file that cannot tell",
                "file that closes itself",
                "multipart of an unseekable file",
            )

    def auth(self, source: Any, **options: Any) -> Any:
        """The auth object under test."""
        return self.auth_class(source, **options)

    def body(self, kind: str) -> dict[str, Any]:
        """Async clients take async iterables for what is streamed."""
        if self.backend and kind == "generator":
            return {"content": _slowly(DATA)}
        if kind == "async file":
            return {"content": _AsyncFile(DATA)}
        if kind == "file from the middle":  # the library would announce the whole file
            return {**super().body(kind), "headers": {"Content-Length": str(len(DATA))}}
        return super().body(kind)

    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """See `AdapterTests`."""
        if self.backend:
            return self._run(partial(self._exchange_async, calls, auth, at_once, options))
        with self._client(auth, **options) as client:
            if not at_once:
                return [self._one(client, call) for call in calls]
            with ThreadPoolExecutor(len(calls)) as pool:
                return list(pool.map(partial(self._one, client), calls))

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

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        import anyio

        return anyio.run(work, backend=self.backend)

    def _client(self, auth: Any, **options: Any) -> Any:
        return self.library.Client(**(_OPTIONS | {"auth": auth} | options))

    def _async_client(self, auth: Any, **options: Any) -> Any:
        return self.library.AsyncClient(**(_OPTIONS | {"auth": auth} | options))

    def _one(self, client: Any, call: Call) -> Reply:
        request, options = self._request(client, call)
        response = client.send(request, **options)
        try:
            streamed = not hasattr(response, "_content")
            response.read()
        finally:
            response.close()
        return _reply(response, streamed)

    async def _one_async(self, client: Any, call: Call) -> Reply:
        request, options = self._request(client, call)
        response = await client.send(request, **options)
        try:
            streamed = not hasattr(response, "_content")
            await response.aread()
        finally:
            await response.aclose()
        return _reply(response, streamed)

    def _request(self, client: Any, call: Call) -> tuple[Any, dict[str, Any]]:
        call.before()
        request = client.build_request(call.method, call.url, headers=call.headers, **call.body)
        options: dict[str, Any] = {
            "stream": call.stream,
            "follow_redirects": call.follow_redirects,
        }
        if call.auth is not None:
            options["auth"] = call.auth
        return request, options

    def rehearse(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """See `AdapterTests`."""
        sent: list[Sent] = []
        left = iter(answers)

        def answer(request: Any) -> Any:
            headers = {name.lower(): value for name, value in request.headers.items()}
            sent.append(Sent(request.method, str(request.url), headers))
            status, fields = next(left, (200, {}))
            return self.library.Response(status, headers=dict(fields))

        self.exchange(*calls, auth=auth, transport=self.library.MockTransport(answer))
        return sent


class HTTPXFamilyContract(HTTPXFamilyTests, AuthAdapterContract):
    """What concerns both kinds of clients."""

    def test_through_a_proxy_the_rules_are_the_same(self, world: World) -> None:
        """A proxy gets the whole URL in the request line, also that of a redirected request."""
        client = world.login("cloud")
        api = world.emulator.cloud.api_url
        ours, other = (site.id for site in world.emulator.cloud.sites)
        auth = self.auth(client)
        for target in (f"{api}/ex/jira/{other}/rest/echo", f"{api}/ex/jira/{ours}/rest/echo"):
            self.exchange(Call("GET", redirect(client, target)), auth=auth, proxy=api)
        hops = world.echoes
        assert ["authorization" in hop.headers for hop in hops] == [False, True]
        assert [hop.status for hop in hops] == [401, 200]
        assert world.refreshes == 0

    def test_the_wrong_object_names_the_right_one(self) -> None:
        """Httpx takes any callable for auth: ours says which class to use, before sending."""
        from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth

        right = self.auth_class.__name__
        source = FixedTokenSource(CLOUD)
        for cls in (AtlassianAuth, AtlassianHTTPXAuth, AtlassianHTTPX2Auth):
            if cls is self.auth_class:
                continue
            wrong: Any = cls(source)
            sent: list[Sent] = []
            with pytest.raises(TypeError, match=rf"use {right}\(") as raised:
                sent = self.rehearse(Call("GET", f"{GATEWAY}/rest/x"), auth=wrong)
            assert cls.__name__ in str(raised.value)
            assert sent == []


class SyncHTTPXFamilyContract(HTTPXFamilyContract):
    """What concerns the sync client only, and objects of the library that both clients share."""

    def test_the_same_request_may_be_sent_again_and_again(self, world: World) -> None:
        """Also one to the site, also when its token dies, also more often than calls nest."""
        client = world.login("cloud")
        seen: list[str] = []
        extensions = {"trace": lambda name, _: seen.append(name)}
        with self._client(self.auth(client)) as http:
            request = http.build_request(
                "POST",
                f"{world.emulator.cloud.sites[0].url}/rest/echo",
                content=DATA,
                extensions=extensions,
            )
            for _ in range(3):
                world.expire()
                assert http.send(request).status_code == 200
            double = self.library.MockTransport(lambda _: self.library.Response(200))
            with self._client(self.auth(client), transport=double) as idle:
                for _ in range(2 * sys.getrecursionlimit()):
                    idle.send(request)
            seen.clear()
            assert http.send(request).status_code == 200
        assert len([name for name in seen if name.endswith("send_request_headers.started")]) == 1
        assert {request.role for request in world.emulator.requests} == {"api", "auth"}
        assert world.refreshes == 3

    def test_the_program_s_trace_does_not_see_a_token_that_is_not_sent(self, world: World) -> None:
        """What it is shown of a hop is what goes over the wire."""
        client = world.login("cloud")
        shown: list[dict[bytes, bytes]] = []

        def trace(name: str, info: Mapping[str, Any]) -> None:
            if name.endswith("send_request_headers.started"):
                shown.append({key.lower(): value for key, value in info["request"].headers})

        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        with self._client(self.auth(client)) as http:
            http.get(redirect(client, other), follow_redirects=True, extensions={"trace": trace})
        assert [b"authorization" in headers for headers in shown] == [True, False]
        assert world.leaks() == []

    def test_the_next_request_of_a_redirect_carries_no_token_away(self, world: World) -> None:
        """A program that follows redirects by itself sends what the library has prepared."""
        client = world.login("cloud")
        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        with self._client(self.auth(client)) as http:
            for target in (f"{world.emulator.foreign_url}/x", other):
                response = http.get(redirect(client, target))
                http.send(response.next_request)
                http.send(response.next_request, auth=None)
        assert world.leaks() == []
        assert len(world.emulator.requests) == 6

    def test_a_stream_of_the_program_s_own_is_sent_once(self, world: World) -> None:
        """Whatever a stream class wraps: how it reads is not known, so nothing is rewound."""

        class Counted(self.library.SyncByteStream):  # type: ignore[name-defined,misc]
            def __init__(self, data: bytes) -> None:
                self._stream = io.BytesIO(data)

            def __iter__(self) -> Iterator[bytes]:
                yield self._stream.read()

        class Fielded(Counted):
            fields: ClassVar[list[Any]] = []

        class Derived(type(self.library.Request("POST", "http://x", content=iter([b""])).stream)):  # type: ignore[misc]
            pass

        client = world.login("cloud")
        with self._client(self.auth(client)) as http:
            for stream in (Counted(DATA), Fielded(DATA), Derived(io.BytesIO(DATA))):
                world.emulator.reset_log()
                world.expire()
                request = self.library.Request(
                    "POST",
                    echo(client),
                    stream=stream,
                    headers={
                        "Host": urlsplit(client.base_url).netloc,
                        "Content-Length": str(len(DATA)),
                    },
                )
                assert http.send(request).status_code == 401
                (upload,) = world.echoes
                assert upload.body_sha256 == DATA_SHA256

    def test_one_connection_serves_all_attempts(self, world: World) -> None:
        """What was rejected is read to its end, so that its connection is used again."""
        client = world.login("cloud")
        url = echo(client)
        world.emulator.faults.next("/rest/echo", Status(401, DATA))
        world.emulator.faults.next("/rest/echo", Status(200, DATA))
        made: list[str] = []
        extensions = {"trace": lambda name, _: made.append(name)}
        with self._client(self.auth(client)) as http:
            with http.stream("GET", url, extensions=extensions) as response:
                assert b"".join(response.iter_bytes(5000)) == DATA
            assert http.get(url, extensions=extensions).status_code == 200
        assert made.count("connection.connect_tcp.started") == 1
        assert len(world.echoes) == 3

    def test_a_response_can_be_pickled(self, world: World) -> None:
        """As caches and process pools do."""
        client = world.login("cloud")
        world.expire()
        with self._client(self.auth(client)) as http:
            response = http.get(echo(client))
        assert pickle.loads(pickle.dumps(response)).json() == response.json()
        assert pickle.loads(pickle.dumps(response.request)).url == response.request.url


class EventLoopTests(HTTPXFamilyTests, ErrorTests, ConcurrencyTests):
    """What concerns event loops: crowds, waiting, cancelling, errors. For every further backend."""

    def test_the_event_loop_runs_on_while_a_token_is_fetched(self, world: World) -> None:
        """Other requests of the same loop do not wait for a refresh that takes long."""
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
                    statuses.append((await http.get(url)).status_code)

                group.start_soon(get, echo(client))
                await anyio.to_thread.run_sync(hold.wait_arrived)
                await get(f"{world.emulator.foreign_url}/status/204")
                hold.release()
            return statuses

        assert self._run(main) == [204, 200]

    @pytest.mark.parametrize("when", ["before the request", "after a rejection"])
    def test_a_cancelled_task_loses_no_login(self, world: World, when: str) -> None:
        """The refresh it waited for is finished and kept; the next loop has the new token."""
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
                group.start_soon(http.get, echo(client))
                await anyio.to_thread.run_sync(hold.wait_arrived)
                group.cancel_scope.cancel()

        self._run(main)
        hold.release()
        landed()
        (reply,) = self._get(echo(client), auth=auth)
        assert (reply.status, reply.history) == (200, ())
        assert world.refreshes == 1

    def test_a_real_async_file_is_sent_once(self, world: World, tmp_path: Path) -> None:
        """Anyio's files say that they can seek, and mean that one may await it."""
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
                        response = await http.post(echo(client), content=file)
                        statuses.append(response.status_code)
            return statuses

        assert self._run(main) == [401, 200]
        shas = [request.body_sha256 for request in world.echoes]
        assert shas == [hashlib.sha256(path.read_bytes()).hexdigest()] * 2

    def test_one_object_serves_sync_and_async_clients(self, world: World) -> None:
        """At the same time, with one refresh between them."""
        client = world.login("cloud")
        auth = self.auth(client)
        url = echo(client)
        hold = Hold()
        world.emulator.faults.next("/rest/echo", hold, times=2)

        def sync() -> int:
            with self._client(auth) as http:
                return int(http.get(url).status_code)

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.submit(sync), pool.submit(self._get, url, auth=auth)
            hold.wait_arrived(2)
            world.emulator.cloud.expire_access_tokens()
            hold.release()
            (reply,) = other.result(PATIENCE)
            assert (one.result(PATIENCE), reply.status) == (200, 200)
        assert world.refreshes == 1


class AsyncHTTPXFamilyContract(EventLoopTests, HTTPXFamilyContract):
    """All of it, with the async client on an event loop."""


def _reply(response: Any, streamed: bool) -> Reply:
    return Reply(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
        response.content,
        str(response.url),
        tuple(each.status_code for each in response.history),
        _seconds(response),
        streamed,
    )


def _seconds(response: Any) -> float:
    try:
        return float(response.elapsed.total_seconds())
    except RuntimeError:  # of a double: it was there at once
        return 0.0


async def _slowly(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 5000):
        yield data[start : start + 5000]


class _AsyncFile:
    """A file as anyio and trio have them: it says that it can seek, and seeking must be awaited."""

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
