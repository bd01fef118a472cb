"""The contract for libraries that speak the interface of httpx: sync clients, and event loops."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import pytest

from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.errors import ConfigurationError
from atlassian_auth_adapter.testing.emulator import Hold, Status

from .adapters import AuthAdapterContract
from .concurrency import ConcurrencyTests
from .errors import ErrorTests
from .httpx_base import HTTPXFamilyTests
from .world import (
    BEARER,
    CLOUD,
    DATA,
    DATA_SHA256,
    GATEWAY,
    PATIENCE,
    Call,
    FixedTokenSource,
    Sent,
    World,
    echo,
    redirect,
    wait_for_refreshes,
)

__all__ = [
    "AsyncHTTPXFamilyContract",
    "EventLoopTests",
    "HTTPXFamilyContract",
    "SyncHTTPXFamilyContract",
]


class HTTPXFamilyContract(HTTPXFamilyTests, AuthAdapterContract):
    """What concerns both kinds of clients."""

    def test_through_a_proxy_the_rules_are_the_same(self, world: World) -> None:
        """The request line has the whole URL, also that of a redirected request."""
        server = "http://jira.example.com/redirect"
        auth = self.auth(FixedTokenSource(OneServer(server)))
        for target in ("/status/200", "http://jira.example.com/status/200"):
            inside = f"{server}?to={quote(target, safe='')}"
            call = Call("GET", f"{server}?to={quote(inside, safe='')}")
            self.exchange(call, auth=auth, proxy=world.emulator.foreign_url)
        hops = [request.headers.get("authorization") for request in world.emulator.requests]
        assert hops == [f"Bearer {BEARER}", f"Bearer {BEARER}", None] * 2

    def test_a_proxy_gets_no_token_for_this_machine(self, world: World, flavour: str) -> None:
        """It would read the token, because http to this machine is not encrypted: an error."""
        client = world.login(flavour)
        auth = self.auth(client)
        proxy = world.emulator.foreign_url
        with pytest.raises(ConfigurationError, match="NO_PROXY") as raised:
            self.exchange(Call("GET", echo(client)), auth=auth, proxy=proxy)
        assert isinstance(raised.value, self.request_error)
        assert not world.emulator.requests
        self.exchange(Call("GET", f"{world.emulator.foreign_url}/x"), auth=auth, proxy=proxy)
        (request,) = world.emulator.requests
        assert "authorization" not in request.headers

    def test_the_wrong_object_names_the_right_one(self) -> None:
        """A library accepts any callable as auth: the error says which class to use instead."""
        from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth

        right = self.auth_class.__name__
        source = FixedTokenSource(CLOUD)
        for cls in (AtlassianAuth, AtlassianHTTPXAuth, AtlassianHTTPX2Auth):
            if cls is self.auth_class:
                continue
            wrong: Any = cls(source)
            sent: list[Sent] = []
            with pytest.raises(TypeError, match=rf"use {right}\(") as raised:
                sent = self.send_offline(Call("GET", f"{GATEWAY}/rest/x"), auth=wrong)
            assert cls.__name__ in str(raised.value)
            assert sent == []


class SyncHTTPXFamilyContract(HTTPXFamilyContract):
    """What concerns the sync client only, and objects of the library that both clients share."""

    def test_the_same_request_may_be_sent_many_times(self, world: World) -> None:
        """Also to the site, also after its token expired, also more often than calls may nest."""
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

    def test_a_trace_does_not_show_a_token_that_is_not_sent(self, world: World) -> None:
        """A program's trace of a redirected request shows what is sent."""
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
        """A program that follows redirects itself sends what the library has prepared."""
        client = world.login("cloud")
        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        with self._client(self.auth(client)) as http:
            for target in (f"{world.emulator.foreign_url}/x", other):
                response = http.get(redirect(client, target))
                http.send(response.next_request)
                http.send(response.next_request, auth=None)
        assert world.leaks() == []
        assert len(world.emulator.requests) == 6

    def test_a_stream_class_of_the_program_is_sent_once(self, world: World) -> None:
        """How it reads is not known, so it is not rewound."""

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
        """A short rejection is read to its end, so that its connection is used again."""
        client = world.login("cloud")
        url = echo(client)
        world.emulator.faults.next("/rest/echo", Status(401, DATA[:60_000]))
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
    """What concerns event loops: many requests, waiting, cancelling, errors. For each backend."""

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
                    statuses.append((await http.get(url)).status_code)

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
                group.start_soon(http.get, echo(client))
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
