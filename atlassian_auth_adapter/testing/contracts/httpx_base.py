"""How a library that speaks the interface of httpx sends the calls of the tests."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

from .base import AdapterTests
from .event_loops import EventLoopClient
from .world import DATA, PATIENCE, Call, Reply, Sent

__all__ = ["HTTPXFamilyTests"]

#: Of every client. Loading certificates would take most of the time of a test.
_OPTIONS: dict[str, Any] = {
    "trust_env": False,
    "timeout": PATIENCE,
    "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}


class HTTPXFamilyTests(EventLoopClient):
    """Describes a library that speaks httpx's interface; sync, or on a `backend` of anyio.

    Attributes:
        library: The module.
        auth_class: The class under test.
        backend: "asyncio" or "trio" for the async client, "" for the sync one.
    """

    library: ClassVar[Any]
    auth_class: ClassVar[Any]
    backend: ClassVar[str] = ""
    # Of AdapterTests, as the library is:
    request_error: ClassVar[type[Exception]]
    connection_errors: ClassVar[tuple[type[Exception], ...]]
    url_errors: ClassVar[tuple[type[Exception], ...]]
    replayable: ClassVar[tuple[str, ...]]
    one_shot: ClassVar[tuple[str, ...]]

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
        """See `AdapterTests`."""
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

    def send_offline(
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
    except RuntimeError:  # of a MockTransport
        return 0.0
