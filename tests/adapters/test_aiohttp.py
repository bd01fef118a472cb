"""The auth object for aiohttp: the contract, and the tests for aiohttp alone."""

from __future__ import annotations

import asyncio
import gzip
import io
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
import requests
from aiohttp import web
from yarl import URL

from atlassian_auth_adapter import (
    AtlassianAiohttpAuth,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    TokenSource,
)
from atlassian_auth_adapter.adapters import _auth
from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.testing.contracts import AuthAdapterContract
from atlassian_auth_adapter.testing.contracts.aiohttp_base import AiohttpTests, OfflineConnector
from atlassian_auth_adapter.testing.contracts.event_loops import EventLoopTests
from atlassian_auth_adapter.testing.contracts.proxies import ProxyTests
from atlassian_auth_adapter.testing.contracts.world import (
    BEARER,
    CLOUD,
    DATA,
    DATA_SHA256,
    GATEWAY,
    Call,
    FixedTokenSource,
    Sent,
    UnseekableFile,
    World,
    echo,
    redirect,
    secrets_in,
    wait_for_refreshes,
)
from atlassian_auth_adapter.testing.emulator import Hold, Status

from .sources import Source

SITE = "https://acme.atlassian.net"


class TestContract(EventLoopTests, AiohttpTests, AuthAdapterContract, ProxyTests):
    """All that holds for each library."""


