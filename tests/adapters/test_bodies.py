"""Bodies of rejections: of any size, compressed, broken, or from a cache."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, repeat
from typing import Any, ClassVar

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trio
from requests.adapters import BaseAdapter

from atlassian_auth_adapter import (
    AtlassianAiohttpAuth,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
)
from atlassian_auth_adapter.adapters import _bodies
from atlassian_auth_adapter.adapters._bodies import MOST_LOOKED_AT, PartlyReadFile, decoded

from .sources import Source

PIECE = b"x" * 8192
#: More than any buffer on the way holds: 400 megabytes.
MANY = 400 * 1024 * 1024 // len(PIECE)
SCOPE = b'{"code":401,"message":"Unauthorized; scope does not match"}'
#: trio warns of what httpx and httpx2 leave behind whenever a stream is not read to its end.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Async generator '(httpx|httpcore):ResourceWarning",
)
CLIENTS = ["requests", "httpx", "httpx2", "httpx, asyncio", "httpx2, trio", "aiohttp"]


@dataclass
class Server:
    """Answers the token "old" with a status and a body, and "new" with 200; counts what it sends.

    Attributes:
        url: Of the server.
        status: Of the answer to "old".
        headers: Of that answer.
        body: Its pieces.
        accepts: The token that is answered with 200.
        sent: How many pieces were sent.
        tokens: Of each request, in their order.
        connections: Their addresses.
        bodies: Of the requests.
        accepted: Whether there was a 200.
    """

    url: str = ""
    status: int = 401
    headers: dict[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] = lambda: iter(())
    accepts: str = "Bearer new"
    sent: int = 0
    tokens: list[str] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    bodies: list[bytes] = field(default_factory=list)
    accepted: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server whose 401 may have any body."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.connections.add(self.client_address)
            state.tokens.append(self.headers["Authorization"])
            state.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.headers["Authorization"] == state.accepts:
                state.accepted.set()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                return
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not {"Content-Length", "Transfer-Encoding"} & state.headers.keys():
                self.close_connection = True
            try:
                for piece in state.body():
                    self.wfile.write(piece)
                    state.sent += 1
            except OSError:  # the client has closed the connection
                self.close_connection = True

        do_POST = do_GET  # noqa: N815 - what the standard library calls

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = False  # `server_close` waits until they see that the client is gone
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@dataclass
class Got:
    """A response: its status, those before it, the start of its body, and of the first one's.

    aiohttp keeps no history of a rejection: then the tests do not know the first one.
    """

    status: int
    history: list[int]
    body: bytes
    first: bytes | None


async def _once() -> AsyncIterator[bytes]:
    yield b"sent once"


def got(client: str, url: str, most: int = 100, *, once: bool = False, **body: Any) -> Got:
    """What a client gets that streams, and reads so many bytes.

    With a body, or with one that can be read `once`, it is a POST.
    """
    source = Source(url)
    if once:
        is_async = "," in client or client == "aiohttp"
        body["content"] = _once() if is_async else iter([b"sent once"])
    method = "POST" if body else "GET"
    if client == "requests":
        if body:
            body["data"] = body.pop("content")
        with requests.Session() as session:
            answer = session.request(
                method, url, auth=AtlassianAuth(source), stream=True, timeout=20, **body
            )
            with answer:
                read = b"".join(_first(answer.iter_content(1000), most))
            return _as_got(answer, read)
    if client == "aiohttp":
        return asyncio.run(_by_aiohttp(source, method, url, most, **body))
    library: Any = httpx if client.startswith("httpx,") or client == "httpx" else httpx2
    auth = (AtlassianHTTPXAuth if library is httpx else AtlassianHTTPX2Auth)(source)

    async def get() -> Got:
        async with (
            library.AsyncClient(auth=auth, timeout=20, verify=False) as http,
            http.stream(method, url, **body) as answer,
        ):
            read, chunks = b"", answer.aiter_bytes(1000)
            async for chunk in chunks:
                read += chunk
                if len(read) >= most:
                    break
            await chunks.aclose()
            return _as_got(answer, read)

    if "trio" in client:
        return trio.run(get)
    if "asyncio" in client:
        return asyncio.run(get())
    with (
        library.Client(auth=auth, timeout=20, verify=False) as http,
        http.stream(method, url, **body) as answer,
    ):
        return _as_got(answer, b"".join(_first(answer.iter_bytes(1000), most)))


async def _by_aiohttp(source: Source, method: str, url: str, most: int, **body: Any) -> Got:
    statuses: list[int] = []

    async def note(request: Any, handler: Any) -> Any:
        response = await handler(request)
        statuses.append(response.status)
        return response

    async with (
        aiohttp.ClientSession(middlewares=(AtlassianAiohttpAuth(source), note)) as session,
        session.request(method, url, data=body.get("content")) as answer,
    ):
        read = b""
        while len(read) < most and (chunk := await answer.content.read(1000)):
            read += chunk
        return Got(answer.status, statuses[:-1], read, None)


def _first(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    read = 0
    for chunk in chunks:
        yield chunk
        read += len(chunk)
        if read >= most:
            return


def _as_got(answer: Any, read: bytes) -> Got:
    first = answer.history[0].content if answer.history else b""
    return Got(answer.status_code, [each.status_code for each in answer.history], read, first)


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as chunks of a body of unknown length."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


FRAMED: dict[str, tuple[dict[str, str], Callable[[], Iterator[bytes]]]] = {
    "of a known length": (
        {"Content-Length": str(MANY * len(PIECE))},
        lambda: repeat(PIECE, MANY),
    ),
    "without an end": ({"Transfer-Encoding": "chunked"}, lambda: chunked(repeat(PIECE))),
    "until the connection closes": ({}, lambda: repeat(PIECE)),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framed", FRAMED)
def test_a_rejection_of_any_size_is_not_read_to_its_end(
    server: Server, client: str, framed: str
) -> None:
    """The start is looked at, the connection is closed, and the request is sent again."""
    server.headers, server.body = FRAMED[framed]
    answer = got(client, server.url)
    assert (answer.status, answer.history, answer.body) == (200, [401], b"ok")
    assert server.tokens == ["Bearer old", "Bearer new"]
    assert len(server.connections) == 2
    assert answer.first in (b"x" * MOST_LOOKED_AT, None)
    assert server.sent < MANY / 4  # what the buffers on the way hold


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framed", FRAMED)
def test_a_rejection_that_is_returned_can_be_read_as_a_stream(
    server: Server, client: str, framed: str
) -> None:
    """What was looked at comes first, then the rest, as far as the program reads."""
    server.headers, server.body = FRAMED[framed]
    most = 3 * MOST_LOOKED_AT
    answer = got(client, server.url, most, once=True)
    assert (answer.status, answer.history) == (401, [])
    assert len(answer.body) >= most
    assert set(answer.body) == {ord("x")}


def test_a_rejection_that_is_returned_can_be_read_by_urllib3(server: Server) -> None:
    """By each of the methods of `Response.raw`, decoded or not."""
    body, sent = PIECE * 10, gzip.compress(PIECE * 10)
    server.headers = {"Content-Encoding": "gzip", "Content-Length": str(len(sent))}
    server.body, server.accepts = lambda: iter([sent]), "nothing"
    ways: list[Callable[[Any], bytes]] = [
        lambda raw: bytes(raw.read(decode_content=True)),
        lambda raw: b"".join(raw.stream(100, decode_content=True)),
        lambda raw: b"".join(iter(partial(raw.read1, decode_content=True), b"")),
        lambda raw: b"".join(iter(partial(raw.read1, 100, decode_content=True), b"")),
        lambda raw: gzip.decompress(raw.read(decode_content=False)),
    ]
    for read in ways:
        with requests.Session() as session:
            session.auth = AtlassianAuth(Source(server.url))
            assert read(session.get(server.url, stream=True).raw) == body


@pytest.mark.parametrize("client", CLIENTS)
def test_an_anonymous_download_is_not_read_to_its_end(server: Server, client: str) -> None:
    """Data Center serves an invalid token as if not logged in: the right answer is fetched."""
    server.status = 200
    framed, server.body = FRAMED["of a known length"]
    server.headers = {"X-AUSERNAME": "anonymous", **framed}
    answer = got(client, server.url)
    assert (answer.status, answer.history, answer.body) == (200, [200], b"ok")
    assert server.sent < MANY / 4


@pytest.mark.parametrize("client", CLIENTS)
def test_a_rejection_that_comes_byte_by_byte_is_not_waited_for(
    server: Server, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds the request is sent again, whatever has come of the body by then."""

    def slow() -> Iterator[bytes]:
        yield b"x"
        server.accepted.wait(20)

    monkeypatch.setattr(_bodies, "monotonic", count(step=_bodies.LONGEST_LOOK).__next__)
    for headers, body in (
        ({"Content-Length": "70000"}, slow),
        ({"Transfer-Encoding": "chunked"}, lambda: chunked(slow())),
        ({}, slow),
    ):
        server.headers, server.body = headers, body
        server.accepted.clear()
        answer = got(client, server.url)
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.first in (b"x", None)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_short_rejection_keeps_its_connection(server: Server, client: str) -> None:
    """It is read to its end, so the second attempt uses the connection again."""
    pieces = [PIECE] * 7
    for headers, body in (
        ({"Content-Length": str(sum(map(len, pieces)))}, pieces),
        ({"Content-Length": "0"}, []),
        ({"Transfer-Encoding": "chunked"}, pieces),
    ):
        framed = chunked if "Transfer-Encoding" in headers else iter
        server.headers = headers
        server.body = partial(framed, body)
        server.connections.clear()
        answer = got(client, server.url)
        assert answer.status == 200
        assert answer.first in (b"".join(body), None)
        assert len(server.connections) == 1


