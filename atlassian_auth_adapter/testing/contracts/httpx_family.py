"""The contract for libraries that speak the interface of httpx: sync clients, and event loops."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter.testing.emulator import Hold, Status

from .adapters import AuthAdapterContract
from .event_loops import EventLoopTests
from .httpx_base import HTTPXFamilyTests
from .proxies import ProxyTests
from .world import (
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
)

__all__ = [
    "AsyncHTTPXFamilyContract",
    "HTTPXEventLoopTests",
    "HTTPXFamilyContract",
    "SyncHTTPXFamilyContract",
]


class HTTPXFamilyContract(HTTPXFamilyTests, AuthAdapterContract, ProxyTests):
    """What concerns both kinds of clients."""

    def test_the_wrong_object_names_the_right_one(self) -> None:
        """A library accepts any callable as auth: the error says which class to use instead."""
        import atlassian_auth_adapter as package

        right = self.auth_class.__name__
        source = FixedTokenSource(CLOUD)
        for cls in (
            *(package.AtlassianAuth, package.AtlassianHTTPXAuth),
            *(package.AtlassianHTTPX2Auth, package.AtlassianAiohttpAuth),
        ):
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


class HTTPXEventLoopTests(EventLoopTests, HTTPXFamilyTests):
    """What concerns async clients, for each backend."""

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


class AsyncHTTPXFamilyContract(HTTPXEventLoopTests, HTTPXFamilyContract):
    """All of it, with the async client on an event loop."""