class TestAgainstTheEmulator(AiohttpTests):
    """For aiohttp alone, with a whole Atlassian."""

    def test_raise_for_status_hides_no_rejection(self, world: World) -> None:
        """It looks at the final answer only; its error shows no token."""
        client = world.login("cloud")
        world.expire()
        call = Call("GET", echo(client))
        (reply,) = self.exchange(call, auth=self.auth(client), raise_for_status=True)
        assert (reply.status, reply.history) == (200, (401,))
        world.emulator.faults.next("/rest/echo", Status(403), times=None)
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            self.exchange(call, auth=self.auth(client), raise_for_status=True)
        headers = dict(raised.value.request_info.headers)
        assert not secrets_in(f"{raised.value!r} {headers}", world.emulator)

    def test_a_trace_shows_the_token_hidden(self, world: World) -> None:
        """Only the trace of headers as they are sent has it, and prints it as hidden."""
        client = world.login("cloud")
        world.expire()
        shown: list[str] = []

        async def show(_: Any, context: Any, parameters: Any) -> None:
            shown.append(f"{parameters!r} {getattr(parameters, 'headers', '')}")

        trace = aiohttp.TraceConfig()
        for name, signal in vars(trace).items():
            if name.startswith("_on_"):
                signal.append(show)
        call = Call("GET", redirect(client, echo(client)))
        self.exchange(call, auth=self.auth(client), trace_configs=[trace])
        assert len(shown) > 10
        assert not secrets_in(" ".join(shown), world.emulator)
        assert "<hidden>" in " ".join(shown)

    def test_a_session_that_times_out_loses_no_login(self, world: World) -> None:
        """The wait for a token counts towards its timeout; the refresh ends and is saved."""
        client = world.login("cloud")
        world.clock.advance(3600)
        hold = Hold(after=True)
        world.emulator.faults.next("token", hold)
        with pytest.raises(asyncio.TimeoutError):
            self.exchange(
                Call("GET", echo(client)),
                auth=self.auth(client),
                timeout=aiohttp.ClientTimeout(total=0.05),
            )
        hold.wait_arrived()
        hold.release()
        wait_for_refreshes()
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, world.refreshes) == (200, 1)

    def test_one_connection_serves_all_attempts(self, world: World) -> None:
        """A rejection is read to its end, so that its connection is used again."""
        client = world.login("cloud")
        world.expire()
        made: list[str] = []

        async def note(*_: Any) -> None:
            made.append("connection")

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(note)
        calls = [Call("POST", echo(client), content=DATA)] * 2
        self.exchange(*calls, auth=self.auth(client), trace_configs=[trace])
        assert len(world.echoes) == 3
        assert len(made) == 1

    @pytest.mark.parametrize("first", ["mine", "another"])
    def test_two_logins_in_one_session(self, world: World, first: str) -> None:
        """Each request carries the token of its own place, and each rejection renews its own."""
        cloud, server = world.login("cloud"), world.login("data_center")
        auths = [self.auth(cloud), self.auth(server)]
        options = {"middlewares": auths if first == "mine" else auths[::-1]}
        calls = [
            Call("POST", echo(client), content=DATA, before=lambda name=name: world.expire(name))
            for name, client in (("cloud", cloud), ("data_center", server))
        ]
        replies = self.exchange(*calls, auth=None, **options)
        assert [reply.status for reply in replies] == [200, 200]
        assert {request.body_sha256 for request in world.echoes} == {DATA_SHA256}
        assert world.leaks() == []
        assert world.refreshes == 2

    def test_two_logins_for_one_place(self, world: World) -> None:
        """The last one in the list is sent; the other takes no answer for one to itself."""
        first, second = world.login("cloud"), world.login("cloud", account="second")
        world.expire()
        options = {"middlewares": [self.auth(first), self.auth(second)]}
        (reply,) = self.exchange(Call("GET", echo(first)), auth=None, **options)
        assert reply.status == 200
        sent = world.echoes[-1].headers["authorization"]
        assert sent == f"Bearer {second.get_access_token()}"
        assert world.refreshes == 1

    @pytest.mark.parametrize("in_a_task", [False, True])
    def test_a_middleware_before_it_may_send_requests_in_tasks(
        self, world: World, in_a_task: bool
    ) -> None:
        """Row 14: what a foreign host redirects to gets no token, whatever runs each hop."""
        client = world.login("cloud")

        async def outer(request: Any, handler: Any) -> Any:
            if in_a_task:
                return await asyncio.create_task(handler(request))
            return await handler(request)

        url = f"{world.emulator.foreign_url}/redirect?to={echo(client)}"
        options = {"middlewares": [outer, self.auth(client)]}
        (reply,) = self.exchange(Call("GET", url), auth=None, **options)
        assert reply.status == 401
        assert "authorization" not in world.echoes[0].headers

    def test_a_middleware_before_it_may_try_another_host(self, world: World) -> None:
        """The request that it sends again elsewhere has no token any more."""
        client = world.login("cloud")
        foreign = URL(f"{world.emulator.foreign_url}/status/200")

        async def elsewhere(request: Any, handler: Any) -> Any:
            response = await handler(request)
            response.release()
            request.url = foreign
            return await handler(request)

        options = {"middlewares": [elsewhere, self.auth(client)]}
        (reply,) = self.exchange(Call("GET", echo(client)), auth=None, **options)
        assert reply.status == 200
        assert "authorization" not in world.emulator.requests[-1].headers
        assert world.leaks() == []

    def test_a_middleware_before_it_may_repeat_a_request(self, world: World) -> None:
        """Also one that is routed to the gateway, with a token that has changed meanwhile."""
        client = world.login("cloud")

        async def twice(request: Any, handler: Any) -> Any:
            (await handler(request)).release()
            world.expire()
            return await handler(request)

        options = {"middlewares": [twice, self.auth(client)]}
        url = f"{world.emulator.cloud.sites[0].url}/rest/echo?a=%2Fb"
        (reply,) = self.exchange(Call("POST", url, content=DATA), auth=None, **options)
        assert reply.status == 200
        assert [request.status for request in world.echoes] == [200, 401, 200]
        assert {request.body_sha256 for request in world.echoes} == {DATA_SHA256}
        assert len({request.target for request in world.echoes}) == 1
        assert world.leaks() == []

    def test_a_middleware_after_it_may_replace_the_credential(self, world: World) -> None:
        """The answer then says nothing about the token."""
        client = world.login("cloud")

        async def replace(request: Any, handler: Any) -> Any:
            request.headers["Authorization"] = "Basic eDp5"
            return await handler(request)

        options = {"middlewares": [self.auth(client), replace]}
        (reply,) = self.exchange(Call("GET", echo(client)), auth=None, **options)
        assert reply.status == 401
        assert world.refreshes == 0

    def test_a_middleware_after_it_may_read_the_answer(self, world: World) -> None:
        """A rejection is seen all the same: a missing scope in its text costs no refresh."""
        client = world.login("cloud", scopes=["read:jira-user", "offline_access"])

        async def read(request: Any, handler: Any) -> Any:
            response = await handler(request)
            await response.read()
            return response

        options = {"middlewares": [self.auth(client), read]}
        url = f"{client.base_url}/rest/api/3/issue/ABC-1"
        (reply,) = self.exchange(Call("GET", url), auth=None, **options)
        assert b"scope does not match" in reply.body
        assert (world.refreshes, len(world.named("scope_missing"))) == (0, 1)

    @pytest.mark.parametrize("status", [307, 308])
    @pytest.mark.parametrize("kind", ["bytes", "file from the middle", "file on disk"])
    def test_an_upload_that_is_rejected_and_redirected(
        self, world: World, status: int, kind: str
    ) -> None:
        """It arrives complete, also where a redirect leads out of the grant, without the token."""
        client = world.login("cloud")
        for target in (echo(client), f"{world.emulator.foreign_url}/rest/echo"):
            world.expire()
            call = Call("POST", redirect(client, target, status), **self.body(kind))
            (reply,) = self.exchange(call, auth=self.auth(client))
            assert reply.history == (401, status)
            assert world.emulator.requests[-1].body_sha256 == DATA_SHA256
        assert "authorization" not in world.emulator.requests[-1].headers
        assert world.leaks() == []

    def test_a_relative_redirect_of_a_request_that_was_routed(self, world: World) -> None:
        """For aiohttp it came from the site: what it asks for there is routed as well."""
        client = world.login("cloud")
        site = world.emulator.cloud.sites[0].url
        for target in ("echo", "/rest/echo", urlsplit(echo(client)).path, "?to=%2Frest%2Fecho"):
            url = f"{site}/rest/redirect?to={quote(target, safe='')}"
            (reply,) = self._get(url, auth=self.auth(client))
            assert (reply.status, reply.url) == (200, echo(client)), target
        assert {request.role for request in world.emulator.requests} == {"api"}

    def test_digest_and_the_token(self, world: World) -> None:
        """The middleware of aiohttp for another host, before or after: each host has its own."""
        client = world.login("cloud")
        digest = aiohttp.DigestAuthMiddleware("user", "password")
        for middlewares in ([digest, self.auth(client)], [self.auth(client), digest]):
            world.expire()
            (reply,) = self.exchange(
                Call("POST", echo(client), content=DATA), auth=None, middlewares=middlewares
            )
            assert reply.status == 200
        assert world.leaks() == []

    @pytest.mark.parametrize("flavour", ["cloud", "data_center"])
    def test_no_other_login_replaces_the_token(
        self, world: World, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a header of the program or of the session, nor a user name in the URL, nor
        `.netrc`; elsewhere they are sent.
        """
        client = world.login(flavour)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login x password y\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("NO_PROXY", "*")
        url, foreign = echo(client), f"{world.emulator.foreign_url}/status/200"
        basic = {"Authorization": "Basic eDp5"}
        for call, options in (
            (Call("GET", url, headers=basic), {}),
            (Call("GET", url), {"headers": basic}),
            (Call("GET", url.replace("//", "//x:y@")), {}),
            (Call("GET", url), {"trust_env": True}),
        ):
            at_foreign = Call("GET", foreign, headers=call.headers)
            replies = self.exchange(call, at_foreign, auth=self.auth(client), **options)  # type: ignore[arg-type]
            assert [reply.status for reply in replies] == [200, 200]
            assert world.echoes[-1].headers["authorization"].startswith("Bearer ")
            has_other = "@" not in call.url
            assert ("authorization" in world.emulator.requests[-1].headers) is has_other
        assert world.leaks() == []

    def test_a_middleware_after_it_may_choose_another_place(self, world: World) -> None:
        """That place has the token then, as the program wants it; its 401 says nothing about it."""
        client = world.login("cloud")

        async def elsewhere(request: Any, handler: Any) -> Any:
            request.url = URL(f"{world.emulator.foreign_url}/status/401")
            return await handler(request)

        options = {"middlewares": [self.auth(client), elsewhere]}
        (reply,) = self.exchange(Call("GET", echo(client)), auth=None, **options)
        assert reply.status == 401
        assert world.refreshes == 0


# --- without a whole Atlassian --------------------------------------------------------------------


@asynccontextmanager
async def _serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """The URL of a server of aiohttp, on this event loop."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _session(source: TokenSource, **options: Any) -> aiohttp.ClientSession:
    known = {"middlewares": (AtlassianAiohttpAuth(source),), "timeout": aiohttp.ClientTimeout(20)}
    return aiohttp.ClientSession(**(known | options))


def test_a_websocket_carries_the_token() -> None:
    """Within the grant, with ws:// or http://; a rejected handshake is made again."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "")
        seen.append((request.path, token))
        if token == "Bearer old":
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        return socket

    async def main() -> None:
        async with _serving(answer) as url, _session(Source(f"{url}/jira")) as session:
            for address in (url.replace("http", "ws"), url):
                for path in ("/jira/socket", "/elsewhere"):
                    async with session.ws_connect(address + path) as websocket:
                        assert await websocket.receive_str() == "hello"

    asyncio.run(main())
    assert seen == [
        ("/jira/socket", "Bearer old"),
        ("/jira/socket", "Bearer new"),
        ("/elsewhere", ""),
        ("/jira/socket", "Bearer new"),
        ("/elsewhere", ""),
    ]


class OfTheProgram(aiohttp.BytesPayload):
    """It may do anything when it is written."""


def _bodies(path: Path, opened: Callable[[Any], Any]) -> Iterator[tuple[str, Any, bool]]:
    """Bodies of DATA by name, and whether each can be sent again."""
    yield "bytearray", bytearray(DATA), True
    yield "memoryview", memoryview(DATA), True
    yield "payload", aiohttp.BytesPayload(DATA), True
    yield "raw file", opened(path.open("rb", buffering=0)), True
    yield "file for reading and writing", opened(path.open("r+b")), True
    yield "payload of the program", OfTheProgram(DATA), False
    yield "text file", opened(path.open("r", encoding="latin-1")), False
    yield "stream", _stream(), False
    yield "file without a descriptor", WithoutDescriptor(DATA), False

    async def chunks() -> AsyncIterator[bytes]:
        yield DATA

    yield "generator in a form", _form(chunks()), False
    yield "nested forms", _form(_form(opened(path.open("rb")))), True
    yield "nested forms with a generator", _form(_form(chunks())), False


def _stream() -> aiohttp.StreamReader:
    stream: Any = aiohttp.StreamReader(AnyProtocol(), 2**30, loop=asyncio.get_running_loop())
    stream.feed_data(DATA)
    stream.feed_eof()
    return stream  # type: ignore[no-any-return]


class WithoutDescriptor(UnseekableFile):
    """A file that can seek, but whose size is not known."""

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()


class AnyProtocol:
    """Of a stream that is in memory."""

    connected, _reading_paused = True, False

    def resume_reading(self, **_: Any) -> None:
        pass


def _form(part: Any) -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("mixed")
    writer.append(part)
    return writer


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_bodies_are_sent_again_if_they_are_known_to_be_complete(
    tmp_path: Path, compress: str | None
) -> None:
    """Row 14: no body arrives empty or in part, whatever it is made of."""
    got: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        got.append(await request.read())
        return web.Response(status=401 if request.headers["Authorization"] == "Bearer old" else 200)

    path = tmp_path / "data"
    path.write_bytes(DATA)

    async def main() -> None:
        async with _serving(answer) as url:
            for name, body, is_repeated in _bodies(path, files.enter_context):
                got.clear()
                async with (
                    _session(Source(url)) as session,
                    session.post(url, data=body, compress=compress) as response,
                ):
                    pass
                assert response.status == (200 if is_repeated else 401), name
                assert len(got) == 1 + is_repeated, name
                assert len(set(got)) == 1, name
                assert (DATA in got[0]) or name == "text file", name

    with ExitStack() as files:
        asyncio.run(main())


@pytest.mark.parametrize("kind", ["file", "bytes", "BytesIO", "generator"])
def test_an_upload_that_is_rejected_before_it_has_ended(tmp_path: Path, kind: str) -> None:
    """The server answers the headers and reads no further. Bytes are sent again, complete; a file
    only if it was read to its end, because else a thread may still read it.
    """
    data = DATA * 100
    path = tmp_path / "data"
    path.write_bytes(data)

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    bodies: dict[str, Callable[[], Any]] = {
        "file": lambda: path.open("rb"),
        "bytes": lambda: aiohttp.BytesPayload(DATA * 3),
        "BytesIO": lambda: io.BytesIO(data),
        "generator": chunks,
    }
    complete: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"Bearer old" in head:
                writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 2\r\n\r\nno")
                await asyncio.sleep(0)
            else:
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                complete.append(len(await reader.readexactly(length)))
                writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    async def main() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            server,
            _session(Source(url)) as session,
            session.post(url, data=bodies[kind]()) as response,
        ):
            assert await response.read() in (b"no", b"ok")
            return response.status

    status = asyncio.run(main())
    if kind == "bytes":
        assert (status, complete) == (200, [len(DATA * 3)])
    else:
        whole = (200, [len(data)])  # aiohttp 3.12.1 reads all of a file at once
        assert (status, complete) in ((401, []), whole if kind == "file" else None)


def test_a_body_that_was_not_asked_for_is_sent_with_the_new_token() -> None:
    """Expect: 100-continue, and the server rejects the headers: the next server asks for it."""
    complete: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"Bearer old" in head:
                writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 2\r\n\r\nno")
                break
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            complete.append(await reader.readexactly(len(DATA)))
            writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nok")
            break
        await writer.drain()
        writer.close()

    async def main() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            server,
            _session(Source(url)) as session,
            session.post(url, data=DATA, expect100=True) as response,
        ):
            return response.status

    assert (asyncio.run(main()), complete) == (200, [DATA])


WAYS: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[bytes]]] = {
    "read": lambda response: response.read(),
    "text": lambda response: _encoded(response.text()),
    "readexactly": lambda response: response.content.readexactly(len(DATA)),
    "readany": lambda response: _joined(response.content.iter_any()),
    "chunked": lambda response: _joined(response.content.iter_chunked(1000)),
    "chunks": lambda response: _joined(chunk async for chunk, _ in response.content.iter_chunks()),
    "lines": lambda response: _joined(response.content),
    "until": lambda response: _until(response.content),
}


async def _encoded(text: Awaitable[str]) -> bytes:
    return (await text).encode("latin-1")


async def _joined(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def _until(content: aiohttp.StreamReader) -> bytes:
    found = b""
    while not content.at_eof():
        found += await content.readuntil(b"\x00")
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_rejection_that_is_returned_can_be_read_in_each_way(way: str, chunked: bool) -> None:
    """It is larger than what was looked at."""

    async def answer(request: web.Request) -> web.StreamResponse:
        kind = {"Content-Type": "text/x; charset=latin-1"}
        response = web.StreamResponse(status=401, headers=kind)
        if not chunked:
            response.content_length = len(DATA)
        await response.prepare(request)
        for start in range(0, len(DATA), 30_000):
            await response.write(DATA[start : start + 30_000])
        return response

    async def main() -> bytes:
        source = FixedTokenSource(OneServer("http://127.0.0.1"))
        async with _serving(answer) as url:
            source._resource_server = OneServer(url)
            async with _session(source) as session, session.post(url, data=_once()) as response:
                return await WAYS[way](response)

    assert asyncio.run(main()) == DATA


async def _once() -> AsyncIterator[bytes]:
    yield b"sent once"


@pytest.mark.parametrize("decompress", [True, False])
def test_a_missing_scope_is_found_whether_aiohttp_decodes_the_body(decompress: bool) -> None:
    """A session may leave bodies as they are sent."""
    text = b'{"code":401,"message":"Unauthorized; scope does not match"}'
    sent = gzip.compress(text)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, body=sent, headers={"Content-Encoding": "gzip"})

    async def main() -> tuple[bytes, str]:
        async with _serving(answer) as url:
            source = Source(url)
            async with _session(source, auto_decompress=decompress) as session:
                body = await (await session.get(url)).read()
            return body, source.current().access_token

    assert asyncio.run(main()) == (text if decompress else sent, "old")


def test_routing_leaves_nothing_of_the_site() -> None:
    """The gateway gets its own name, also in TLS, and no cookie of the site."""
    requests: list[Any] = []

    class Connector(OfflineConnector):
        async def _create_connection(self, request: Any, *arguments: Any) -> Any:
            requests.append(request)
            return await super()._create_connection(request, *arguments)

    sent: list[Sent] = []

    async def main() -> None:
        connector, jar = Connector(sent), aiohttp.CookieJar()
        jar.update_cookies({"a": "b"}, URL(SITE))
        source = FixedTokenSource(CLOUD)
        async with (
            _session(source, connector=connector, cookie_jar=jar) as session,
            session.get(
                f"{SITE}/rest/x?q=%2F&r=a+b",
                server_hostname="acme.atlassian.net",
                params={"s": "1 2"},
                cookies={"c": "d"},
            ) as response,
        ):
            assert response.url == response.real_url
            assert str(response.url) == f"{GATEWAY}/rest/x?q=/&r=a+b&s=1+2"

    asyncio.run(main())
    ((request,), (got,)) = requests, sent
    assert request.connection_key.host == "api.atlassian.com"
    assert request.server_hostname is None
    assert got.headers["host"] == "api.atlassian.com"
    assert got.headers["authorization"] == f"Bearer {BEARER}"
    assert "cookie" not in got.headers


@pytest.mark.parametrize("base", ["https://jira.example.com", "https://JIRA.example.com/jira/"])
def test_paths_that_are_relative_to_the_base_url_of_the_session(base: str) -> None:
    """What is judged is the whole URL."""
    sent: list[Sent] = []

    async def main() -> None:
        source = FixedTokenSource(OneServer("https://jira.example.com/jira"))
        connector = OfflineConnector(sent)
        async with _session(source, connector=connector, base_url=base) as session:
            for path in ("/jira/rest/x", "/other", "https://evil.example/jira/x", "/jira/../other"):
                await session.get(path)

    asyncio.run(main())
    assert ["authorization" in each.headers for each in sent] == [True, False, False, False]


def test_a_connector_of_another_kind_is_judged_by_the_url(tmp_path: Path) -> None:
    """A socket of the file system leads wherever the program says; the URL names the place."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response()

    async def main() -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "s")).start()
        connector = aiohttp.UnixConnector(str(tmp_path / "s"))
        source = FixedTokenSource(OneServer("http://localhost/jira"))
        async with _session(source, connector=connector) as session:
            for url in ("http://localhost/jira/x", "http://evil.example/jira/x"):
                await session.get(url)
        await runner.cleanup()

    asyncio.run(main())
    assert seen == [f"Bearer {BEARER}", ""]