BROKEN = {
    "gzip that is not gzip": ({"Content-Encoding": "gzip"}, SCOPE),
    "gzip that breaks": ({"Content-Encoding": "gzip"}, gzip.compress(b"no" * 9000)[:40] + PIECE),
    "deflate that is not deflate": ({"Content-Encoding": "deflate"}, PIECE),
    "zstd that is not zstd": ({"Content-Encoding": "zstd"}, PIECE),
    "two codings, both wrong": ({"Content-Encoding": "gzip, deflate"}, PIECE),
    "shorter than it says": ({"Content-Length": "70000", "Connection": "close"}, PIECE),
    "a chunk that is no chunk": ({"Transfer-Encoding": "chunked"}, b"zz\r\nx"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_rejection_whose_body_is_broken_is_a_rejection(server: Server, client: str) -> None:
    """It cannot be decoded, or is cut off: the token is replaced, the request sent again."""
    for broken, (headers, body) in BROKEN.items():
        if client == "aiohttp" and ("zstd" in broken or "chunk" in broken):
            continue  # it may raise for the whole answer, whose status is not known then
        server.headers = {"Connection": "close", **headers}
        server.body = lambda body=body: iter([body])  # type: ignore[misc]
        server.tokens.clear()
        answer = got(client, server.url)
        assert (answer.status, answer.history) == (200, [401]), broken
        assert server.tokens == ["Bearer old", "Bearer new"], broken


def test_the_error_in_a_broken_body_does_not_hold_the_connection() -> None:
    """Nor does its cause, whose frames know the connection, and which those frames know."""

    def read(_: int) -> bytes:
        try:
            return bytes.fromhex("no")
        except ValueError as error:
            raise OSError from error

    body = PartlyReadFile(io.BytesIO(), read)
    with pytest.raises(OSError, match=r"^$") as raised:
        body.read1()
    assert raised.value.__cause__
    assert raised.value.__cause__.__traceback__ is None


@pytest.mark.parametrize("client", CLIENTS)
def test_the_error_in_a_broken_body_is_for_the_program_that_reads_it(
    server: Server, client: str
) -> None:
    """The second 401 is returned: it has its status, and reading it raises the library's error."""
    server.accepts = "nothing"
    headers, body = BROKEN["shorter than it says"]
    server.headers, server.body = headers, lambda: iter([body])
    assert got(client, server.url).status == 401
    errors = (
        *(requests.RequestException, httpx.RequestError, httpx2.RequestError, aiohttp.ClientError),
    )
    with pytest.raises(errors):
        got(client, server.url, most=70_000)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_scope_is_found_in_a_compressed_body(server: Server, client: str) -> None:
    """No refresh, and the body can be read."""
    server.headers = {"Content-Encoding": "gzip", "Connection": "close"}
    server.body = lambda: iter([gzip.compress(SCOPE)])
    answer = got(client, server.url)
    assert (answer.status, answer.body) == (401, SCOPE)
    assert server.tokens == ["Bearer old"]


def test_at_most_the_start_is_decoded() -> None:
    """A compressed body may be a thousand times larger than it looks."""
    bomb = b"".join(_bomb(20))
    assert len(bomb) < MOST_LOOKED_AT
    assert decoded(bomb, "gzip") == bytes(MOST_LOOKED_AT)
    assert decoded(gzip.compress(bomb), "gzip, gzip") == bytes(MOST_LOOKED_AT)
    assert decoded(zlib.compress(SCOPE), "deflate") == SCOPE
    assert decoded(SCOPE, "") == decoded(SCOPE, "unheard-of") == SCOPE


def _bomb(megabytes: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(megabytes):
        yield packer.compress(bytes(1024 * 1024))
    yield packer.flush()


# --- bodies of requests ---------------------------------------------------------------------------


class Upload:
    """A file of the program's own, which can seek but does not say so."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.read, self.seek, self.tell = self._data.read, self._data.seek, self._data.tell
        self.fileno = self._data.fileno

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._data)


class Refusing(Upload):
    """A file that says that it cannot seek."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("client", CLIENTS[1:3])
def test_a_file_that_can_seek_is_sent_again(server: Server, client: str) -> None:
    """In a form and by itself, with or without a method that says so."""
    for file, history in ((Upload, [401]), (io.BytesIO, [401]), (Refusing, [])):
        for arguments in (
            {"content": file(b"one\ntwo\n"), "headers": {"Content-Length": "8"}},
            {"files": {"file": ("a.txt", file(b"one\ntwo\n"))}},
        ):
            server.bodies.clear()
            assert got(client, server.url, **arguments).history == history
            assert len(server.bodies) == len(history) + 1
            assert len(set(server.bodies)) == 1
            assert b"one\ntwo\n" in server.bodies[0]


def test_a_mocked_rejection_without_a_body_is_a_rejection() -> None:
    """Mocks make responses with a connection and nothing else."""
    url = "https://jira.example"
    kinds: list[dict[str, Any]] = [{}, {"_content": b"no"}]
    for attributes in kinds:
        source, mock = Source(url), Cached({})
        mock.attributes = {"connection": mock, **attributes}
        with requests.Session() as session:
            session.auth = AtlassianAuth(source)
            session.mount("https://", mock)
            response = session.get(url)
        assert (response.status_code, len(response.history), mock.asked) == (401, 1, 2)
        assert source.current().access_token == "new"
        assert response.history[0].content == (b"no" if attributes else b"")


# --- answers of a cache ---------------------------------------------------------------------------


class Cached(BaseAdapter):
    """Answers 401 as caches of requests do: without a connection, or with a mark."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__()
        self.attributes = attributes
        self.asked = 0

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.asked += 1
        response = requests.Response()
        response.status_code, response.request, response.url = 401, request, request.url or ""
        vars(response).update(self.attributes)
        return response

    def close(self) -> None:
        pass


class TestAnswersOfACache:
    url: ClassVar = "https://jira.example"

    @pytest.mark.parametrize(
        "attributes",
        [
            {"from_cache": True},
            {"connection": None, "_content": b"kept"},
            {"from_cache": True, "connection": Cached({})},
            {"_content": b"kept"},
        ],
        ids=["without a connection", "closed", "with a mark", "without a mark"],
    )
    def test_requests_gets_it_as_it_is(self, attributes: dict[str, Any]) -> None:
        """No server has seen the token: nothing is refreshed, and nothing is sent again."""
        source, cache = Source(self.url), Cached(attributes)
        with requests.Session() as session:
            session.auth = AtlassianAuth(source)
            session.mount("https://", cache)
            response = session.get(self.url)
        assert (response.status_code, response.history, cache.asked) == (401, [], 1)
        assert source.current().access_token == "old"

    @pytest.mark.parametrize(
        "extensions",
        [
            {"from_cache": True},
            {"hishel_from_cache": True},
            {"caching": {"from_cache": True, "revalidated": False, "stored": False}},
        ],
        ids=["hishel 0.1", "hishel 1", "hishel 2"],
    )
    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_httpx_gets_it_as_it_is(self, library: Any, extensions: dict[str, Any]) -> None:
        """As with requests."""
        source, asked = Source(self.url), []

        def answer(request: Any) -> Any:
            asked.append(request)
            return library.Response(401, extensions=extensions)

        auth = (AtlassianHTTPXAuth if library is httpx else AtlassianHTTPX2Auth)(source)
        with library.Client(auth=auth, transport=library.MockTransport(answer)) as http:
            response = http.get(self.url)
        assert (response.status_code, response.history, len(asked)) == (401, [], 1)
        assert source.current().access_token == "old"
