"""The HTTP libraries: a request, an application of an auth object, a client, memory that answers.

An auth object of requests is called with a request, and has a hook for the answer; one of httpx and
of httpx2 is a generator that yields the request and gets the answer; one of aiohttp is a
middleware, which has no end between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from benchmarks.figures import UnmeasuredError

__all__ = ["LIBRARIES", "Library", "library_named"]

#: Seconds. More than any measurement takes.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Library:
    """How a library is used. What is marked (async) returns an awaitable if `is_async`.

    Attributes:
        name: Its key.
        is_async: Whether tasks use it.
        request: A new request to a URL, which no auth object has seen.
        apply: (async) One application of an auth object to a request, until it may be sent.
        answered: (async) The same, and the answer 200.
        client: A client with an auth object; whether it answers from memory.
        get: (async) GET of a URL with a client: the status. The body has been read.
        close: (async) Close a client.
    """

    name: str
    is_async: bool
    request: Callable[[str], Any]
    apply: Callable[[Any, Any], Any]
    answered: Callable[[Any, Any], Any]
    client: Callable[[Any, bool], Any]
    get: Callable[[Any, str], Any]
    close: Callable[[Any], Any]


def requests_library() -> Library:
    """The library requests."""
    import requests
    from requests import hooks

    dispatch: Any = hooks.dispatch_hook
    answer = requests.Response()
    answer.status_code = 200
    prepared = cache(lambda url: requests.Request("GET", url).prepare())

    def request(url: str) -> Any:
        made = prepared(url).copy()
        made.hooks = hooks.default_hooks()
        return made

    def answered(auth: Any, request: Any) -> None:
        answer.request = auth(request)
        dispatch("response", request.hooks, answer)

    def client(auth: Any, memory: bool) -> requests.Session:
        session = requests.Session()
        session.auth = auth
        session.trust_env = False
        answers_from_memory(session) if memory else many_connections(session)
        return session

    return Library(
        "requests",
        False,
        request,
        lambda auth, request: auth(request),
        answered,
        client,
        lambda session, url: session.get(url, timeout=PATIENCE).status_code,
        lambda session: session.close(),
    )


def many_connections(session: Any) -> None:
    """A pool for as many threads as a measurement has."""
    from requests.adapters import HTTPAdapter

    session.mount("http://", HTTPAdapter(pool_maxsize=100))


def answers_from_memory(session: Any) -> None:
    """The session answers 200 without a network, also to a token request."""
    import requests
    from requests.adapters import BaseAdapter

    class FromMemory(BaseAdapter):
        def send(self, request: Any, *_: Any, **__: Any) -> Any:
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, request.url
            response.raw = SimpleNamespace(
                read=lambda *_: b"", close=lambda: None, release_conn=lambda: None, headers={}
            )
            return response

        def close(self) -> None:
            pass

    for scheme in ("https://", "http://"):
        session.mount(scheme, FromMemory())


def httpx_library(module: str, is_async: bool) -> Library:
    """The library httpx or httpx2, for threads or for tasks."""
    library = import_module(module)
    answer = library.Response(200, json={})

    def apply(auth: Any, request: Any) -> None:
        flow = auth.sync_auth_flow(request)
        next(flow)
        flow.close()

    async def apply_async(auth: Any, request: Any) -> None:
        flow = auth.async_auth_flow(request)
        await anext(flow)
        await flow.aclose()

    def answered(auth: Any, request: Any) -> None:
        flow = auth.sync_auth_flow(request)
        answer.request = next(flow)
        with suppress(StopIteration):
            flow.send(answer)

    async def answered_async(auth: Any, request: Any) -> None:
        flow = auth.async_auth_flow(request)
        answer.request = await anext(flow)
        with suppress(StopAsyncIteration):
            await flow.asend(answer)

    def client(auth: Any, memory: bool) -> Any:
        cls = library.AsyncClient if is_async else library.Client
        return cls(auth=auth, **httpx_settings(library, memory))

    async def get_async(http: Any, url: str) -> Any:
        return (await http.get(url)).status_code

    return Library(
        f"{module} async" if is_async else module,
        is_async,
        partial(library.Request, "GET"),
        apply_async if is_async else apply,
        answered_async if is_async else answered,
        client,
        get_async if is_async else lambda http, url: http.get(url).status_code,
        (lambda http: http.aclose()) if is_async else lambda http: http.close(),
    )


def httpx_settings(library: Any, memory: bool) -> dict[str, Any]:
    """Arguments of a client of httpx or httpx2. Making a context for TLS takes longer than all."""
    settings: dict[str, Any] = {
        "trust_env": False,
        "verify": False,
        "timeout": PATIENCE,
        "follow_redirects": True,
    }
    if memory:
        settings["transport"] = library.MockTransport(lambda _: library.Response(200, json={}))
    return settings


def aiohttp_library() -> Library:
    """The library aiohttp."""
    import aiohttp
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    async def no_body() -> bytes:
        return b""

    headers = CIMultiDictProxy(CIMultiDict[str]())
    answer = SimpleNamespace(
        status=200,
        headers=headers,
        _raw_cookie_headers=None,
        connection=None,
        reason="OK",
        raise_for_status=lambda: None,
        read=no_body,
        release=lambda: None,
        close=lambda: None,
    )

    async def from_memory(request: Any, _handler: Any = None) -> Any:
        return answer

    def client(auth: Any, memory: bool) -> Any:
        after = (from_memory,) if memory else ()
        middlewares = (auth, *after) if auth else after
        limits = aiohttp.ClientTimeout(total=PATIENCE)
        return aiohttp.ClientSession(middlewares=middlewares, timeout=limits)

    async def get(session: Any, url: str) -> Any:
        response = await session.get(url)
        if response is not answer:
            await response.read()
        return response.status

    return Library(
        "aiohttp",
        True,
        lambda url: aiohttp.ClientRequest("GET", URL(url)),
        lambda auth, request: auth(request, from_memory),
        lambda auth, request: auth(request, from_memory),
        client,
        get,
        lambda session: session.close(),
    )


LIBRARIES: dict[str, Callable[[], Library]] = {
    "requests": requests_library,
    "httpx": partial(httpx_library, "httpx", False),
    "httpx async": partial(httpx_library, "httpx", True),
    "httpx2": partial(httpx_library, "httpx2", False),
    "httpx2 async": partial(httpx_library, "httpx2", True),
    "aiohttp": aiohttp_library,
}


def library_named(name: str) -> Library:
    """The library.

    Raises:
        UnmeasuredError: It is not installed.
    """
    try:
        return LIBRARIES[name]()
    except ImportError as error:
        raise UnmeasuredError(f"{name} is not installed here ({error})") from None
