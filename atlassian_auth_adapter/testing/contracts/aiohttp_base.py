"""How aiohttp sends the calls of the tests; `ask` is for other tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, ClassVar

import aiohttp
from yarl import URL

from atlassian_auth_adapter.adapters.aiohttp import AtlassianAiohttpAuth

from .base import AdapterTests
from .event_loops import EventLoopClient
from .world import PATIENCE, Call, Reply, Sent

__all__ = ["AiohttpTests", "Answer", "OfflineConnector", "ask", "ask_async"]

#: The statuses of all answers to the call of the task; aiohttp keeps those of redirects only.
_statuses: ContextVar[list[int]] = ContextVar("statuses")


async def _note_status(request: Any, handler: Any) -> Any:
    """A middleware between the auth object and the connection."""
    response = await handler(request)
    _statuses.get().append(response.status)
    return response


class AiohttpTests(EventLoopClient):
    """Describes aiohttp."""

    request_error: ClassVar[type[Exception]] = aiohttp.ClientError
    connection_errors: ClassVar[tuple[type[Exception], ...]] = (
        aiohttp.ClientConnectionError,
        ConnectionError,
    )
    url_errors: ClassVar[tuple[type[Exception], ...]] = (aiohttp.InvalidURL, ValueError)
    replayable: ClassVar[tuple[str, ...]] = (
        *AdapterTests.replayable,
        "multipart of bytes",
        "file on disk",
        "multipart of a file on disk",
    )
    one_shot: ClassVar[tuple[str, ...]] = (
        "generator",
        "async file",
        "unseekable file",
        "file that cannot tell",
        "multipart of an unseekable file",
    )
    maps_redirects = True
    shows_user_names = False

    def auth(self, source: Any, **options: Any) -> AtlassianAiohttpAuth:
        """See `AdapterTests`."""
        return AtlassianAiohttpAuth(source, **options)

    def request_of(self, error: Any) -> Any:
        """See `AdapterTests`."""
        return error.request_info

    def as_sent(self, url: str) -> str:
        """It decodes what needs not be encoded in a query."""
        return str(URL(url))

    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """See `AdapterTests`."""
        return self._run(partial(self._exchange_async, calls, auth, at_once, options))

    @asynccontextmanager
    async def _async_client(self, auth: Any, **options: Any) -> AsyncIterator[Any]:
        connector = options.pop("connector", aiohttp.TCPConnector)()
        known = {
            "middlewares": _middlewares(auth),
            "connector": connector,
            "timeout": aiohttp.ClientTimeout(PATIENCE),
        }
        async with aiohttp.ClientSession(**(known | options)) as session:
            yield session

    async def _one_async(self, client: Any, call: Call) -> Reply:
        call.before()
        statuses: list[int] = []
        _statuses.set(statuses)
        options = {} if call.auth is None else {"middlewares": _middlewares(call.auth)}
        began = perf_counter()
        async with client.request(
            call.method,
            call.url,
            headers=call.headers,
            allow_redirects=call.follow_redirects,
            **_body(call),
            **options,
        ) as response:
            return Reply(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                await response.read(),
                str(response.url),
                tuple(statuses[:-1]),
                perf_counter() - began,
                call.stream,
            )

    def send_offline(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """See `AdapterTests`."""
        sent: list[Sent] = []
        self.exchange(*calls, auth=auth, connector=partial(OfflineConnector, sent, answers))
        return sent


def _middlewares(auth: Any) -> tuple[Any, ...]:
    return (auth, _note_status) if auth is not None else (_note_status,)


def _body(call: Call) -> dict[str, Any]:
    body = call.body
    if "content" in body:
        return {"data": body["content"]}
    if "files" in body:
        form = aiohttp.FormData()
        for name, (filename, file) in body["files"].items():
            form.add_field(name, file, filename=filename)
        return {"data": form}
    return body


class OfflineConnector(aiohttp.BaseConnector):
    """Connections that lead nowhere; each is for one request, and answers by itself.

    Args:
        sent: Where the requests go.
        answers: Statuses and headers of the first responses; then 200.
    """

    def __init__(
        self, sent: list[Sent], answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> None:
        super().__init__(force_close=True)
        self._sent = sent
        self._answers = iter(answers)

    async def _create_connection(self, request: Any, *_: Any) -> Any:
        protocol = self._factory()
        protocol.connection_made(_Offline(protocol, partial(self._answer, request.url.origin())))
        return protocol

    def _answer(self, origin: URL, head: bytes) -> bytes:
        line, *fields = head.decode().split("\r\n")
        method, target, _ = line.split(" ")
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in fields)
        }
        self._sent.append(Sent(method, f"{origin}{target}", headers))
        status, fields_of_answer = next(self._answers, (200, {}))
        lines = [f"{name}: {value}" for name, value in fields_of_answer.items()]
        return "\r\n".join([f"HTTP/1.1 {status} x", "Content-Length: 0", *lines, "", ""]).encode()


class _Offline(asyncio.Transport):
    """Answers what is written as soon as there is a whole head."""

    def __init__(self, protocol: Any, answer: Any) -> None:
        super().__init__()
        self._protocol, self._answer = protocol, answer
        self._received = b""
        self._is_closed = False

    def write(self, data: Any) -> None:
        """Called with a part of the request."""
        is_answered = b"\r\n\r\n" in self._received
        self._received += data
        head, is_whole, _ = self._received.partition(b"\r\n\r\n")
        if is_whole and not is_answered:
            asyncio.get_running_loop().call_soon(self._protocol.data_received, self._answer(head))

    def writelines(self, parts: Any) -> None:
        """As `write`."""
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

    def close(self) -> None:
        """Called by the connector."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        """Nothing comes."""

    def resume_reading(self) -> None:
        """Nothing comes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, with the names that other libraries have for its parts."""

    status_code: int
    url: str
    content: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.content)


async def ask_async(source: Any, *urls: str, at_once: bool = False, **options: Any) -> list[Answer]:
    """The answers to GET requests of one session; options are those of the session."""

    async def one(url: str) -> Answer:
        async with session.get(url) as response:
            return Answer(response.status, str(response.url), await response.read())

    auth = AtlassianAiohttpAuth(source)
    jar = aiohttp.CookieJar(unsafe=True)  # also for hosts that are numbers
    async with aiohttp.ClientSession(middlewares=(auth,), cookie_jar=jar, **options) as session:
        if at_once:
            return await asyncio.gather(*map(one, urls))
        return [await one(url) for url in urls]


def ask(source: Any, *urls: str, **options: Any) -> list[Answer]:
    """As `ask_async`, on an event loop of its own."""
    return asyncio.run(ask_async(source, *urls, **options))