def test_a_cancelled_task_leaves_no_connection() -> None:
    """Cancelled while the start of a rejection is read."""
    came, end = asyncio.Event(), asyncio.Event()
    kept: list[aiohttp.ClientResponse] = []

    async def keep(request: Any, handler: Any) -> Any:
        kept.append(await handler(request))
        came.set()
        return kept[0]

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=401)
        await response.prepare(request)
        await response.write(b"slow")
        await end.wait()
        return response

    async def main() -> int:
        async with _serving(answer) as url:
            middlewares = (AtlassianAiohttpAuth(Source(url)), keep)
            async with aiohttp.ClientSession(middlewares=middlewares) as session:
                task = asyncio.create_task(session._request("GET", url))
                await came.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                end.set()
                assert session.connector is not None
                return len(session.connector._acquired)

    assert asyncio.run(main()) == 0
    assert kept[0].closed


def test_the_time_of_a_request_may_end_while_a_rejection_is_read() -> None:
    """The program gets its timeout: no token is waited for after it, and nothing is sent again."""
    seen: list[str] = []
    end = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        response = web.StreamResponse(status=401)
        await response.prepare(request)
        await response.write(b"slow")
        await end.wait()
        return response

    async def main() -> str:
        async with _serving(answer) as url:
            source, timeout = Source(url), aiohttp.ClientTimeout(total=0.1)
            async with _session(source, timeout=timeout) as session:
                for method in ("GET", "POST"):
                    with pytest.raises(asyncio.TimeoutError):
                        await session.request(method, url)
            end.set()
        return source.current().access_token

    assert asyncio.run(main()) == "old"
    assert "Bearer new" not in seen


def test_a_header_that_cannot_be_encoded_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its extension in C, aiohttp quotes all headers in the error."""
    writer: Any = aiohttp.http_writer
    monkeypatch.setattr(writer, "_serialize_headers", writer._py_serialize_headers)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response()

    async def main() -> None:
        async with _serving(answer) as url:
            source = FixedTokenSource(OneServer(url))
            async with _session(source) as session:
                await session.get(url, cookies={"a": "b\ud800"}, headers={"X": "key"})

    with pytest.raises(UnicodeEncodeError, match="d800") as raised:
        asyncio.run(main())
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    texts = ["".join(shown.format()), repr(raised.value), raised.value.object]
    assert BEARER not in "".join([*texts, *map(str, raised.value.args)])


def test_what_is_remembered_of_foreign_redirects_has_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program may follow any number of them."""
    monkeypatch.setattr(_auth, "MOST_REMEMBERED", 3)
    auth = AtlassianAiohttpAuth(FixedTokenSource(CLOUD))
    sent: list[Sent] = []
    answers = [(302, {"Location": f"{GATEWAY}/rest/x"}), (200, {})] * 10
    calls = [Call("GET", "https://evil.example/x")] * 10
    tests = AiohttpTests()
    sent = tests.send_offline(*calls, auth=auth, answers=answers)
    assert len(sent) == 20
    assert BEARER not in str(sent)
    assert len(auth._led_away) == 3


def test_the_wrong_object_names_the_right_one() -> None:
    """Libraries take any callable: the error names the right class, before anything is sent."""
    sent: list[Sent] = []

    async def get(auth: Any) -> None:
        async with aiohttp.ClientSession(
            middlewares=(auth,), connector=OfflineConnector(sent)
        ) as session:
            await session.get("https://api.atlassian.com/me")

    for wrong in (AtlassianAuth, AtlassianHTTPXAuth, AtlassianHTTPX2Auth):
        with pytest.raises(TypeError, match=r"use AtlassianAiohttpAuth\(\.\.\.\) for aiohttp"):
            asyncio.run(get(wrong(FixedTokenSource(CLOUD))))
    assert sent == []
    ours: Any = AtlassianAiohttpAuth(FixedTokenSource(CLOUD))
    with requests.Session() as session, pytest.raises(TypeError, match=r"use AtlassianAuth\("):
        session.get("https://api.atlassian.com/me", auth=ours)
